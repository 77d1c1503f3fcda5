"""Settings: the argument wins over the environment, and the environment over the default; wrong ones are refused."""

from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from cwinference import TLS, AsyncClient, AsyncInference, Client, Inference, Retry, errors
from cwinference._arguments import check_timeout
from cwinference.config import (
    parse_endpoint,
    read_certificates,
    resolve,
    resolve_endpoint,
)
from tests.support.pipes import pipe_with

PEM = b"-----BEGIN CERTIFICATE-----\n"
KEY = b"-----BEGIN PRIVATE KEY-----\n"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COREWEAVE_API_ENDPOINT", "CW_BASE_URL", "SSL_CERT_FILE", "GRPC_TRACE"):
        monkeypatch.delenv(name, raising=False)


def settings(**changed: Any) -> Any:
    defaults: dict[str, Any] = {
        "endpoint": None,
        "transport": "grpc",
        "codec": "proto",
        "http_version": None,
        "tls": None,
        "proxy": None,
        "max_reply_bytes": 1,
        "allow_plaintext": False,
    }
    return resolve(**{**defaults, **changed})


@pytest.mark.parametrize(
    ("argument", "environment", "url"),
    [
        (None, {}, "https://api.coreweave.com:443"),
        (None, {"CW_BASE_URL": "https://b.example"}, "https://b.example:443"),
        (None, {"COREWEAVE_API_ENDPOINT": "https://a.example/", "CW_BASE_URL": "https://b"}, "https://a.example:443"),
        (None, {"COREWEAVE_API_ENDPOINT": "", "CW_BASE_URL": "https://b.example"}, "https://b.example:443"),
        ("https://c.example", {"COREWEAVE_API_ENDPOINT": "https://a.example"}, "https://c.example:443"),
    ],
)
def test_the_endpoint_is_the_argument_else_the_environments_else_the_public_one(
    monkeypatch: pytest.MonkeyPatch, argument: str | None, environment: dict[str, str], url: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert resolve_endpoint(argument).url == url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://api.example/", "https://api.example:443"),
        ("HTTPS://API.example:8443/base//", "https://api.example:8443/base"),
        (" https://api.example\n", "https://api.example:443"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.2", "http://127.0.0.2:80"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://münchen.example", "https://xn--mnchen-3ya.example:443"),
    ],
)
def test_an_endpoint_is_parsed_and_normalized(text: str, url: str) -> None:
    assert parse_endpoint(text, argument="endpoint").url == url


@pytest.mark.parametrize(
    "text",
    [
        "", "api.example", "ftp://api.example", "https://", "https:///path", "https://a b", "https://a:b", "https://a:99999",
        "https://[::1", "https://a?x=1", "https://a#x", "https://user@a", "https://user:pw@a", 5, None, b"https://a",
    ],
)  # fmt: skip
def test_a_value_that_is_not_an_endpoint_is_refused(text: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="^endpoint:"):
        parse_endpoint(text, argument="endpoint")


@pytest.mark.parametrize(
    "text", ["https://user:CW-SECRET-x@a", "ftp://user:CW-SECRET-x@a", "CW-SECRET-x", "https://CW-SECRET-x:y"]
)
def test_a_secret_in_an_endpoint_is_not_shown(text: str) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        parse_endpoint(text, argument="endpoint")
    assert "CW-SECRET-x" not in str(caught.value)


@pytest.mark.parametrize("host", ["api.example", "10.0.0.1", "localhost.example", "128.0.0.1", "[fe80::1]"])
def test_plain_http_beyond_loopback_is_refused(host: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="allow_plaintext=True"):
        Client("token", endpoint=f"http://{host}")


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_allowed_plain_http_causes_a_warning_at_the_line_that_makes_the_client(kind: Any) -> None:
    with pytest.warns(UserWarning, match="unencrypted to gateway.svc") as caught:
        kind("token", endpoint="http://gateway.svc", allow_plaintext=True)
    assert caught[0].filename == __file__


def test_tracing_that_would_print_the_token_causes_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPC_TRACE", "http,api")
    with pytest.warns(UserWarning, match="GRPC_TRACE") as caught:
        Client("token")
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("transport", "soap"),
        ("codec", "xml"),
        ("http_version", 3),
        ("max_reply_bytes", 0),
        ("max_reply_bytes", True),
        ("max_reply_bytes", 1.5),
        ("tls", "ca.pem"),
        ("proxy", "socks5://host"),
        ("codec", "json"),
        ("http_version", 1),
    ],
)
def test_a_wrong_setting_is_refused_and_named(setting: str, value: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match=f"^{setting}:"):
        settings(**{setting: value})


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(("setting", "value"), [("timeout", 0), ("timeout", -1.5), ("retry", 3), ("retry", True)])
def test_a_wrong_default_is_refused_and_named(kind: Any, setting: str, value: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match=f"^{setting}:"):
        kind("token", **{setting: value})
    with pytest.raises(errors.ConfigurationError, match=f"^{setting}:"):
        kind("token").with_options(**{setting: value})


STANDALONE = [partial(Inference, "https://host"), partial(AsyncInference, "https://host")]


async def async_hook(*_: Any) -> None:
    """Do nothing; a hook that would have to be awaited."""


@pytest.mark.parametrize(("hook", "problem"), [(3, "a function or None, got int"), (async_hook, "a plain function")])
@pytest.mark.parametrize("make", [Client, AsyncClient, *STANDALONE])
def test_a_hook_that_cannot_be_called_is_refused_and_named(make: Any, hook: Any, problem: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=f"^on_call: expected {problem}"):
        make(token="token", on_call=hook)


@pytest.mark.parametrize("timeout", [float("inf"), 1e12, 1e300, 10**400])
def test_a_timeout_of_centuries_counts_as_none(timeout: float) -> None:
    assert check_timeout(timeout) is None
    assert Retry(attempt_timeout=timeout).attempt_timeout is None


def test_other_timeouts_are_used_as_they_are() -> None:
    assert [check_timeout(seconds) for seconds in (5, 1e-9, 1e9)] == [5.0, 1e-9, 1e9]


def test_passwords_and_keys_appear_in_no_repr() -> None:
    assert "canary" not in repr(settings(proxy="http://user:canary@proxy:3128", tls=TLS(cert=PEM, key=KEY + b"canary")))
    assert "canary" not in repr(TLS(cert=PEM, key=b"canary"))


@pytest.mark.parametrize(
    ("transport", "version", "expected"), [("grpc", 2, None), ("connect", 1, 1), ("connect", 2, 2), ("rest", 1, 1)]
)
def test_settings_for_rest_keep_a_forced_http_version(transport: str, version: int, expected: int) -> None:
    rest = settings(transport=transport, http_version=version).for_rest()
    assert (rest.transport, rest.codec, rest.http_version) == ("rest", "json", expected)


def test_a_key_that_is_neither_a_path_nor_bytes_is_refused_and_named() -> None:
    with pytest.raises(errors.ConfigurationError, match="^tls.key: expected a path or PEM bytes, got int$"):
        read_certificates(TLS(cert=PEM, key=cast(Any, 5)))


def test_certificates_are_read_from_files_or_taken_from_bytes(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(PEM)
    found = read_certificates(TLS(ca=file, cert=PEM, key=KEY))
    assert (found.ca, found.cert, found.key) == (PEM, PEM, KEY)


def test_certificates_may_be_pipes_each_of_which_is_opened_once(tmp_path: Path) -> None:
    with (
        pipe_with(tmp_path / "ca", PEM) as ca,
        pipe_with(tmp_path / "cert", PEM) as cert,
        pipe_with(tmp_path / "key", KEY) as key,
    ):
        found = read_certificates(TLS(ca=ca, cert=cert, key=key))
        assert (found.ca, found.cert, found.key) == (PEM, PEM, KEY)


def test_a_path_that_no_file_can_have_is_refused_by_the_arguments_name() -> None:
    with pytest.raises(errors.ConfigurationError, match=r"^tls.ca: .*: embedded null byte$"):
        read_certificates(TLS(ca="ca\0.pem"))


def test_lines_of_text_in_place_of_a_path_are_refused_and_not_shown() -> None:
    tls = TLS(cert=PEM, key=KEY.decode())
    with pytest.raises(errors.ConfigurationError, match=r"^tls.key: .* got lines of text; encode\(\) them$"):
        read_certificates(tls)
    assert repr(tls) == "TLS(ca=None, cert=..., key=...)"
    assert repr(TLS(ca="ca.pem")) == "TLS(ca='ca.pem', cert=None, key=None)"


def test_the_environments_certificates_are_used_unless_others_are_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(PEM)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    assert read_certificates(None).ca == PEM
    assert read_certificates(TLS(ca=PEM + b"other")).ca == PEM + b"other"


@pytest.mark.parametrize(
    ("tls", "problem"),
    [
        (TLS(ca="no-such-file"), "tls.ca: no-such-file: No such file"),
        (TLS(ca=b"not a certificate"), "tls.ca: contains no CERTIFICATE in PEM format$"),
        (TLS(ca=KEY), "tls.ca: contains no CERTIFICATE in PEM format$"),
        (TLS(cert=PEM), "tls: cert and key must be given together$"),
        (TLS(key=KEY), "tls: cert and key must be given together$"),
    ],
)
def test_unusable_certificates_are_refused_and_named(tls: TLS, problem: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=problem):
        read_certificates(tls)


def test_a_url_given_as_the_token_and_the_path_of_the_version_are_pointed_out() -> None:
    with pytest.raises(errors.ConfigurationError, match="^token: this is a URL; pass the API's URL as endpoint="):
        Client("http://127.0.0.1:8080")
    for path in ("/v1alpha1/", "/v1alpha1/inference"):
        with pytest.raises(errors.ConfigurationError, match="^endpoint: omit /v1alpha1, which the client adds itself$"):
            resolve_endpoint(f"https://a.example{path}")

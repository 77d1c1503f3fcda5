"""Which proxy leads where: one verdict, by the argument and the environment, whatever the transport."""

from collections.abc import Mapping
from typing import Any

import pytest

from cwinference import AsyncClient, AsyncInference, Client, Inference, errors
from cwinference._proxies import NO_PROXY_VARIABLES, PROXY_VARIABLES, is_exempt
from cwinference._secrets import Secret
from cwinference.config import Settings, resolve

API = "https://api.example"
TRANSPORTS: Any = ("grpc", "connect", "rest")
P, Q = "http://p:3128", "http://q:3128"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXY_VARIABLES, *NO_PROXY_VARIABLES, "grpc_proxy", "no_grpc_proxy", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)


def settings(transport: str, endpoint: str = API, **changed: Any) -> Settings:
    defaults: dict[str, Any] = {
        "codec": "proto", "http_version": None, "tls": None, "proxy": None, "max_reply_bytes": 1,
        "allow_plaintext": True,
    }  # fmt: skip
    return resolve(endpoint=endpoint, transport=transport, **{**defaults, **changed})


OF_VARIABLES: list[tuple[Mapping[str, str], str, str | None]] = [
    ({}, API, None),
    ({"HTTPS_PROXY": P}, API, P),
    ({"https_proxy": P}, API, P),
    ({"https_proxy": P, "HTTPS_PROXY": Q}, API, P),
    ({"https_proxy": "", "HTTPS_PROXY": P}, API, P),
    ({"https_proxy": " "}, API, None),
    ({"HTTP_PROXY": P}, API, None),
    ({"http_proxy": P}, API, None),
    ({"HTTP_PROXY": P}, "http://api.example", P),
    ({"http_proxy": P}, "http://api.example", P),
    ({"HTTPS_PROXY": P}, "http://api.example", None),
    ({"HTTP_PROXY": P, "REQUEST_METHOD": "GET"}, "http://api.example", None),
    ({"HTTP_PROXY": P, "REQUEST_METHOD": "GET", "ALL_PROXY": Q}, "http://api.example", Q),
    ({"http_proxy": P, "REQUEST_METHOD": "GET"}, "http://api.example", P),
    ({"HTTPS_PROXY": P, "REQUEST_METHOD": "GET"}, API, P),
    ({"ALL_PROXY": P}, API, P),
    ({"all_proxy": P}, API, P),
    ({"all_proxy": P, "ALL_PROXY": Q}, API, P),
    ({"ALL_PROXY": P}, "http://api.example", P),
    ({"all_proxy": P, "HTTPS_PROXY": Q}, API, Q),
    ({"all_proxy": P, "NO_PROXY": "api.example"}, API, None),
    ({"grpc_proxy": P}, API, None),
    ({"grpc_proxy": P, "https_proxy": Q}, API, Q),
    ({"no_grpc_proxy": "*", "https_proxy": P}, API, P),
    ({"https_proxy": "p:3128"}, API, P),
    ({"https_proxy": "p"}, API, "http://p:80"),
    ({"https_proxy": "http://münchen.example:1"}, API, "http://xn--mnchen-3ya.example:1"),
    ({"https_proxy": "HTTP://P:3128/"}, API, P),
    ({"https_proxy": " http://p:3128\n"}, API, P),
    ({"https_proxy": "http://user:pass@p:3128"}, API, P),
    ({"https_proxy": "user@p:3128"}, API, P),
    ({"https_proxy": "http://[fd00::1]:3128"}, API, "http://[fd00::1]:3128"),
    ({"HTTPS_PROXY": P, "NO_PROXY": "*"}, API, None),
    ({"HTTPS_PROXY": P, "no_proxy": "*"}, API, None),
    ({"HTTPS_PROXY": P, "no_proxy": "other.example", "NO_PROXY": "*"}, API, P),
    ({"HTTPS_PROXY": P, "no_proxy": "", "NO_PROXY": "*"}, API, None),
    ({"HTTPS_PROXY": P, "NO_PROXY": "other, .example"}, API, None),
    ({"HTTPS_PROXY": P, "NO_PROXY": "pi.example, "}, API, P),
    *(({name: P}, host, None) for name in ("HTTPS_PROXY", "ALL_PROXY") for host in ("https://localhost", "https://[::1]")),
    ({"HTTP_PROXY": P}, "http://127.0.0.2:8080", None),
]  # fmt: skip


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(("environment", "endpoint", "url"), OF_VARIABLES)
@pytest.mark.filterwarnings("ignore:the token is sent unencrypted")
def test_the_environment_says_which_proxy_leads_to_the_api(
    monkeypatch: pytest.MonkeyPatch, transport: str, environment: Mapping[str, str], endpoint: str, url: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = settings(transport, endpoint).proxy
    assert (found and found.url) == url


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_argument_wins_over_the_environment_and_its_exemptions_but_not_over_loopback(
    monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    monkeypatch.setenv("https_proxy", Q)
    for name in NO_PROXY_VARIABLES:
        monkeypatch.setenv(name, "*")
    found = settings(transport, proxy=P).proxy
    assert found is not None
    assert (found.url, found.source) == (P, "proxy")
    assert settings(transport, "https://localhost", proxy=P).proxy is None


def test_the_environment_counts_as_it_was_when_the_client_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings("rest")
    monkeypatch.setenv("https_proxy", P)
    assert before.proxy is None
    assert before.for_rest().proxy is None


EXEMPTIONS = [
    ("api.example", "api.example", True),
    ("API.Example", "api.example", True),
    (".api.example", "api.example", True),
    ("*.example", "api.example", True),
    ("example", "api.example", True),
    ("api.example.", "api.example", True),
    ("api.example", "api.example.", True),
    ("pi.example", "api.example", False),
    ("sub.api.example", "api.example", False),
    ("a\tb  api.example", "api.example", True),
    (",, ,", "api.example", False),
    (".", "api.example", False),
    ("*", "10.0.0.1", True),
    ("other,*", "api.example", True),
    ("api.example:443", "api.example", True),
    ("api.example:8443", "api.example", False),
    (".example:443", "api.example", True),
    ("10.0.0.1", "10.0.0.1", True),
    ("10.0.0.1:443", "10.0.0.1", True),
    ("10.0.0.1:80", "10.0.0.1", False),
    ("0.0.1", "10.0.0.1", False),
    ("10.0.0.0/8", "10.1.2.3", True),
    ("10.9.9.9/8", "10.1.2.3", True),
    ("10.0.0.0/8", "11.1.2.3", False),
    ("10.0.0.0/99", "10.1.2.3", False),
    ("10.0.0.0/8", "api.example", False),
    ("10.0.0.0/8", "::ffff:10.1.2.3", True),
    ("fd00::1", "fd00::1", True),
    ("FD00:0::1", "fd00::1", True),
    ("[fd00::1]", "fd00::1", True),
    ("[fd00::1]:443", "fd00::1", True),
    ("[fd00::1]:80", "fd00::1", False),
    ("fd00::/8", "fd00::1", True),
    ("[fd00::]/8", "fd00::1", True),
    ("fe00::/8", "fd00::1", False),
    ("0.0.0.0/0", "fd00::1", False),
    ("::/0", "fd00::1", True),
    ("münchen.example", "api.xn--mnchen-3ya.example", True),
    ("xn--mnchen-3ya.example", "münchen.example", True),
]


@pytest.mark.parametrize(("no_proxy", "host", "exempt"), EXEMPTIONS)
def test_an_entry_of_no_proxy_exempts_names_networks_and_ports(no_proxy: str, host: str, exempt: bool) -> None:
    assert is_exempt(no_proxy, host, 443) is exempt


UNUSABLE = [
    "http://", "ftp://p", "socks4://p", "socks://p", "http://user:canary@[bad", "http://user:canary@p:x", "http://p:0",
    "http://p:99999", "http://user:can#ary@p:1", "http://user:12#canary@p", "http://user:12/canary@p:1",
    "http://user:1?canary@p:1", "http://p/proxy.pac", "http://a b", "p q", "://p", "http://[1.2.3.4]", "http://%70",
]  # fmt: skip


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("value", UNUSABLE)
def test_a_value_that_is_no_proxy_is_an_error_that_names_the_setting_and_hides_the_password(
    monkeypatch: pytest.MonkeyPatch, transport: str, value: str
) -> None:
    expected = "expected the URL of a proxy, such as http://<host>:<port>"
    with pytest.raises(errors.ConfigurationError, match=f"^proxy: {expected}") as caught:
        settings(transport, proxy=value)
    monkeypatch.setenv("ALL_PROXY", value)
    with pytest.raises(errors.ConfigurationError, match=f"^ALL_PROXY: {expected}") as of_variable:
        settings(transport)
    assert "canary" not in f"{caught.value}{of_variable.value}"
    monkeypatch.setenv("NO_PROXY", "example")
    assert settings(transport).proxy is None


@pytest.mark.parametrize("value", ["", 5, b"http://p", ["http://p"]])
def test_an_argument_that_is_no_url_of_a_proxy_is_refused(value: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="^proxy: expected the URL of a proxy"):
        settings("rest", proxy=value)


@pytest.mark.parametrize("kind", [Client, AsyncClient, Inference, AsyncInference])
def test_an_unusable_proxy_is_reported_when_the_client_is_made(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "ftp://user:canary@p")
    with pytest.raises(errors.ConfigurationError, match="^HTTPS_PROXY: expected the URL of a proxy"):
        kind("token") if kind in (Client, AsyncClient) else kind(API)


@pytest.mark.parametrize("scheme", ["https", "socks5", "socks5h"])
def test_a_proxy_that_grpc_cannot_use_is_refused_by_it_alone(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    url = f"{scheme}://user:canary@p:1"
    monkeypatch.setenv("ALL_PROXY", url)
    for source, given in (("ALL_PROXY", None), ("proxy", url)):
        with pytest.raises(
            errors.ConfigurationError, match=f"^{source}: gRPC can use http:// proxies only, not {scheme}://; "
        ) as caught:
            settings("grpc", proxy=given)
        assert "canary" not in str(caught.value)
        for transport in ("connect", "rest"):
            found = settings(transport, proxy=given).proxy
            assert found is not None
            assert found.url == f"{scheme}://p:1"


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("https", 443), ("socks5", 1080), ("socks5h", 1080)])
def test_a_proxy_without_a_port_has_that_of_its_scheme(scheme: str, port: int) -> None:
    found = settings("rest", proxy=f"{scheme}://p").proxy
    assert found is not None
    assert found.port == port


@pytest.mark.filterwarnings("ignore:the token is sent unencrypted")
def test_http2_is_refused_where_a_proxy_would_have_to_forward_it() -> None:
    plain: dict[str, Any] = {"endpoint": "http://api.example", "http_version": 2}
    with pytest.raises(errors.ConfigurationError, match=r"^http_version: the proxy \(proxy\) takes http://"):
        settings("connect", proxy=P, **plain)
    assert settings("connect", proxy="socks5://p", **plain).proxy is not None
    assert settings("grpc", proxy=P, **plain).proxy is not None


def test_credentials_are_decoded_and_appear_in_no_repr() -> None:
    found = settings("rest", proxy="http://us%40er:can%3Aary@p:3128")
    assert found.proxy is not None
    assert found.proxy.credentials == Secret(("us@er", "can:ary"))
    assert found.proxy.authorization == Secret("Basic dXNAZXI6Y2FuOmFyeQ==")
    for each in (found, found.proxy, found.proxies, found.proxy.authorization):
        assert not any(secret in repr(each) for secret in ("can:ary", "us@er", "dXNA"))


def test_settings_with_proxies_can_be_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", P)
    assert {settings("rest"): 1}[settings("rest")] == 1

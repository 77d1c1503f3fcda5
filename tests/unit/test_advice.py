"""Advice in errors can be followed where it is given: by code, or by a command that has other options."""

import pickle
from pathlib import Path
from typing import Any, cast

import pytest

from cwinference import Client, errors
from cwinference._cli.main import main
from cwinference.config import resolve_endpoint
from cwinference.inference import Inference

URL = "https://gateway.example"


@pytest.mark.parametrize(
    ("keyword", "instead"),
    [
        ("api_key", "token"),
        ("access_token", "token"),
        ("base_url", "endpoint"),
        ("url", "endpoint"),
        ("max_retries", "retry"),
        ("verify", "tls"),
        ("proxies", "proxy"),
        ("request_timeout", "timeout"),
        ("http2", "http_version"),
        ("insecure", "allow_plaintext"),
        ("endpont", "endpoint"),
    ],
)
def test_a_keyword_of_another_library_is_recognized(keyword: str, instead: str) -> None:
    text = f"^Client: unexpected keyword argument '{keyword}'; did you mean '{instead}'\\?$"
    with pytest.raises(TypeError, match=text):
        cast(Any, Client)(**{keyword: "x"})


def test_only_what_a_method_has_is_suggested() -> None:
    with pytest.raises(TypeError, match=r"^Inference: unexpected keyword argument 'api_key'; did you mean 'token'\?$"):
        cast(Any, Inference)(URL, api_key="x")
    with Client("token", endpoint=URL) as client:
        with pytest.raises(TypeError, match=r"^gateways.get: unexpected keyword argument 'max_retries'; .*'retry'\?$"):
            cast(Any, client.gateways).get("x", max_retries=3)
        with pytest.raises(TypeError, match="^gateways.get: unexpected keyword argument 'verify'$"):
            cast(Any, client.gateways).get("x", verify=False)


def test_the_advice_of_a_command_names_no_argument_that_it_does_not_have(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COREWEAVE_API_TOKEN", "CW-SECRET-x")
    for target in (["--base-url", "http://models.example"], ["--gateway", "g", "--endpoint", "http://api.example"]):
        assert main(["batch", str(tmp_path / "in.jsonl"), str(tmp_path / "out.jsonl"), *target]) == 2
        error = capsys.readouterr().err
        assert error.startswith("cwinference batch: ")
        assert "http:// would send the token unencrypted" in error
        assert error.endswith("; use https://\n")


def test_the_advice_for_code_names_the_argument() -> None:
    with pytest.raises(errors.ConfigurationError, match="use https://, or allow_plaintext=True") as caught:
        resolve_endpoint("http://api.example")
    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own
    assert str(copy) == str(caught.value)
    assert copy.for_command == caught.value.for_command == str(caught.value).partition(", or allow")[0]

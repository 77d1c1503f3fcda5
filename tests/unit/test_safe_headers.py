"""Headers that users see: by names in lower case, and without secrets."""

import pytest

from cwinference._text import safe_headers

SECRET = [
    "authorization", "Proxy-Authorization", "x-amzn-authorization", "authorization-bin", "cookie", "Set-Cookie",
    "set-cookie2", "x-api-key", "api-key", "apikey", "X-ApiKey", "x-goog-api-key", "x-access-key", "x-auth-token",
    "x-amz-security-token", "x-csrf-token", "private-token", "token", "x-client-secret", "x-password",
    "x-credentials", "app.token",
]  # fmt: skip
HARMLESS = [
    "x-request-id", "x-ratelimit-remaining-tokens", "x-ratelimit-limit-tokens", "x-prompt-tokens", "x-token-count",
    "x-tokenizer", "content-type", "www-authenticate", "cookies-accepted", "x-keyboard", "grpc-status-details-bin",
    "x-deployment", "x-secretary",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRET)
def test_a_header_that_carries_a_secret_is_left_out(name: str) -> None:
    assert safe_headers([(name, "x"), ("Via", "y")]) == {"via": "y"}


@pytest.mark.parametrize("name", HARMLESS)
def test_other_headers_are_kept(name: str) -> None:
    assert safe_headers([(name, "x")]) == {name: "x"}


def test_names_are_in_lower_case_and_repeated_headers_are_joined_in_order() -> None:
    assert safe_headers([("Via", "1"), ("X-A", ""), ("VIA", "2"), ("via", "")]) == {"via": "1, 2, ", "x-a": ""}


def test_a_token_in_a_value_is_hidden() -> None:
    assert safe_headers([("x-echo", "CW-SECRET-abc, CW-SECRET-d")]) == {"x-echo": "CW-SECRET-***, CW-SECRET-***"}

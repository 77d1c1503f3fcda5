"""Settings of gRPC's channels, and of its tracers, which could print a token."""

import warnings

import pytest

from cwinference.config import Settings, parse_endpoint, resolve
from cwinference.transports.grpc import _channel_options, _target


@pytest.mark.parametrize("host", ["dns", "unix", "ipv4", "ipv6", "xds", "localhost", "127.0.0.1", "[::1]"])
def test_a_host_is_never_taken_for_a_scheme(host: str) -> None:
    settings = Settings(parse_endpoint(f"https://{host}:8443", argument="endpoint"))
    assert _target(settings) == f"dns:///{host}:8443"


def test_a_name_is_resolved_again_within_a_second() -> None:
    options = dict(_channel_options(Settings(parse_endpoint("https://h", argument="endpoint"))))
    assert options["grpc.dns_min_time_between_resolutions_ms"] < 1000


def warns(monkeypatch: pytest.MonkeyPatch, switches: str) -> bool:
    monkeypatch.setenv("GRPC_TRACE", switches)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        resolve(
            endpoint="https://h", transport="grpc", codec="proto", http_version=None, tls=None, proxy=None,
            max_reply_bytes=1, allow_plaintext=False,
        )  # fmt: skip
    return any("GRPC_TRACE" in str(each.message) for each in caught)


# As gRPC 1.76 and 1.85 read them: white space belongs to a pattern, and `[` has no meaning in one.
TRACING = [
    "api",
    "all",
    "*",
    "a*",
    "ap?",
    "?pi",
    "http,api",
    "-all,api",
    "*, -api",
    "all,-api ",
    "*,-[a]pi",
    "a,-api,api",
]
OTHERS = [
    "",
    "http",
    "api,-api",
    "all,-api",
    "*,-a*",
    "*,-all",
    "-",
    "apis",
    "h*",
    "API",
    " api",
    "[a]pi",
    "list_tracers",
]


@pytest.mark.parametrize("switches", TRACING)
def test_switches_that_trace_calls_are_warned_about(monkeypatch: pytest.MonkeyPatch, switches: str) -> None:
    assert warns(monkeypatch, switches)


@pytest.mark.parametrize("switches", OTHERS)
def test_other_switches_are_not(monkeypatch: pytest.MonkeyPatch, switches: str) -> None:
    assert not warns(monkeypatch, switches)

"""Web pages cannot drive the emulator: requests for a foreign host, or from a foreign origin, are refused."""

import http.client
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cwinference import AsyncClient, Client
from cwinference.emulator import Emulator
from cwinference.errors import ConfigurationError
from tests.support import certificates
from tests.support.admin_requests import raw_request
from tests.support.emulated_protocols import ROOT, HttpResponse

from .test_server import Http2

CREATE = b'{"name":"front","coreWeaveAuth":{},"pathBasedRouting":{}}'
SERVICE = "/coreweave.inference.v1alpha1.GatewayService"


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(public_url="https://models.example.com/base") as running:
        yield running


def port_of(emulator: Emulator) -> int:
    return int(emulator.endpoint.rpartition(":")[2])


def status(
    emulator: Emulator, *fields: str, verb: str = "GET", path: str = f"{ROOT}/gateways", body: bytes = b""
) -> int:
    """Send a request with the admin's token and these header fields; return the status of the response."""
    head = [
        f"{verb} {path} HTTP/1.1",
        *fields,
        f"authorization: Bearer {emulator.token}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "connection: close",
    ]
    with socket.create_connection(("127.0.0.1", port_of(emulator)), timeout=60) as connection:
        connection.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        return int(connection.makefile("rb").readline().split()[1])


OWN = [
    "localhost", "LOCALHOST:1", "localhost.", "a.localhost:8080", "127.0.0.1", "127.1.2.3:80", "[::1]", "[::1]:8080",
    "[::ffff:127.0.0.1]", "models.example.com", "Models.Example.com.:443",
]  # fmt: skip
FOREIGN = [
    "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "notlocalhost", "10.0.0.1",
    "0.0.0.1", "[::2]", "models.example.com.evil.example", "example.com", "localhost@evil.example", "2130706433",
    "127.1", "[127.0.0.1", "localhost:x", "",
]  # fmt: skip


@pytest.mark.parametrize("host", OWN)
def test_an_own_host_and_an_own_origin_are_served(emulator: Emulator, host: str) -> None:
    assert status(emulator, f"host: {host}") == 200
    assert status(emulator, "host: localhost", f"origin: http://{host}") == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_a_foreign_host_and_a_foreign_origin_are_refused(emulator: Emulator, host: str) -> None:
    assert status(emulator, f"host: {host}") == 403
    assert status(emulator, "host: localhost", f"origin: http://{host}") == 403


@pytest.mark.parametrize("origin", ["null", "file://", "https://evil.example", "ftp://localhost", "moz-extension://a"])
def test_origins_that_are_no_own_page_are_refused(emulator: Emulator, origin: str) -> None:
    assert status(emulator, "host: localhost", f"origin: {origin}") == 403


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("POST", f"{ROOT}/gateways"),
        ("POST", f"{SERVICE}/CreateGateway"),
        ("GET", f"{SERVICE}/ListGateways?encoding=json&message=%7B%7D"),
        ("GET", "/gateway/any/v1/models"),
        ("POST", "/gateway/any/v1/chat/completions"),
        ("OPTIONS", f"{ROOT}/gateways"),
        ("GET", "/"),
    ],
)
def test_every_route_is_guarded(emulator: Emulator, verb: str, path: str) -> None:
    for fields in (["host: evil.example"], ["host: localhost", "origin: https://evil.example"]):
        assert status(emulator, *fields, verb=verb, path=path, body=CREATE if verb == "POST" else b"") == 403
    with Client(emulator.token, endpoint=emulator.endpoint) as client:
        assert client.gateways.list() == []


def test_a_foreign_host_in_the_target_is_refused(emulator: Emulator) -> None:
    assert status(emulator, "host: localhost", path=f"http://evil.example{ROOT}/gateways") == 403


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc-web", "application/json"])
def test_http2_is_guarded_too(emulator: Emulator, kind: str) -> None:
    connection = Http2(port_of(emulator))
    number = connection.request(("origin", "https://evil.example"), kind=kind)
    connection.data(number, bytes(5), end=True)
    assert connection.response(number)[0][":status"] == "403"
    connection.close()


def test_over_https_the_certificate_decides_about_the_host_and_an_origin_is_checked(tmp_path: Path) -> None:
    certificate, key = certificates.make(tmp_path)
    with Emulator(tls_cert=certificate, tls_key=key) as emulator:
        context = ssl.create_default_context(cafile=str(certificate))
        connection = http.client.HTTPSConnection("localhost", port_of(emulator), context=context)
        for fields, expected in (({}, 200), ({"origin": "https://evil.example"}, 403)):
            headers = {"host": "inference.test", "authorization": f"Bearer {emulator.token}", **fields}
            connection.request("GET", f"{ROOT}/gateways", headers=headers)
            response = connection.getresponse()
            response.read()
            assert response.status == expected
        connection.close()


@pytest.mark.parametrize("listening_on", ["127.0.0.1", "localhost", "0.0.0.0"])  # noqa: S104 - only for a moment
async def test_clients_reach_it_by_the_address_that_it_listens_on(listening_on: str) -> None:
    settings: dict[str, Any] = {"host": listening_on}
    with Emulator(**settings) as emulator:
        async with AsyncClient(emulator.token, endpoint=emulator.endpoint) as client:
            assert await client.gateways.list() == []
        assert status(emulator, f"host: {listening_on}:80") == 200
        assert status(emulator, "host: evil.example") == 403


APP = "https://app.example.com"


@pytest.fixture(scope="module")
def shared() -> Iterator[Emulator]:
    with Emulator(cors_origins=[f"{APP}:443/", "http://localhost:3000"]) as running:
        yield running


def preflight(emulator: Emulator, origin: str, path: str, **more: str) -> HttpResponse:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    headers = {"origin": origin, **asked, **{name.replace("_", "-"): value for name, value in more.items()}}
    return raw_request(emulator, "OPTIONS", path, headers=headers)


@pytest.mark.parametrize(
    "path", [f"{ROOT}/gateways", f"{SERVICE}/CreateGateway", "/gateway/any/v1/chat/completions", "/_emulator/state"]
)
def test_a_browser_lets_pages_of_an_allowed_origin_use_every_route(shared: Emulator, path: str) -> None:
    response = preflight(shared, APP, path, access_control_request_private_network="true")
    assert (response.status, response.body) == (204, b"")
    assert response.headers["access-control-allow-origin"] == APP
    assert response.headers["vary"] == "origin"
    assert "POST" in response.headers["access-control-allow-methods"]
    assert response.headers["access-control-allow-headers"] == "authorization,content-type"
    assert response.headers["access-control-allow-private-network"] == "true"
    called = raw_request(shared, "POST", path, b"{}", {"origin": APP, "content-type": "application/json"})
    assert called.headers["access-control-allow-origin"] == APP
    assert called.headers["access-control-expose-headers"] == "*"


def test_a_stream_can_be_read_by_a_page_of_an_allowed_origin(shared: Emulator) -> None:
    shared.faults.add("drip", path="/drip", size=1, seconds=0)
    response = raw_request(shared, "GET", "/drip", headers={"origin": "http://localhost:3000"})
    assert response.headers["access-control-allow-origin"] == "http://localhost:3000"
    shared.faults.clear()


@pytest.mark.parametrize("origin", ["https://evil.example", "http://app.example.com", f"{APP}:8443", "null"])
def test_other_origins_stay_out(shared: Emulator, origin: str) -> None:
    response = preflight(shared, origin, f"{ROOT}/gateways")
    assert response.status == 403
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_without_allowed_origins_no_page_of_another_origin_can_read_a_response(emulator: Emulator) -> None:
    for origin in ("http://localhost:3000", "https://models.example.com"):
        response = preflight(emulator, origin, f"{ROOT}/gateways")
        assert not [name for name in response.headers if name.startswith("access-control")]


def test_all_origins_can_be_allowed_and_foreign_hosts_are_refused_all_the_same() -> None:
    with Emulator(cors_origins=["*"]) as emulator:
        assert preflight(emulator, "null", "/").headers["access-control-allow-origin"] == "null"
        assert preflight(emulator, APP, "/", host="evil.example").status == 403


@pytest.mark.parametrize(
    "origins", ["app.example.com", ["https://a.example/path"], ["https://*.example"], [3], ["null"]]
)
def test_what_is_no_origin_is_refused(origins: Any) -> None:
    with pytest.raises(ConfigurationError, match="cors_origins: expected origins such as"):
        Emulator(cors_origins=origins)

"""HTTP by the book: compressed bodies, weights of codings, upgrades, targets, ambiguous lengths, and lost clients."""

import gzip
import json
import socket
import threading
import zlib
from typing import Any

import h2.config
import h2.connection
import h2.settings
import pytest

from cwinference import types
from cwinference.emulator.interfaces import RpcError
from cwinference.emulator.protocols.asgi import Receive, Scope, Send
from cwinference.emulator.protocols.codecs import decompress
from cwinference.emulator.server import Server
from tests.support.emulated_protocols import ADMIN, ROOT, ApiServer

from .test_server import Http2

GET_GATEWAY = "/coreweave.inference.v1alpha1.GatewayService/GetGateway"
ONE, TWO = gzip.compress(b'{"id":', mtime=0), gzip.compress(b'"7"}', mtime=0)


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip"])
def test_a_body_can_consist_of_several_gzip_members(server: ApiServer, coding: str) -> None:
    server.api.responses["GetGateway"] = types.GetGatewayResponse()
    body = ONE + gzip.compress(b"") + TWO
    response = server.http("POST", GET_GATEWAY, body, content_type="application/json", content_encoding=coding)
    assert response.status == 200
    assert server.request.id == "7"


@pytest.mark.parametrize(
    "body", [ONE + TWO + b"x", ONE + TWO + b"\0", ONE + TWO[:-1], ONE + TWO[:5], ONE + b"\x1f\x8b"]
)
def test_what_follows_a_member_must_be_one(body: bytes) -> None:
    with pytest.raises(RpcError, match="the body is not gzip"):
        decompress(body, "gzip")


def test_no_bytes_are_an_empty_message_whatever_the_encoding(server: ApiServer) -> None:
    server.api.responses["GetGateway"] = types.GetGatewayResponse()
    for kind, body in (("application/proto", b""), ("application/grpc-web", b"\1\0\0\0\0")):
        codings = {"content_encoding": "gzip", "grpc_encoding": "gzip"}
        assert server.http("POST", GET_GATEWAY, body, content_type=kind, **codings).status == 200
    assert len(server.api.calls) == 2


def test_members_count_together_against_the_limit_and_many_are_read_fast() -> None:
    member = gzip.compress(b"a")
    assert decompress(member * 100_000, "gzip", 100_000) == b"a" * 100_000
    with pytest.raises(RpcError, match="larger than"):
        decompress(member * 100_001, "gzip", 100_000)
    with pytest.raises(RpcError, match="larger than"):
        decompress(zlib.compress(bytes(10_000_000), wbits=31), "gzip", 100_000)


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip", True),
        ("br, GZip ; q=0.5", True),
        ("x-gzip", True),
        ("*", True),
        ("gzip;q=0.001", True),
        ("gzip;q=0", False),
        ("gzip;q=0.0", False),
        ("gzip; q=0.000", False),
        ("gzip;Q=0", False),
        ("*;q=0", False),
        ("br, *;q=0", False),
        ("gzip;q=0, *", False),
        ("gzip;q=0.1, identity", False),
        ("gzip;q=nonsense", False),
        ("", False),
    ],
)
def test_a_response_is_compressed_if_the_client_accepts_it(server: ApiServer, accepted: str, compressed: bool) -> None:
    gateway = types.Gateway(spec=types.GatewaySpec(name="x" * 5000))
    server.api.responses["GetGateway"] = types.GetGatewayResponse(gateway=gateway)
    response = server.http("GET", f"{ROOT}/gateways/7", accept_encoding=accepted)
    assert ("content-encoding" in response.headers) is compressed


def exchange(server: ApiServer, request: str) -> tuple[bytes, bytes]:
    """Send a request as it is; return the head and the body of the response. The connection must close after it."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(request.replace("\n", "\r\n").encode())
        head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
    return head.lower(), body


@pytest.mark.parametrize("path", ["/", GET_GATEWAY, f"{ROOT}/gateways", "/gateway/7/v1/models"])
def test_an_upgrade_to_websocket_is_not_found(server: ApiServer, path: str) -> None:
    key = "sec-websocket-version: 13\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA=="
    handshake = f"host: localhost\nupgrade: websocket\nconnection: upgrade\n{key}"
    head, body = exchange(server, f"GET {path} HTTP/1.1\n{handshake}\n\n")
    assert head.startswith(b"http/1.1 404 ")
    assert b"\r\ndate: " in head
    assert b"WebSocket" in body


def test_a_websocket_over_http2_is_not_found(server: ApiServer) -> None:
    connection = Http2(server.port)
    fields = [(":protocol", "websocket"), (":scheme", "http"), (":path", "/"), (":authority", "localhost")]
    connection.http2.send_headers(1, [(":method", "CONNECT"), *fields, ("sec-websocket-version", "13")])
    connection.flush()
    assert connection.response(1)[0][":status"] == "404"
    connection.close()


@pytest.mark.parametrize("base", ["http://other.example:8080", "HTTPS://[::1]", "http://user@localhost"])
def test_a_target_in_absolute_form_is_served(server: ApiServer, base: str) -> None:
    server.api.responses["ListGateways"] = types.ListGatewaysResponse()
    fields = f"host: localhost\nauthorization: Bearer {ADMIN}\nconnection: close"
    head, body = exchange(server, f"GET {base}{ROOT}/gateways?updatedAfter=2026-01-31T12:00:00Z HTTP/1.1\n{fields}\n\n")
    assert head.startswith(b"http/1.1 200 ")
    assert json.loads(body) == {}
    assert server.request.updated_after.seconds > 0


@pytest.mark.parametrize("target", ["http://localhost", "http://localhost/", "*", "http://"])
def test_a_target_without_a_path_is_not_found(server: ApiServer, target: str) -> None:
    head, _ = exchange(server, f"GET {target} HTTP/1.1\nhost: localhost\nconnection: close\n\n")
    assert head.startswith(b"http/1.1 404 ")


@pytest.mark.parametrize(
    "fields", ["content-length: 5\ntransfer-encoding: chunked", "transfer-encoding: chunked\ncontent-length: 0"]
)
def test_a_request_with_two_lengths_is_refused_and_its_connection_closed(server: ApiServer, fields: str) -> None:
    smuggled = f"GET {ROOT}/gateways HTTP/1.1\nhost: localhost\n\n"
    request = f"POST {ROOT}/gateways HTTP/1.1\nhost: localhost\n{fields}\n\n0\n\n{smuggled}"
    head, body = exchange(server, request)
    assert head.startswith(b"http/1.1 400 ")
    assert b"\r\nconnection: close" in head
    assert b"both a Content-Length and a Transfer-Encoding" in body
    assert b"HTTP/1.1" not in body
    assert server.api.calls == []


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_client_that_opens_no_window_and_goes_away_leaves_nothing_behind(reset: bool, size: int) -> None:
    """Test a response that waits for the end of its last piece, and one that waits for room for the next one."""
    started, ended = threading.Event(), threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        started.set()
        try:
            await send({"type": "http.response.body", "body": bytes(size)})
        finally:
            ended.set()

    running = Server(app)
    running.start()
    try:
        client: Any = Http2.__new__(Http2)
        client._socket = socket.create_connection(("127.0.0.1", running.port), timeout=60)
        client.http2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        no_window = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0}
        client.http2.local_settings = h2.settings.Settings(client=True, initial_values=no_window)
        client.http2.initiate_connection()
        client.request()
        assert started.wait(60)
        assert not ended.is_set()
        client.close(reset=reset)
        assert ended.wait(60)
    finally:
        running.stop()

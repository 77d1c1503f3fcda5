"""Empty messages over HTTP/1.1: requests say their length, and responses of no bytes may be marked as compressed."""

import socket

import pytest

from cwinference import errors, types
from tests.support.client_kinds import open_client
from tests.support.socket_servers import SocketServer

OVER_HTTP = [f"{transport}-{mode}" for transport in ("connect", "connect-json", "rest") for mode in ("sync", "async")]


class StrictServer:
    """Responds 411 to a request that may have a body and does not say how long it is."""

    def __init__(self, response_headers: str, body: bytes) -> None:
        self._response = f"HTTP/1.1 200 OK\r\n{response_headers}Content-Length: {len(body)}\r\n\r\n".encode() + body
        self.lengths: list[str | None] = []

    def __call__(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            while line := stream.readline():
                verb = line.split()[0].decode()
                pairs = [each.decode().lower().partition(":") for each in iter(stream.readline, b"\r\n")]
                headers = {name: value.strip() for name, _, value in pairs}
                length = headers.get("content-length")
                stream.read(int(length or 0))
                if verb in ("POST", "PUT", "PATCH"):
                    self.lengths.append(length)
                    if length is None:
                        connection.sendall(b"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\n\r\n")
                        continue
                connection.sendall(self._response)


@pytest.mark.parametrize("kind", OVER_HTTP)
async def test_every_request_that_may_have_a_body_says_its_length(kind: str) -> None:
    media = "application/proto" if kind in ("connect-sync", "connect-async") else "application/json"
    body = b"" if media == "application/proto" else b"{}"
    server = StrictServer(f"Content-Type: {media}\r\n", body)
    with SocketServer(server) as strict:
        async with open_client(kind, strict.endpoint, http_version=1, retry=None) as client:
            assert await client.gateways.list() == []
            assert await client.gateways.parameters() == types.GetGatewayParametersResponse()
            with pytest.raises(errors.ProtocolError):  # the response contains no gateway
                await client.gateways.create("front", core_weave_auth={}, body_based_routing={})
            with pytest.raises(errors.ProtocolError):
                await client.hot_loads.cancel("some-id")
    assert None not in server.lengths
    assert server.lengths.count("0") == (2 if media == "application/proto" else 0)


@pytest.mark.parametrize("kind", ["connect-sync", "connect-async"])
@pytest.mark.parametrize("coding", ["gzip", "GZIP", "identity, gzip"])
async def test_no_bytes_that_are_marked_as_compressed_are_an_empty_message(kind: str, coding: str) -> None:
    server = StrictServer(f"Content-Type: application/proto\r\nContent-Encoding: {coding}\r\n", b"")
    with SocketServer(server) as strict:
        async with open_client(kind, strict.endpoint, http_version=1, retry=None) as client:
            assert await client.gateways.list() == []


@pytest.mark.parametrize("kind", ["connect-json-sync", "connect-json-async", "rest-sync", "rest-async"])
async def test_no_bytes_are_no_json_whether_they_are_marked_as_compressed_or_not(kind: str) -> None:
    for coding in ("", "Content-Encoding: gzip\r\n"):
        with SocketServer(StrictServer(f"Content-Type: application/json\r\n{coding}", b"")) as strict:
            async with open_client(kind, strict.endpoint, http_version=1, retry=None) as client:
                with pytest.raises(errors.ProtocolError, match="JSON"):
                    await client.gateways.list()

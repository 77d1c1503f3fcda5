"""The server below the protocols: broken connections and streams affect no others, and leave no errors behind."""

import socket
import struct
from typing import Any, cast

import h2.config
import h2.connection
import h2.events
import pytest

from cwinference import types
from tests.support.emulated_protocols import ADMIN, ROOT, ApiServer, serve_api

PATH = "/coreweave.inference.v1alpha1.GatewayService/GetGateway"


class Http2:
    """A connection that sends frames one by one."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.http2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.http2.initiate_connection()

    def request(self, *headers: tuple[str, str], kind: str = "application/grpc", path: str = PATH) -> int:
        """Send the headers of a request; return the number of its stream."""
        number = self.http2.get_next_available_stream_id()
        fixed = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", path), ("te", "trailers")]
        self.http2.send_headers(
            number, [*fixed, ("content-type", kind), ("authorization", f"Bearer {ADMIN}"), *headers]
        )
        self.flush()
        return number

    def data(self, number: int, data: bytes, *, end: bool = False) -> None:
        self.http2.send_data(number, data, end_stream=end)
        self.flush()

    def flush(self) -> None:
        self._socket.sendall(self.http2.data_to_send())

    def response(self, number: int) -> tuple[dict[str, str], bytes]:
        """Read until a stream has ended; return its headers, with the trailers, and its body."""
        headers, body = dict[str, str](), b""
        while True:
            received = self._socket.recv(65536)
            assert received, "the server has closed the connection"
            for event in self.http2.receive_data(received):
                if getattr(event, "stream_id", None) != number:
                    continue
                if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                    headers.update(cast(Any, event.headers))
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    return headers, body
            self.flush()

    def read_all(self) -> list[h2.events.Event]:
        """Read until the server closes the connection; return all events."""
        events = list[h2.events.Event]()
        while received := self._socket.recv(65536):
            events += self.http2.receive_data(received)
        return events

    def end(self) -> None:
        """Close the sending half of the connection."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self, *, reset: bool = False) -> None:
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


@pytest.mark.parametrize(
    ("method", "path", "kind", "status"),
    [
        (b"POST", b"/\xc3\xa9", b"application/json", "404"),
        (b"GET", b"/gateway/\xff/v1/models?\xfe", b"", "404"),
        (b"GET", ROOT.encode() + b"/gateways/\xff", b"", "401"),
        (b"POST", b"/coreweave.inference.v1alpha1.GatewayService/\xc3\xa9", b"application/grpc", "200"),
        (b"P\xc3\xa9ST", b"/", b"", "404"),
        (b"CONNECT", None, b"", "400"),
    ],
)
def test_a_request_line_that_is_not_ascii_ends_no_other_stream(
    server: ApiServer, method: bytes, path: bytes | None, kind: bytes, status: str
) -> None:
    server.api.responses["GetGateway"] = types.GetGatewayResponse()
    connection = Http2(server.port)
    before = connection.request(kind="application/json")
    number = connection.http2.get_next_available_stream_id()
    line = [(b":method", method), (b":authority", b"localhost")]
    if path is not None:
        line += [(b":scheme", b"http"), (b":path", path)]
    connection.http2.send_headers(number, [*line, (b"content-type", kind)], end_stream=path is not None)
    connection.flush()
    assert connection.response(number)[0][":status"] == status
    connection.data(before, b"{}", end=True)
    assert connection.response(before)[0][":status"] == "200"
    connection.close()


def test_data_after_the_response_does_not_end_the_connection(server: ApiServer) -> None:
    server.api.responses["GetGateway"] = types.GetGatewayResponse()
    connection = Http2(server.port)
    late = connection.request(("connect-timeout-ms", "1"), kind="application/json")
    assert b"deadline_exceeded" in connection.response(late)[1]
    connection.data(late, b"{")
    connection.data(late, b"}", end=True)
    other = connection.request()
    connection.data(other, bytes(5), end=True)
    assert connection.response(other)[0]["grpc-status"] == "0"
    connection.close()


def test_a_reset_stream_does_not_affect_the_others(server: ApiServer) -> None:
    server.api.responses["GetGateway"] = types.GetGatewayResponse()
    connection = Http2(server.port)
    for _ in range(50):
        gone = connection.request()
        connection.data(gone, b"\0\0")
        connection.http2.reset_stream(gone)
    kept = connection.request()
    connection.data(kept, bytes(5), end=True)
    assert connection.response(kept)[0]["grpc-status"] == "0"
    assert len(server.api.calls) == 1
    connection.close()


def test_bytes_other_than_http_and_reset_connections_affect_no_others(server: ApiServer) -> None:
    server.api.responses["GetGateway"] = types.GetGatewayResponse()
    for garbage in (b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff" + bytes(50)):
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(65536)
    for _ in range(20):
        broken = Http2(server.port)
        broken.request()
        broken.close(reset=True)
    assert server.http("POST", PATH, b"{}", content_type="application/json").status == 200


def test_a_response_to_a_client_that_has_disconnected_is_not_an_error(server: ApiServer) -> None:
    server.api.responses["GetGateway"] = types.GetGatewayResponse()
    for _ in range(20):
        gone = Http2(server.port)
        gone.data(gone.request(), bytes(5), end=True)
        gone.close(reset=True)
    assert server.http("POST", PATH, b"{}", content_type="application/json").status == 200


def test_a_connection_is_closed_as_soon_as_its_client_has_closed_it(server: ApiServer) -> None:
    server.api.responses["GetGateway"] = types.GetGatewayResponse()
    connection = Http2(server.port)
    number = connection.request()
    connection.data(number, bytes(5), end=True)
    connection.response(number)
    connection.end()
    connection.read_all()
    connection.close()


def test_a_server_announces_its_stop_before_it_closes_its_connections() -> None:
    with serve_api() as server:
        server.api.responses["GetGateway"] = types.GetGatewayResponse()
        connection = Http2(server.port)
        number = connection.request()
        connection.data(number, bytes(5), end=True)
        connection.response(number)
    goaways = [each for each in connection.read_all() if isinstance(each, h2.events.ConnectionTerminated)]
    assert [(each.error_code, each.last_stream_id) for each in goaways[:1]] == [(0, number)]
    connection.close()

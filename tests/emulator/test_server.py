"""The server below the protocols: a connection that misbehaves harms no other, and itself no longer than need be."""

import socket
import struct
from typing import Any, cast

import h2.config
import h2.connection
import h2.events

from cwinference import types
from tests.support.emulated_protocols import ADMIN, Served, served

PATH = "/coreweave.inference.v1alpha1.GatewayService/GetGateway"


class Http2:
    """A connection that sends frames one by one."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.http2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.http2.initiate_connection()

    def request(self, *headers: tuple[str, str], kind: str = "application/grpc") -> int:
        """Send the head of a request; its stream's number."""
        number = self.http2.get_next_available_stream_id()
        always = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", PATH), ("te", "trailers")]
        self.http2.send_headers(
            number, [*always, ("content-type", kind), ("authorization", f"Bearer {ADMIN}"), *headers]
        )
        self.flush()
        return number

    def data(self, number: int, data: bytes, *, end: bool = False) -> None:
        self.http2.send_data(number, data, end_stream=end)
        self.flush()

    def flush(self) -> None:
        self._socket.sendall(self.http2.data_to_send())

    def answer(self, number: int) -> tuple[dict[str, str], bytes]:
        """Read until a stream has ended: all its headers, the trailers among them, and its body."""
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

    def rest(self) -> list[h2.events.Event]:
        """Read until the server closes the connection."""
        events = list[h2.events.Event]()
        while received := self._socket.recv(65536):
            events += self.http2.receive_data(received)
        return events

    def leave(self) -> None:
        """Say that nothing more will come."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self, *, reset: bool = False) -> None:
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


def test_a_body_that_goes_on_after_its_answer_does_not_end_the_connection(server: Served) -> None:
    server.api.answers["GetGateway"] = types.GetGatewayResponse()
    connection = Http2(server.port)
    late = connection.request(("connect-timeout-ms", "1"), kind="application/json")
    assert b"deadline_exceeded" in connection.answer(late)[1]
    connection.data(late, b"{")
    connection.data(late, b"}", end=True)
    other = connection.request()
    connection.data(other, bytes(5), end=True)
    assert connection.answer(other)[0]["grpc-status"] == "0"
    connection.close()


def test_a_stream_that_is_reset_half_way_leaves_the_others_alone(server: Served) -> None:
    server.api.answers["GetGateway"] = types.GetGatewayResponse()
    connection = Http2(server.port)
    for _ in range(50):
        gone = connection.request()
        connection.data(gone, b"\0\0")
        connection.http2.reset_stream(gone)
    kept = connection.request()
    connection.data(kept, bytes(5), end=True)
    assert connection.answer(kept)[0]["grpc-status"] == "0"
    assert len(server.api.calls) == 1
    connection.close()


def test_bytes_that_are_no_http_and_connections_that_are_reset_harm_nobody(server: Served) -> None:
    server.api.answers["GetGateway"] = types.GetGatewayResponse()
    for garbage in (b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff" + bytes(50)):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(65536)
    for _ in range(20):
        broken = Http2(server.port)
        broken.request()
        broken.close(reset=True)
    assert server.http("POST", PATH, b"{}", content_type="application/json").status == 200


def test_an_answer_to_a_client_that_has_gone_is_nobodys_error(server: Served) -> None:
    server.api.answers["GetGateway"] = types.GetGatewayResponse()
    for _ in range(20):
        gone = Http2(server.port)
        gone.data(gone.request(), bytes(5), end=True)
        gone.close(reset=True)
    assert server.http("POST", PATH, b"{}", content_type="application/json").status == 200


def test_a_connection_that_its_client_has_left_is_closed_at_once(server: Served) -> None:
    server.api.answers["GetGateway"] = types.GetGatewayResponse()
    connection = Http2(server.port)
    asked = connection.request()
    connection.data(asked, bytes(5), end=True)
    connection.answer(asked)
    connection.leave()
    connection.rest()
    connection.close()


def test_a_server_that_stops_says_so_before_it_closes_its_connections() -> None:
    with served() as server:
        server.api.answers["GetGateway"] = types.GetGatewayResponse()
        connection = Http2(server.port)
        asked = connection.request()
        connection.data(asked, bytes(5), end=True)
        connection.answer(asked)
    said = [each for each in connection.rest() if isinstance(each, h2.events.ConnectionTerminated)]
    assert [(each.error_code, each.last_stream_id) for each in said[:1]] == [(0, asked)]
    connection.close()

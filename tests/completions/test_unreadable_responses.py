"""Responses that are no HTTP, or more than can be read: one ProtocolError, and the model runs once."""

import socket
from collections.abc import Callable
from typing import Any

import h2.config
import h2.connection
import h2.events
import hyperframe.frame
import pytest

from cwinference import Retry, errors
from tests.support.client_kinds import open_client
from tests.support.inference_kinds import KINDS, AnyInference, open_inference
from tests.support.scripted_model_server import DONE, chunk_event
from tests.support.scripted_server import Raw, ScriptedServer, read_request
from tests.support.socket_servers import SocketServer

HTTP1 = [each for each in KINDS if each.endswith("1")]
HTTP2 = [each for each in KINDS if each.endswith("2")]
FIVE_TIMES = Retry(max_attempts=5, initial_backoff=0)
OK = b'{"choices": []}'


def head(*lines: bytes, first: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([first, *lines, b"", b""])


LENGTH = b"content-length: %d" % len(OK)
CHUNKED = b"transfer-encoding: chunked"
UNREADABLE: dict[str, bytes] = {
    "101 header fields": head(*[b"x-%d: 1" % number for number in range(101)], LENGTH) + OK,
    "1000 header fields": head(*[b"x-%d: 1" % number for number in range(1000)], LENGTH) + OK,
    "an endless header field": head(b"x: " + b"a" * 3_000_000, LENGTH) + OK,
    "no HTTP": b"hello\r\n\r\n",
    "HTTP/0.9": b"<html></html>",
    "another version": head(LENGTH, first=b"HTTP/3.0 200 OK") + OK,
    "HTTP/2": bytes(9) * 3,
    "an alert of TLS": b"\x15\x03\x01\x00\x02\x02\x16",
    "a status of two digits": head(LENGTH, first=b"HTTP/1.1 99 OK") + OK,
    "a status of four digits": head(LENGTH, first=b"HTTP/1.1 1000 OK") + OK,
    "a name with a space": head(b"x y: 1", LENGTH) + OK,
    "a line without a colon": head(b"xy", LENGTH) + OK,
    "a zero byte": head(b"x: a\0b", LENGTH) + OK,
    "two lengths": head(b"content-length: 14", b"content-length: 15") + OK,
    "a length that is no number": head(b"content-length: x") + OK,
    "a negative length": head(b"content-length: -1") + OK,
    "a gigantic length": head(b"content-length: " + b"9" * 30) + OK,
    "a chunk without a size": head(CHUNKED) + b"zz\r\nhello",
    "a gigantic chunk": head(CHUNKED) + b"f" * 20 + b"\r\nhello",
    "a chunk that is longer than its size": head(CHUNKED) + b"5\r\nhelloXX",
    "a chunk with endless extensions": head(CHUNKED) + b"5;" + b"a" * 100_000 + b"\r\nhello",
    "endless trailers": head(CHUNKED) + b"5\r\nhello\r\n0\r\nx: " + b"a" * 200_000 + b"\r\n\r\n",
}


class RawServer(SocketServer):
    """Sends the same bytes to each request, and closes the connection. It runs for as long as its `with` block."""

    def __init__(self, response: bytes) -> None:
        super().__init__(self._respond)
        self._response = response
        self.requests = 0

    def _respond(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            read_request(stream)
        self.requests += 1
        connection.sendall(self._response)


async def failure(inference: AnyInference, mode: str) -> Any:
    with pytest.raises(errors.InferenceError) as caught:
        await (inference.chat() if mode == "create" else inference.read(inference.stream()))
    return caught.value


@pytest.mark.parametrize("mode", ["create", "stream"])
@pytest.mark.parametrize("response", UNREADABLE)
@pytest.mark.parametrize("kind", HTTP1)
async def test_what_cannot_be_read_is_a_protocol_error_and_the_model_runs_once(
    kind: str, mode: str, response: str
) -> None:
    with RawServer(UNREADABLE[response]) as server:
        async with open_inference(kind, server.endpoint, retry=FIVE_TIMES) as inference:
            error = await failure(inference, mode)
            stats = inference.wrapped.stats()
    assert type(error) is errors.ProtocolError
    assert (error.method, error.attempts) == ("chat.completions", 1)
    assert "http://" not in str(error)
    assert server.requests == 1
    assert (stats.failed, stats.retried, stats.in_flight) == (1, 0, 0)


LOST: dict[str, bytes] = {"nothing": b"", "half a head": b"HTTP/1.1 200 OK\r\ncontent-le"}


@pytest.mark.parametrize("mode", ["create", "stream"])
@pytest.mark.parametrize("response", LOST)
@pytest.mark.parametrize("kind", HTTP1)
async def test_a_connection_that_is_lost_before_the_response_is_still_retried(
    kind: str, mode: str, response: str
) -> None:
    with RawServer(LOST[response]) as server:
        async with open_inference(kind, server.endpoint, retry=FIVE_TIMES) as inference:
            error = await failure(inference, mode)
    assert type(error) is errors.Unavailable
    assert server.requests == 5


@pytest.mark.parametrize("response", ["101 header fields", "no HTTP", "two lengths", "a chunk without a size"])
@pytest.mark.parametrize("client_kind", ["connect-sync", "connect-async", "rest-sync", "rest-async"])
async def test_the_management_api_is_asked_once_too(client_kind: str, response: str) -> None:
    with ScriptedServer(client_kind.partition("-")[0], lambda _: Raw(UNREADABLE[response])) as server:
        settings = {**server.settings, "retry": FIVE_TIMES}
        async with open_client(client_kind, server.endpoint, **settings) as client:
            with pytest.raises(errors.ProtocolError, match="ListGateways: the response cannot be read"):
                await client.gateways.list()
    assert len(server.received) == 1


# --- HTTP/2

Http2 = h2.connection.H2Connection
Act = Callable[[Http2, int], bytes]


def respond(http2: Http2, stream: int, *headers: tuple[str, str]) -> bytes:
    http2.send_headers(stream, [(":status", "200"), *headers])
    http2.send_data(stream, OK, end_stream=True)
    return http2.data_to_send()


UNREADABLE_HTTP2: dict[str, Act] = {
    "too many headers": lambda http2, stream: respond(http2, stream, *[(f"x-{i}", "a" * 100) for i in range(200)]),
    "far too many headers": lambda http2, stream: respond(http2, stream, *[(f"x-{i}", "a" * 1000) for i in range(900)]),
    "a header of HTTP/1.1": lambda http2, stream: respond(http2, stream, ("connection", "close")),
    "a name in upper case": lambda http2, stream: respond(http2, stream, ("X-Upper", "1")),
    "a body that is too long": lambda http2, stream: respond(http2, stream, ("content-length", "5")),
    "a body that is too short": lambda http2, stream: respond(http2, stream, ("content-length", "50")),
    "broken headers": lambda _, stream: frame(hyperframe.frame.HeadersFrame, stream, b"\xff" * 6, ["END_HEADERS"]),
    "data before headers": lambda _, stream: frame(hyperframe.frame.DataFrame, stream, b"x"),
    "data of another stream": lambda _, stream: frame(hyperframe.frame.DataFrame, stream + 100, b"x"),
    "a frame that is too large": lambda _, stream: frame(hyperframe.frame.DataFrame, stream, b"x" * 70_000),
    "HTTP/1.1": lambda _, __: head(b"content-length: 0", first=b"HTTP/1.1 400 Bad Request"),
}


def frame(kind: Any, stream: int, data: bytes, flags: list[str] | None = None) -> bytes:
    return bytes(kind(stream, data=data, flags=flags or []).serialize())


class RawHttp2Server(SocketServer):
    """Sends what a function returns to each request. It runs for as long as its `with` block."""

    def __init__(self, act: Act) -> None:
        super().__init__(self._respond)
        self._act = act
        self.requests = 0

    def _respond(self, connection: socket.socket) -> None:
        checks: Any = {"validate_outbound_headers": False, "normalize_outbound_headers": False}
        http2 = Http2(h2.config.H2Configuration(client_side=False, header_encoding=None, **checks))
        http2.initiate_connection()
        connection.sendall(http2.data_to_send())
        while data := connection.recv(65536):
            for each in http2.receive_data(data):
                if isinstance(each, h2.events.StreamEnded):
                    self.requests += 1
                    connection.sendall(self._act(http2, each.stream_id))
            connection.sendall(http2.data_to_send())


@pytest.mark.parametrize("mode", ["create", "stream"])
@pytest.mark.parametrize("response", UNREADABLE_HTTP2)
@pytest.mark.parametrize("kind", HTTP2)
async def test_the_same_holds_over_http2(kind: str, mode: str, response: str) -> None:
    with RawHttp2Server(UNREADABLE_HTTP2[response]) as server:
        async with open_inference(kind, server.endpoint, retry=FIVE_TIMES) as inference:
            error = await failure(inference, mode)
    assert type(error) is errors.ProtocolError
    assert (error.method, error.attempts) == ("chat.completions", 1)
    assert server.requests == 1


@pytest.mark.parametrize("kind", HTTP2)
async def test_a_broken_connection_interrupts_a_stream_that_was_read_well(kind: str) -> None:

    def act(http2: Http2, stream: int) -> bytes:
        http2.send_headers(stream, [(":status", "200"), ("content-type", "text/event-stream")])
        http2.send_data(stream, chunk_event("Par"))
        return http2.data_to_send() + frame(hyperframe.frame.DataFrame, stream + 100, DONE)

    with RawHttp2Server(act) as server:
        async with open_inference(kind, server.endpoint, retry=FIVE_TIMES) as inference:
            error = await failure(inference, "stream")
    assert type(error) is errors.StreamInterrupted
    assert error.partial_text in ("", "Par")  # HTTP/2 may drop what was received when the connection breaks
    assert server.requests == 1

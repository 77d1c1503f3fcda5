"""A model server whose responses a function of the test decides, over HTTP/1.1 or HTTP/2. It notices hang-ups."""

import json
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import h2.config
import h2.connection
import h2.events

from .scripted_server import read_request
from .socket_servers import SocketServer

MODEL = "org/model"


@dataclass
class HttpRequest:
    """A request as it arrived, its body parsed."""

    verb: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass
class ScriptedResponse:
    """A response: its pieces are sent one by one, then it ends, or is cut off."""

    pieces: Iterable[bytes] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    cut: bool = False
    length: int | None = None
    """The content-length to announce; None to announce none."""


RequestHandler = Callable[[HttpRequest], ScriptedResponse]


def json_response(value: Any, status: int = 200, **headers: str) -> ScriptedResponse:
    """Return a JSON response with its length."""
    body = json.dumps(value).encode()
    renamed = {name.replace("_", "-"): text for name, text in headers.items()}
    return ScriptedResponse([body], status, {"content-type": "application/json", **renamed}, length=len(body))


def completion(text: str = "Paris", **more: Any) -> Any:
    """Return the body of a chat completion."""
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": MODEL,
        "choices": [choice],
        "usage": usage,
        **more,
    }


def chunk_event(text: str, reason: str | None = None, **more: Any) -> bytes:
    """Return an event with a chunk of a chat completion."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
    return event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": MODEL, "choices": [choice], **more})


def event(value: Any) -> bytes:
    """Return a server-sent event with JSON data."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def stream_response(*events: bytes, after: Iterable[bytes] = (), cut: bool = False) -> ScriptedResponse:
    """Return a stream of events; `after` are more of them, and may be endless."""

    def all_events() -> Iterator[bytes]:
        yield from events
        yield from after

    return ScriptedResponse(all_events(), 200, {"content-type": "text/event-stream; charset=utf-8"}, cut=cut)


class _Silence(bytes):
    """A piece of nothing, after which nothing is sent until the client sends something, or hangs up."""


def endless_silence() -> Iterator[bytes]:
    """Yield nothing until the client hangs up."""
    while True:
        yield _Silence()


def endlessly(next_piece: Callable[[], bytes]) -> Iterator[bytes]:
    """Yield pieces until the client hangs up.

    The pauses are real because the client's timeouts are, which must hold although something arrives all the time.
    """
    while True:
        time.sleep(0.02)
        yield next_piece()


def endless_keep_alives() -> Iterator[bytes]:
    """Yield comments, which keep the connection alive, until the client hangs up."""
    return endlessly(lambda: b": keep-alive\n\n")


_SOON = 30.0
"""Seconds, on a machine that has much else to do."""


class ScriptedModelServer:
    """Runs for as long as its `with` block."""

    def __init__(self, handler: RequestHandler, version: int = 1, tls: ssl.SSLContext | None = None) -> None:
        self._handler = handler
        self.requests: list[HttpRequest] = []
        self.hung_up = threading.Event()
        """Set when a client left before a response had ended."""
        self._server = SocketServer(self._serve_http1 if version == 1 else self._serve_http2, tls)
        self.settings: dict[str, Any] = {"http_version": version}

    @property
    def url(self) -> str:
        return self._server.endpoint

    def was_left(self) -> bool:
        """Return whether a client leaves before its response has ended, soon; True if no request has arrived at all."""
        return not self.requests or self.hung_up.wait(_SOON)

    @property
    def connections(self) -> int:
        """How many connections were accepted so far."""
        return len(self._server.connections)

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    def _respond(self, verb: str, path: str, headers: Mapping[str, str], body: bytes) -> ScriptedResponse:
        request = HttpRequest(verb, path, headers, json.loads(body) if body else None)
        self.requests.append(request)
        return self._handler(request)

    def _serve_http1(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            while True:
                response = self._respond(*read_request(stream))
                try:
                    connection.sendall(_head(response))
                    for each in response.pieces:
                        _send_http1(connection, each, chunked=response.length is None)
                except OSError:
                    self.hung_up.set()
                    return
                if response.cut:
                    return
                connection.sendall(b"" if response.length is not None else b"0\r\n\r\n")

    def _serve_http2(self, connection: socket.socket) -> None:
        _Http2Connection(connection, self._respond, self.hung_up).run()


class _StreamReset(Exception):
    """The client reset the stream."""


class _Http2Connection:
    """Responds to the requests of an HTTP/2 connection one after the other."""

    def __init__(
        self, connection: socket.socket, respond: Callable[..., ScriptedResponse], hung_up: threading.Event
    ) -> None:
        self._connection = connection
        self._respond = respond
        self._hung_up = hung_up
        self._http2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self._open: dict[int, list[Any]] = {}
        self._complete: list[int] = []

    def run(self) -> None:
        self._http2.initiate_connection()
        self._flush()
        while True:
            self._receive()
            while self._complete:
                stream = self._complete.pop(0)
                if stream not in self._open:  # the client has left before it was responded to
                    self._hung_up.set()
                    continue
                headers, body = self._open[stream]
                response = self._respond(headers[":method"], headers[":path"], headers, body)
                self._send_response(stream, response)
                if response.cut:
                    self._cut()
                    return

    def _cut(self) -> None:
        """End the connection; what was sent arrives, as it may not if the client's last frames were never read."""
        self._connection.shutdown(socket.SHUT_WR)
        while self._connection.recv(65536):
            pass

    def _send_response(self, stream: int, response: ScriptedResponse) -> None:
        length = {} if response.length is None else {"content-length": str(response.length)}
        headers = [(name.lower(), value) for name, value in {**response.headers, **length}.items()]
        self._http2.send_headers(stream, [(":status", str(response.status)), *headers])
        try:
            for each in response.pieces:
                self._send(stream, each)
        except (OSError, EOFError, _StreamReset) as error:
            self._hung_up.set()
            if isinstance(error, _StreamReset):
                return
            raise
        if not response.cut:
            self._http2.end_stream(stream)
        self._flush()

    def _send(self, stream: int, data: bytes) -> None:
        """Send a piece as far as the flow-control windows allow."""
        while True:
            self._flush()
            if _is_readable(self._connection, wait=isinstance(data, _Silence)):
                self._receive()
            if stream not in self._open:
                raise _StreamReset
            window = min(self._http2.local_flow_control_window(stream), self._http2.max_outbound_frame_size)
            if data and window:
                self._http2.send_data(stream, data[:window])
                data = data[window:]
            if not data:
                return

    def _receive(self) -> None:
        data = self._connection.recv(65536)
        if not data:
            raise EOFError
        for each in self._http2.receive_data(data):
            if isinstance(each, h2.events.RequestReceived):
                self._open[each.stream_id] = [dict(each.headers), b""]
            elif isinstance(each, h2.events.DataReceived):
                self._open[each.stream_id][1] += each.data
                self._http2.acknowledge_received_data(each.flow_controlled_length, each.stream_id)
            elif isinstance(each, h2.events.StreamEnded):
                self._complete.append(each.stream_id)
            elif isinstance(each, h2.events.StreamReset):
                del self._open[each.stream_id]
        self._flush()

    def _flush(self) -> None:
        self._connection.sendall(self._http2.data_to_send())


def _head(response: ScriptedResponse) -> bytes:
    framing = "transfer-encoding: chunked" if response.length is None else f"content-length: {response.length}"
    headers = (f"{name}: {value}" for name, value in response.headers.items())
    return "\r\n".join([f"HTTP/1.1 {response.status} scripted", *headers, framing, "", ""]).encode()


def _is_readable(connection: socket.socket, *, wait: bool) -> bool:
    if connection.fileno() < 0:
        raise EOFError
    return bool(select.select([connection], [], [], None if wait else 0)[0])


def _send_http1(connection: socket.socket, data: bytes, *, chunked: bool) -> None:
    """Send a piece. Raises BrokenPipeError when the client has left."""
    if _is_readable(connection, wait=isinstance(data, _Silence)) and connection.recv(1, socket.MSG_PEEK) == b"":
        raise BrokenPipeError
    if data:
        connection.sendall(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)

"""A model server that answers as it is told, over HTTP/1.1 or HTTP/2, and notes when a client hangs up."""

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
class Asked:
    """A request as it arrived."""

    verb: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass
class Reply:
    """An answer: its pieces are sent one by one, then it ends, or is cut off."""

    pieces: Iterable[bytes] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    cut: bool = False
    length: int | None = None
    """The content-length to announce; None: none."""


Answer = Callable[[Asked], Reply]


def plain(value: Any, status: int = 200, **headers: str) -> Reply:
    """A JSON answer with its length."""
    body = json.dumps(value).encode()
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply([body], status, {"content-type": "application/json", **named}, length=len(body))


def completion(text: str = "Paris", **more: Any) -> Any:
    """A chat completion as servers send it."""
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


def piece(text: str, reason: str | None = None, **more: Any) -> bytes:
    """An event with a piece of a chat completion."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
    return event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": MODEL, "choices": [choice], **more})


def event(value: Any) -> bytes:
    """A server-sent event with JSON data."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def streamed(*pieces: bytes, after: Iterable[bytes] = (), cut: bool = False) -> Reply:
    """A stream of events; `after` may go on for as long as it likes."""

    def all_pieces() -> Iterator[bytes]:
        yield from pieces
        yield from after

    return Reply(all_pieces(), 200, {"content-type": "text/event-stream; charset=utf-8"}, cut=cut)


def silence() -> Iterator[bytes]:
    """Nothing, until the client hangs up."""
    while True:
        time.sleep(0.01)
        yield b""


def comments() -> Iterator[bytes]:
    """Comments that keep the connection alive, until the client hangs up."""
    while True:
        time.sleep(0.02)
        yield b": keep-alive\n\n"


class ModelServer:
    """Runs while its `with` block does."""

    def __init__(self, answer: Answer, version: int = 1, tls: ssl.SSLContext | None = None) -> None:
        self._answer = answer
        self.asked: list[Asked] = []
        self.hung_up = threading.Event()
        """Set when a client left before an answer had ended."""
        self._server = SocketServer(self._serve_1 if version == 1 else self._serve_2, tls)
        self.settings: dict[str, Any] = {"http_version": version}

    @property
    def url(self) -> str:
        return self._server.endpoint

    @property
    def connections(self) -> int:
        """How many were opened so far."""
        return len(self._server.connections)

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    def _take(self, verb: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        asked = Asked(verb, path, headers, json.loads(body) if body else None)
        self.asked.append(asked)
        return self._answer(asked)

    def _serve_1(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            while True:
                reply = self._take(*read_request(stream))
                try:
                    connection.sendall(_head(reply))
                    for each in reply.pieces:
                        _send_1(connection, each, chunked=reply.length is None)
                except OSError:
                    self.hung_up.set()
                    return
                if reply.cut:
                    return
                connection.sendall(b"" if reply.length is not None else b"0\r\n\r\n")

    def _serve_2(self, connection: socket.socket) -> None:
        _Http2(connection, self._take, self.hung_up).run()


class _WasReset(Exception):
    """The client gave the stream up."""


class _Http2:
    """A connection of HTTP/2; it answers one request after the other."""

    def __init__(self, connection: socket.socket, take: Callable[..., Reply], hung_up: threading.Event) -> None:
        self._connection = connection
        self._take = take
        self._hung_up = hung_up
        self._http2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self._open: dict[int, list[Any]] = {}
        self._ready: list[int] = []

    def run(self) -> None:
        self._http2.initiate_connection()
        self._flush()
        while True:
            self._receive()
            while self._ready:
                stream = self._ready.pop(0)
                if stream not in self._open:
                    continue
                reply = self._take(*_parts(*self._open[stream]))
                self._reply(stream, reply)
                if reply.cut:
                    return

    def _reply(self, stream: int, reply: Reply) -> None:
        length = {} if reply.length is None else {"content-length": str(reply.length)}
        named = [(name.lower(), value) for name, value in {**reply.headers, **length}.items()]
        self._http2.send_headers(stream, [(":status", str(reply.status)), *named])
        try:
            for each in reply.pieces:
                self._send(stream, each)
        except (OSError, EOFError, _WasReset) as error:
            self._hung_up.set()
            if isinstance(error, _WasReset):
                return
            raise
        if not reply.cut:
            self._http2.end_stream(stream)
        self._flush()

    def _send(self, stream: int, data: bytes) -> None:
        """Send a piece as the windows allow."""
        while True:
            self._flush()
            if _readable(self._connection):
                self._receive()
            if stream not in self._open:
                raise _WasReset
            room = min(self._http2.local_flow_control_window(stream), self._http2.max_outbound_frame_size)
            if data and room:
                self._http2.send_data(stream, data[:room])
                data = data[room:]
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
                self._ready.append(each.stream_id)
            elif isinstance(each, h2.events.StreamReset):
                del self._open[each.stream_id]
        self._flush()

    def _flush(self) -> None:
        self._connection.sendall(self._http2.data_to_send())


def _parts(headers: Any, body: bytes) -> tuple[str, str, Any, bytes]:
    return headers[":method"], headers[":path"], headers, body


def _head(reply: Reply) -> bytes:
    framing = "transfer-encoding: chunked" if reply.length is None else f"content-length: {reply.length}"
    lines = [f"HTTP/1.1 {reply.status} told", *(f"{name}: {value}" for name, value in reply.headers.items()), framing]
    return "\r\n".join([*lines, "", ""]).encode()


def _readable(connection: socket.socket) -> bool:
    if connection.fileno() < 0:
        raise EOFError
    return bool(select.select([connection], [], [], 0)[0])


def _send_1(connection: socket.socket, data: bytes, *, chunked: bool) -> None:
    """Send a piece; BrokenPipeError when the client has left."""
    if _readable(connection) and connection.recv(1, socket.MSG_PEEK) == b"":
        raise BrokenPipeError
    if data:
        connection.sendall(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)

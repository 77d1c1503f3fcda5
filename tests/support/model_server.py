"""A model server that answers as it is told, over HTTP/1.1 or HTTP/2, and notes when a client hangs up."""

import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import h2.config
import h2.connection
import h2.events

from .peer import _read
from .sockets import SocketServer

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

    def __init__(self, answer: Answer, version: int = 1) -> None:
        self._answer = answer
        self.asked: list[Asked] = []
        self.hung_up = threading.Event()
        """Set when a client left before an answer had ended."""
        self._server = SocketServer(self._serve_1 if version == 1 else self._serve_2)
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
                reply = self._take(*_read(stream))
                connection.sendall(_head(reply))
                for each in reply.pieces:
                    if _has_left(connection):
                        self.hung_up.set()
                        return
                    if each:
                        connection.sendall(each if reply.length is not None else b"%x\r\n%s\r\n" % (len(each), each))
                if reply.cut:
                    return
                connection.sendall(b"" if reply.length is not None else b"0\r\n\r\n")

    def _serve_2(self, connection: socket.socket) -> None:
        http2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        http2.initiate_connection()
        connection.sendall(http2.data_to_send())
        requests: dict[int, list[Any]] = {}
        while data := connection.recv(65536):
            for each in http2.receive_data(data):
                if isinstance(each, h2.events.RequestReceived):
                    requests[each.stream_id] = [dict(each.headers), b""]
                elif isinstance(each, h2.events.DataReceived):
                    requests[each.stream_id][1] += each.data
                    http2.acknowledge_received_data(each.flow_controlled_length, each.stream_id)
                elif isinstance(each, h2.events.StreamEnded) and not self._reply_2(
                    connection, http2, each.stream_id, *requests.pop(each.stream_id)
                ):
                    return
            connection.sendall(http2.data_to_send())

    def _reply_2(
        self, connection: socket.socket, http2: h2.connection.H2Connection, stream: int, headers: Any, body: bytes
    ) -> bool:
        """Answer one request before the next; False when the connection is to be cut."""
        reply = self._take(headers[":method"], headers[":path"], headers, body)
        length = {} if reply.length is None else {"content-length": str(reply.length)}
        named = [(name.lower(), value) for name, value in {**reply.headers, **length}.items()]
        http2.send_headers(stream, [(":status", str(reply.status)), *named])
        for each in reply.pieces:
            connection.sendall(http2.data_to_send())
            if self._was_reset(connection, http2, stream):
                self.hung_up.set()
                return True
            if each:
                http2.send_data(stream, each)
        if not reply.cut:
            http2.end_stream(stream)
        connection.sendall(http2.data_to_send())
        return not reply.cut

    def _was_reset(self, connection: socket.socket, http2: h2.connection.H2Connection, stream: int) -> bool:
        if not _readable(connection):
            return False
        data = connection.recv(65536)
        events = http2.receive_data(data) if data else []
        return not data or any(isinstance(each, h2.events.StreamReset) and each.stream_id == stream for each in events)


def _head(reply: Reply) -> bytes:
    framing = "transfer-encoding: chunked" if reply.length is None else f"content-length: {reply.length}"
    lines = [f"HTTP/1.1 {reply.status} told", *(f"{name}: {value}" for name, value in reply.headers.items()), framing]
    return "\r\n".join([*lines, "", ""]).encode()


def _readable(connection: socket.socket) -> bool:
    return bool(select.select([connection], [], [], 0)[0])


def _has_left(connection: socket.socket) -> bool:
    return _readable(connection) and connection.recv(1, socket.MSG_PEEK) == b""

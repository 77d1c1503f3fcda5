"""A server that answers as it is told: one function of the test decides about every request.

It speaks gRPC beside REST, or Connect beside REST over HTTP/1.1, on a port of its own, with no code of the library but
the table of methods; what it sends over HTTP may be any bytes.
"""

import json
import re
import socket
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Self
from urllib.parse import parse_qs, unquote, urlsplit

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.rpc import status_pb2

from cwinference._wire.methods import METHODS, Method

from .socket_servers import SocketServer, join

STATUS_OF = {
    "canceled": (1, 499), "unknown": (2, 500), "invalid_argument": (3, 400), "deadline_exceeded": (4, 504),
    "not_found": (5, 404), "already_exists": (6, 409), "permission_denied": (7, 403), "resource_exhausted": (8, 429),
    "failed_precondition": (9, 400), "aborted": (10, 409), "out_of_range": (11, 400), "unimplemented": (12, 501),
    "internal": (13, 500), "unavailable": (14, 503), "data_loss": (15, 500), "unauthenticated": (16, 401),
}  # fmt: skip
"""gRPC's number and the HTTP status of each code."""

_BY_PATH = {method.path: method for method in METHODS.values()}
_LITERAL_FIRST = sorted(METHODS.values(), key=lambda method: "{" in str(method.http))


@dataclass
class Received:
    """A request as it arrived."""

    method: Method
    request: Any
    headers: Mapping[str, str]
    path: str
    limit: float | None = None
    """Seconds that the client gave, where its protocol tells them."""


@dataclass
class Failure(Exception):
    """An answer that is an error."""

    code: str
    message: str = ""
    details: Sequence[Message] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


class Raw(bytes):
    """An answer as bytes: over HTTP the whole of it from the status line on, over gRPC the message."""


_NO_LIMIT = 1e9
"""What grpcio counts down from when there is none, about."""

Answer = Callable[[Received], Message | Failure | Raw]


class Peer:
    """Runs while its `with` block does."""

    def __init__(self, transport: str, answer: Answer) -> None:
        self._answer = answer
        self.received: list[Received] = []
        self._server = _BothServer(self._take) if transport == "grpc" else _HttpServer(self._take)
        self.settings: dict[str, Any] = {"http_version": 1} if transport.startswith("connect") else {}

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    def connections(self) -> int:
        """How many were made so far."""
        return self._server.connections()

    def _take(self, received: Received) -> Message | Failure | Raw:
        self.received.append(received)
        return self._answer(received)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()


class _GrpcServer(grpc.GenericRpcHandler):
    def __init__(self, take: Answer) -> None:
        self._take = take
        self._threads = futures.ThreadPoolExecutor(8)
        self._server = grpc.server(self._threads, handlers=[self])
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop(None).wait()
        self._threads.shutdown()

    def service(self, handler_call_details: Any) -> Any:
        method = _BY_PATH[handler_call_details.method]
        return grpc.unary_unary_rpc_method_handler(lambda body, context: self._reply(method, body, context))

    def _reply(self, method: Method, body: bytes, context: Any) -> bytes:
        headers = {key.lower(): value for key, value in context.invocation_metadata()}
        limit = context.time_remaining()
        limit = limit if limit is not None and limit < _NO_LIMIT else None
        answer = self._take(Received(method, method.request.FromString(body), headers, method.path, limit))
        if isinstance(answer, Failure):
            number = STATUS_OF[answer.code][0]
            trailers: list[tuple[str, str | bytes]] = list(answer.headers.items())
            if answer.details:
                status = status_pb2.Status(code=number, message=answer.message, details=_packed(answer.details))
                trailers.append(("grpc-status-details-bin", status.SerializeToString()))
            context.set_trailing_metadata(tuple(trailers))
            context.abort(next(code for code in grpc.StatusCode if code.value[0] == number), answer.message)
            raise AssertionError("abort raises")
        return bytes(answer) if isinstance(answer, Raw) else answer.SerializeToString()


class _BothServer:
    """gRPC, and REST for what travels as JSON on every transport: told apart by the first bytes."""

    def __init__(self, take: Answer) -> None:
        self._grpc = _GrpcServer(take)
        self._http = _HttpServer(take)
        self._front = SocketServer(self._pass_on)

    @property
    def port(self) -> int:
        return self._front.port

    def connections(self) -> int:
        return len(self._front.connections)

    def start(self) -> None:
        self._grpc.start()
        self._http.start()
        self._front.__enter__()

    def stop(self) -> None:
        self._front.__exit__()
        self._http.stop()
        self._grpc.stop()

    def _pass_on(self, connection: socket.socket) -> None:
        http2 = connection.recv(3, socket.MSG_PEEK) == b"PRI"
        with socket.create_connection(("127.0.0.1", (self._grpc if http2 else self._http).port)) as behind:
            join(connection, behind)


class _HttpServer:
    def __init__(self, take: Answer) -> None:
        self._take = take
        self._server = SocketServer(self._serve)

    @property
    def port(self) -> int:
        return self._server.port

    def connections(self) -> int:
        return len(self._server.connections)

    def start(self) -> None:
        self._server.__enter__()

    def stop(self) -> None:
        self._server.__exit__()

    def _serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            answer: bytes = b""
            while not isinstance(answer, Raw):
                answer = self._respond(*read_request(stream))
                connection.sendall(answer)

    def _respond(self, verb: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
        connect = path in _BY_PATH
        method, request = _connect_request(path, headers, body) if connect else _rest_request(verb, path, body)
        milliseconds = headers.get("connect-timeout-ms")
        limit = None if milliseconds is None else int(milliseconds) / 1000
        answer = self._take(Received(method, request, headers, path, limit))
        if isinstance(answer, Raw):
            return answer
        if isinstance(answer, Failure):
            return _failure(answer, connect)
        if connect and headers["content-type"] == "application/proto":
            return http(200, answer.SerializeToString(), {"content-type": "application/proto"})
        return http(200, json.dumps(MessageToDict(answer)).encode(), {"content-type": "application/json"})


def read_request(stream: BinaryIO) -> tuple[str, str, dict[str, str], bytes]:
    first = stream.readline().decode("latin-1").split(" ")
    if len(first) != 3:
        raise EOFError
    pairs = (line.decode("latin-1").rstrip("\r\n").split(": ", 1) for line in iter(stream.readline, b"\r\n"))
    headers = {name.lower(): value for name, value in pairs}
    return first[0], first[1], headers, stream.read(int(headers.get("content-length", "0")))


def _connect_request(path: str, headers: dict[str, str], body: bytes) -> tuple[Method, Message]:
    method = _BY_PATH[path]
    if headers["content-type"] == "application/json":
        return method, ParseDict(json.loads(body), method.request())
    return method, method.request.FromString(body)


def _rest_request(verb: str, target: str, body: bytes) -> tuple[Method, Message]:
    url = urlsplit(target)
    for method in _LITERAL_FIRST:
        assert method.http is not None
        found = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", method.http.template), url.path)
        if found and verb == method.http.verb:
            fields = json.loads(body) if body else {}
            fields |= {name: unquote(value) for name, value in found.groupdict().items()} | _query(method, url.query)
            return method, ParseDict(fields, method.request())
    raise AssertionError(f"no method is called by {verb} {target}")


def _query(method: Method, query: str) -> dict[str, Any]:
    repeated = {field.json_name for field in method.request.DESCRIPTOR.fields if field.is_repeated}
    return {name: values if name in repeated else values[0] for name, values in parse_qs(query).items()}


def _failure(failure: Failure, connect: bool) -> bytes:
    number, status = STATUS_OF[failure.code]
    if connect:
        details: list[Any] = [
            {"type": each.DESCRIPTOR.full_name, "value": b64encode(each.SerializeToString()).decode().rstrip("=")}
            for each in failure.details
        ]
        body: dict[str, Any] = {"code": failure.code, "message": failure.message, "details": details}
    else:
        details = [MessageToDict(each) for each in _packed(failure.details)]
        body = {"code": number, "message": failure.message, "details": details}
    return http(status, json.dumps(body).encode(), {"content-type": "application/json", **failure.headers})


def http(status: int, body: bytes, headers: Mapping[str, str]) -> bytes:
    """A whole HTTP/1.1 answer."""
    lines = [f"HTTP/1.1 {status} told", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


def _packed(details: Sequence[Message]) -> list[AnyMessage]:
    packed = [AnyMessage() for _ in details]
    for box, each in zip(packed, details, strict=True):
        box.Pack(each)
    return packed

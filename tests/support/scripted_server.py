"""A server whose responses are scripted: a function of the test decides how it responds to each request.

It serves gRPC and REST, or Connect and REST over HTTP/1.1, on a port of its own. It uses no code of the library except
the table of methods. What it sends over HTTP may be any bytes.
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

from .socket_servers import SocketServer, relay

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
class ReceivedRequest:
    """A request as it was received."""

    method: Method
    request: Any
    headers: Mapping[str, str]
    path: str
    timeout: float | None = None
    """The timeout in seconds that the client sent; None if it sent none, as over REST."""


@dataclass
class Failure(Exception):
    """A response that is an error."""

    code: str
    message: str = ""
    details: Sequence[Message] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


class Raw(bytes):
    """A response as bytes: over HTTP all of it, from the status line on; over gRPC the message.

    Over HTTP the connection closes after a response that is not complete.
    """


_NO_TIMEOUT = 1e9
"""A time that is left above this, in seconds, means that grpcio has no timeout."""

Responder = Callable[[ReceivedRequest], Message | Failure | Raw]
"""Returns the response to a request."""


def containing(method: Method, resources: object) -> Message:
    """Return a response of a method with a resource, or a list of them, in it."""
    field = method.response.DESCRIPTOR.fields[0].name
    return method.response(**{field: resources})


class ScriptedServer:
    """A server that runs for as long as its `with` block, and records what it receives."""

    def __init__(self, transport: str, respond: Responder) -> None:
        self._respond = respond
        self.received: list[ReceivedRequest] = []
        self._server = _GrpcAndHttpServer(self._record) if transport == "grpc" else _HttpServer(self._record)
        self.settings: dict[str, Any] = {"http_version": 1} if transport.startswith("connect") else {}

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    def connections(self) -> int:
        """Return how many connections were accepted so far."""
        return self._server.connections()

    def _record(self, received: ReceivedRequest) -> Message | Failure | Raw:
        self.received.append(received)
        return self._respond(received)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()


class _GrpcServer(grpc.GenericRpcHandler):
    def __init__(self, respond: Responder) -> None:
        self._respond = respond
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
        return grpc.unary_unary_rpc_method_handler(lambda body, context: self._handle(method, body, context))

    def _handle(self, method: Method, body: bytes, context: Any) -> bytes:
        headers = {key.lower(): value for key, value in context.invocation_metadata()}
        timeout = context.time_remaining()
        timeout = timeout if timeout is not None and timeout < _NO_TIMEOUT else None
        response = self._respond(
            ReceivedRequest(method, method.request.FromString(body), headers, method.path, timeout)
        )
        if isinstance(response, Failure):
            number = STATUS_OF[response.code][0]
            trailers: list[tuple[str, str | bytes]] = list(response.headers.items())
            if response.details:
                status = status_pb2.Status(code=number, message=response.message, details=_packed(response.details))
                trailers.append(("grpc-status-details-bin", status.SerializeToString()))
            context.set_trailing_metadata(tuple(trailers))
            context.abort(next(code for code in grpc.StatusCode if code.value[0] == number), response.message)
            raise AssertionError("abort raises")
        return bytes(response) if isinstance(response, Raw) else response.SerializeToString()


class _GrpcAndHttpServer:
    """gRPC, and REST for the calls that travel as JSON on every transport, distinguished by their first bytes."""

    def __init__(self, respond: Responder) -> None:
        self._grpc = _GrpcServer(respond)
        self._http = _HttpServer(respond)
        self._listener = SocketServer(self._forward)

    @property
    def port(self) -> int:
        return self._listener.port

    def connections(self) -> int:
        return len(self._listener.connections)

    def start(self) -> None:
        self._grpc.start()
        self._http.start()
        self._listener.__enter__()

    def stop(self) -> None:
        self._listener.__exit__()
        self._http.stop()
        self._grpc.stop()

    def _forward(self, connection: socket.socket) -> None:
        http2 = connection.recv(3, socket.MSG_PEEK) == b"PRI"
        with socket.create_connection(("127.0.0.1", (self._grpc if http2 else self._http).port)) as target:
            relay(connection, target)


class _HttpServer:
    def __init__(self, respond: Responder) -> None:
        self._respond = respond
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
            is_open = True
            while is_open:
                response = self._handle(*read_request(stream))
                connection.sendall(response)
                is_open = not isinstance(response, Raw) or _is_whole(response)

    def _handle(self, verb: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
        connect = path in _BY_PATH
        method, request = _connect_request(path, headers, body) if connect else _rest_request(verb, path, body)
        milliseconds = headers.get("connect-timeout-ms")
        timeout = None if milliseconds is None else int(milliseconds) / 1000
        response = self._respond(ReceivedRequest(method, request, headers, path, timeout))
        if isinstance(response, Raw):
            return response
        if isinstance(response, Failure):
            return _failure(response, connect)
        if connect and headers["content-type"] == "application/proto":
            return http_response(200, response.SerializeToString(), {"content-type": "application/proto"})
        return http_response(200, json.dumps(MessageToDict(response)).encode(), {"content-type": "application/json"})


def read_request(stream: BinaryIO) -> tuple[str, str, dict[str, str], bytes]:
    """Return verb, target, headers and body of an HTTP/1.1 request. Raises EOFError at the end of the connection."""
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
    raise AssertionError(f"no method has the route {verb} {target}")


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
    return http_response(status, json.dumps(body).encode(), {"content-type": "application/json", **failure.headers})


def _is_whole(response: bytes) -> bool:
    """Return whether a response is complete, so that clients may use its connection again."""
    head, _, body = response.partition(b"\r\n\r\n")
    return b"\r\ncontent-length: %d\r\n" % len(body) in head.lower() + b"\r\n"


def http_response(status: int, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return a whole HTTP/1.1 response."""
    lines = [f"HTTP/1.1 {status} scripted", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


def _packed(details: Sequence[Message]) -> list[AnyMessage]:
    packed = [AnyMessage() for _ in details]
    for target, each in zip(packed, details, strict=True):
        target.Pack(each)
    return packed

"""Streaming calls: one to an unknown method fails at once, by whatever protocol, though its request never ends."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from tests.support.emulated_protocols import ROOT, ApiServer

from .test_server import PATH, Http2

ELSEWHERE = "/grpc.health.v1.Health/Watch"
UNKNOWN = "/coreweave.inference.v1alpha1.GatewayService/PaintGateways"
FRAME = b"\0\0\0\0\2{}"


def identity(message: bytes) -> bytes:
    return message


@pytest.mark.parametrize("path", [ELSEWHERE, UNKNOWN])
@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
def test_grpc_gets_unimplemented(server: ApiServer, path: str, kind: str) -> None:
    ended = threading.Event()

    def endless() -> Iterator[bytes]:
        yield b""
        ended.wait()

    # Not grpc.aio: it reports INTERNAL if the response arrives while it writes a message.
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        callable_: Any = getattr(channel, kind)(path, request_serializer=identity, response_deserializer=identity)
        request = endless() if kind.startswith("stream") else b""
        with pytest.raises(grpc.RpcError) as caught:
            list(callable_(request, timeout=30))  # raises, or is a stream that raises
        ended.set()
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert path in error.details()


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc+proto", "application/grpc+json"])
def test_a_grpc_stream_without_any_message_gets_unimplemented(server: ApiServer, kind: str) -> None:
    connection = Http2(server.port)
    number = connection.request(kind=kind, path=ELSEWHERE)
    assert connection.response(number)[0]["grpc-status"] == "12"
    connection.data(number, FRAME)  # what still arrives of the stream harms nothing
    other = connection.request(kind=kind, path=UNKNOWN)
    assert connection.response(other)[0]["grpc-status"] == "12"
    connection.close()


@pytest.mark.parametrize("kind", ["stream_unary", "stream_stream"])
def test_a_second_message_to_a_unary_method_gets_unimplemented_at_once(server: ApiServer, kind: str) -> None:
    ended = threading.Event()

    def endless() -> Iterator[bytes]:
        yield b""
        yield b""
        ended.wait()

    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        callable_: Any = getattr(channel, kind)(PATH, request_serializer=identity, response_deserializer=identity)
        with pytest.raises(grpc.RpcError) as caught:
            list(callable_(endless(), timeout=30))
        ended.set()
    error: Any = caught.value
    assert (error.code(), error.details()) == (grpc.StatusCode.UNIMPLEMENTED, "unary request has multiple messages")
    assert server.api.calls == []


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ([b"\0\0", b"\0\0", b"\2{}\0"], 12),
        ([FRAME, b"\0"], 12),
        ([b"\0\0\0\0\0", b"\0\0\0\0\0"], 12),
        ([b"\x80"], 13),
    ],
)
@pytest.mark.parametrize("web", [False, True])
def test_a_body_that_is_more_than_a_message_is_refused_before_its_end(
    server: ApiServer, web: bool, pieces: list[bytes], status: int
) -> None:
    connection = Http2(server.port)
    number = connection.request(kind="application/grpc-web+json" if web else "application/grpc+json")
    for piece in pieces:
        connection.data(number, piece)
    headers, body = connection.response(number)
    assert f"grpc-status: {status}\r\n".encode() in body if web else headers["grpc-status"] == str(status)
    connection.close()


@pytest.mark.parametrize("web", ["application/grpc-web+proto", "application/grpc-web-text"])
def test_a_grpc_web_stream_gets_unimplemented(server: ApiServer, web: str) -> None:
    connection = Http2(server.port)
    number = connection.request(kind=web, path=UNKNOWN)
    body = connection.response(number)[1]
    assert body.startswith(b"\x80") or web.endswith("text")
    connection.close()
    assert b"200" in first_line(server, UNKNOWN, web)


@pytest.mark.parametrize("kind", ["application/connect+proto", "application/connect+json", "application/json"])
@pytest.mark.parametrize("path", [ELSEWHERE, UNKNOWN])
def test_a_connect_stream_to_an_unknown_method_is_not_found(server: ApiServer, path: str, kind: str) -> None:
    connection = Http2(server.port)
    number = connection.request(kind=kind, path=path)
    connection.data(number, FRAME)
    assert connection.response(number)[0][":status"] == "404"
    connection.close()
    assert b" 404 " in first_line(server, path, kind)


def test_a_connect_stream_to_a_unary_method_has_an_unsupported_type(server: ApiServer) -> None:
    path = "/coreweave.inference.v1alpha1.GatewayService/GetGateway"
    assert b" 415 " in first_line(server, path, "application/connect+json")


@pytest.mark.parametrize("path", ["/", f"{ROOT}/pets", f"{ROOT}/gateways/1/2", "/gateway/none/v1/completions"])
def test_an_endless_body_to_an_unknown_path_is_not_waited_for(server: ApiServer, path: str) -> None:
    assert b" 404 " in first_line(server, path, "application/json")


def first_line(server: ApiServer, path: str, kind: str) -> bytes:
    """Begin a request over HTTP/1.1 whose body does not end; return the status line of the response."""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(head.encode() + b"7\r\n" + FRAME + b"\r\n")
        return connection.makefile("rb").readline()


def test_a_connection_goes_on_after_a_response_that_came_before_the_end_of_its_request(server: ApiServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        received = connection.makefile("rb")
        for _ in range(3):
            connection.sendall(b"POST /none HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\n12")
            assert b" 404 " in received.readline()
            headers = [line.lower() for line in iter(received.readline, b"\r\n")]
            (length,) = [int(line.partition(b":")[2]) for line in headers if line.startswith(b"content-length:")]
            assert received.read(length).startswith(b"not found")
            connection.sendall(b"345")

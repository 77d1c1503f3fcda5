"""Responses that would fill the memory: rejected with a clear error, in no more memory than twice the size limit."""

import gzip
import itertools
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.samples import BY_NAME, DIRECTORY, response_to
from tests.support.scripted_server import http_response, read_request
from tests.support.socket_servers import SocketServer, http2_response

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024
LIMIT = 16 * MIB
HTTP_KINDS = ["connect-sync", "connect-async", "connect-json-async", "rest-sync", "rest-async"]


def compressed_body(media: str) -> Iterable[bytes]:
    """Yield 256 MiB of zeros, compressed to a quarter of a MiB."""
    zeros = gzip.compress(bytes(256 * MIB), compresslevel=9)
    yield http_response(200, zeros, {"content-type": media, "content-encoding": "gzip"})


def long_body(media: str) -> Iterable[bytes]:
    """Yield 4 GiB, announced by content-length and sent."""
    yield f"HTTP/1.1 200 OK\r\ncontent-type: {media}\r\ncontent-length: {4 * 1024 * MIB}\r\n\r\n".encode()
    yield from itertools.repeat(bytes(MIB), 4 * 1024)


def endless_body(media: str) -> Iterable[bytes]:
    yield f"HTTP/1.1 200 OK\r\ncontent-type: {media}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    yield from itertools.repeat(b"100000\r\n" + bytes(MIB) + b"\r\n", 4 * 1024)


def endless_headers(media: str) -> Iterable[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    yield from itertools.repeat(b"x-more: " + b"x" * 8000 + b"\r\n", 500_000)


def deep_json(media: str) -> Iterable[bytes]:
    """Yield opening brackets up to the size limit."""
    yield http_response(200, b"[" * (LIMIT - 1), {"content-type": "application/json"})


def compressed_error(media: str) -> Iterable[bytes]:
    """Yield an error with a compressed body."""
    zeros = gzip.compress(bytes(256 * MIB), compresslevel=9)
    yield http_response(500, zeros, {"content-type": "application/json", "content-encoding": "gzip"})


Oversized = Callable[[str], Iterable[bytes]]

EXPECTED: Mapping[Oversized, set[str]] = {
    compressed_body: {"ProtocolError"},
    long_body: {"ProtocolError"},
    endless_body: {"ProtocolError"},
    endless_headers: {"ProtocolError"},
    deep_json: {"ProtocolError"},
    compressed_error: {"Unknown"},  # the class of its status: the body of an error does not count
}


@pytest.mark.parametrize("oversized", EXPECTED)
@pytest.mark.parametrize("kind", HTTP_KINDS)
def test_an_oversized_response_is_rejected_in_bounded_memory_and_the_next_call_works(
    kind: str, oversized: Oversized
) -> None:
    media = "application/proto" if kind in ("connect-sync", "connect-async") else "application/json"
    responses = iter([oversized])

    def serve(connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            read_request(stream)
        for piece in pieces(next(responses, None), media):
            connection.sendall(piece)

    with SocketServer(serve) as server:
        first, second, growth = call_twice(kind, server.endpoint)
    assert first in EXPECTED[oversized]
    assert second == "ok"
    assert growth <= 2 * LIMIT


def test_a_compressed_grpc_message_is_rejected_in_bounded_memory() -> None:
    zeros = gzip.compress(bytes(48 * MIB), compresslevel=9)
    headers = {"content-type": "application/grpc", "grpc-encoding": "gzip"}
    with SocketServer(http2_response(200, headers, b"\1" + len(zeros).to_bytes(4, "big") + zeros)) as server:
        first, _, growth = call_twice("grpc-async", server.endpoint)
    assert first == "ProtocolError"
    assert growth <= 2 * LIMIT


def pieces(oversized: Oversized | None, media: str) -> Iterator[bytes]:
    """Yield the bytes of an oversized response; of a normal one if it is None."""
    if oversized is not None:
        yield from oversized(media)
    elif media == "application/proto":
        yield http_response(200, response_to(BY_NAME["GetGateway"]).SerializeToString(), {"content-type": media})
    else:
        sample = DIRECTORY / "GatewayService.GetGateway.response.json"
        yield http_response(200, sample.read_bytes(), {"content-type": media})


def call_twice(kind: str, endpoint: str) -> tuple[str, str, int]:
    """Make two calls in a new process; return how they ended, and by how many bytes its memory grew."""
    command = [sys.executable, "-m", "tests.support.memory_program", kind, endpoint, str(LIMIT)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    first, second, growth = done.stdout.split()
    return first, second, int(growth) * 1024

"""Answers that would fill the memory: refused with a clear error, at no more than twice the limit, and survived."""

import gzip
import itertools
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.samples import BY_NAME, DIRECTORY, response_to
from tests.support.scripted_server import http, read_request
from tests.support.socket_servers import SocketServer, http2_answer

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024
LIMIT = 16 * MIB
HTTP_KINDS = ["connect-sync", "connect-async", "connect-json-async", "rest-sync", "rest-async"]


def gzip_bomb(media: str) -> Iterable[bytes]:
    """256 MiB of zeros in a quarter of a MiB."""
    zeros = gzip.compress(bytes(256 * MIB), compresslevel=9)
    yield http(200, zeros, {"content-type": media, "content-encoding": "gzip"})


def great_length(media: str) -> Iterable[bytes]:
    """4 GiB, announced and sent."""
    yield f"HTTP/1.1 200 OK\r\ncontent-type: {media}\r\ncontent-length: {4 * 1024 * MIB}\r\n\r\n".encode()
    yield from itertools.repeat(bytes(MIB), 4 * 1024)


def endless_body(media: str) -> Iterable[bytes]:
    yield f"HTTP/1.1 200 OK\r\ncontent-type: {media}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    yield from itertools.repeat(b"100000\r\n" + bytes(MIB) + b"\r\n", 4 * 1024)


def endless_headers(media: str) -> Iterable[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    yield from itertools.repeat(b"x-more: " + b"x" * 8000 + b"\r\n", 500_000)


def deep_json(media: str) -> Iterable[bytes]:
    """Brackets that open and open, up to the limit."""
    yield http(200, b"[" * (LIMIT - 1), {"content-type": "application/json"})


def failed_with_a_bomb(media: str) -> Iterable[bytes]:
    """An error whose body is the bomb."""
    zeros = gzip.compress(bytes(256 * MIB), compresslevel=9)
    yield http(500, zeros, {"content-type": "application/json", "content-encoding": "gzip"})


Bomb = Callable[[str], Iterable[bytes]]

EXPECTED: Mapping[Bomb, set[str]] = {
    gzip_bomb: {"ProtocolError"},
    great_length: {"ProtocolError"},
    endless_body: {"ProtocolError"},
    endless_headers: {"Unavailable", "Internal"},
    deep_json: {"ProtocolError"},
    failed_with_a_bomb: {"ProtocolError"},
}


@pytest.mark.parametrize("bomb", EXPECTED)
@pytest.mark.parametrize("kind", HTTP_KINDS)
def test_a_bomb_is_refused_within_bounds_and_survived(kind: str, bomb: Bomb) -> None:
    media = "application/proto" if kind in ("connect-sync", "connect-async") else "application/json"
    first = iter([bomb])

    def serve(connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            read_request(stream)
        for piece in pieces(next(first, None), media):
            connection.sendall(piece)

    with SocketServer(serve) as server:
        end, then, growth = calls(kind, server.endpoint)
    assert end in EXPECTED[bomb]
    assert then == "ok"
    assert growth <= 2 * LIMIT


def test_a_bomb_over_grpc_is_refused_within_bounds() -> None:
    zeros = gzip.compress(bytes(48 * MIB), compresslevel=9)
    headers = {"content-type": "application/grpc", "grpc-encoding": "gzip"}
    with SocketServer(http2_answer(200, headers, b"\1" + len(zeros).to_bytes(4, "big") + zeros)) as server:
        end, _, growth = calls("grpc-async", server.endpoint)
    assert end == "ProtocolError"
    assert growth <= 2 * LIMIT


def pieces(bomb: Bomb | None, media: str) -> Iterator[bytes]:
    """The bytes of a bomb, or of a sound answer."""
    if bomb is not None:
        yield from bomb(media)
    elif media == "application/proto":
        yield http(200, response_to(BY_NAME["GetGateway"]).SerializeToString(), {"content-type": media})
    else:
        sample = DIRECTORY / "GatewayService.GetGateway.response.json"
        yield http(200, sample.read_bytes(), {"content-type": media})


def calls(kind: str, endpoint: str) -> tuple[str, str, int]:
    """How two calls of a process of its own ended, and by how many bytes it grew."""
    command = [sys.executable, "-m", "tests.support.memory_program", kind, endpoint, str(LIMIT)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    first, second, growth = done.stdout.split()
    return first, second, int(growth) * 1024

"""Peers that never come to an end: every call ends with its deadline, 50 ms later at most.

The figure is for the 99th percentile of an idle machine, and `make soak` asks for it by `CWINFERENCE_CALLS`; the short
form asks it of the median, and of the slowest only that it ends soon.
"""

import asyncio
import os
import socket
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from cwinference import AsyncClient, Retry, errors
from tests.support.clients import KINDS, open_client
from tests.support.peer import Failure, http
from tests.support.sockets import SocketServer, silence
from tests.support.told import told

CALLS = int(os.environ.get("CWINFERENCE_CALLS", "3"))
LIMIT = 0.15
ALLOWED = 0.05
SLOWEST = 0.5

_SETTINGS = bytes.fromhex("000000040000000000")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def silent(kind: str) -> Generator[str]:
    with SocketServer(silence) as server:
        yield server.endpoint


@contextmanager
def dripping(kind: str) -> Generator[str]:
    """A byte every 20 ms: of HTTP/2 frames that say nothing, or of the body of an answer."""
    http2 = not kind.startswith("rest")
    begun = _SETTINGS if http2 else http(200, b" " * 10_000, {"content-type": "application/json"})[:-9_999]
    rest = bytes.fromhex("000008060000000000") + bytes(8) if http2 else b" "

    def drip(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(begun)
        while True:
            for byte in rest:
                connection.sendall(bytes([byte]))
                time.sleep(0.02)

    with SocketServer(drip) as server:
        yield server.endpoint


@contextmanager
def half_open(kind: str) -> Generator[str]:
    """A listener whose connections nobody takes up."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def slow_tls(kind: str) -> Generator[str]:
    """A handshake that is never answered."""
    with silent(kind) as endpoint:
        yield endpoint.replace("http://", "https://")


@pytest.mark.parametrize("peer", [silent, dripping, half_open, slow_tls])
async def test_calls_end_with_their_deadline(kind: str, peer: Callable[[str], Any]) -> None:
    with peer(kind) as endpoint:
        async with open_client(kind, endpoint) as client:
            check([await overrun(client) for _ in range(CALLS)])


async def test_calls_end_with_their_deadline_through_repeats(kind: str) -> None:
    endless = Retry(max_attempts=1000, initial_backoff=0.01, max_backoff=0.02)
    down = Failure("unavailable", "down")
    async with told(kind, lambda _: down, retry=endless) as (client, _):
        started = time.monotonic()
        with pytest.raises(errors.ApiError):
            await client.gateways.get("some-id", timeout=LIMIT)
        assert time.monotonic() - started < LIMIT + SLOWEST


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.endswith("-async")])
async def test_calls_end_with_their_deadline_while_a_token_is_fetched(kind: str) -> None:
    async with hesitant(kind) as client:
        check([await overrun(client) for _ in range(CALLS)])


@asynccontextmanager
async def hesitant(kind: str) -> AsyncGenerator[AsyncClient]:
    """A client whose token source never answers."""

    async def never() -> str:
        await asyncio.Event().wait()
        return "token"

    with silent(kind) as endpoint:
        async with open_client(kind, endpoint, token=never) as client:
            yield client


async def overrun(client: AsyncClient) -> float:
    """Seconds between a call's deadline and its end; gRPC gives a peer up after 5 s, and then says so before it."""
    started = time.monotonic()
    with pytest.raises((errors.DeadlineExceeded, errors.Unavailable)):
        await client.gateways.get("some-id", timeout=LIMIT)
    return time.monotonic() - started - LIMIT


def check(overruns: list[float]) -> None:
    assert overruns[0] > -ALLOWED
    overruns.sort()
    assert overruns[len(overruns) // 2] < ALLOWED
    assert overruns[-1] < SLOWEST
    if len(overruns) >= 100:
        assert overruns[len(overruns) * 99 // 100] < ALLOWED

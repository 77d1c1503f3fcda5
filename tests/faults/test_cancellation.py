"""Canceled calls behave as plain coroutines do, and leave no task, thread or descriptor behind.

`CWINFERENCE_CANCELS` is the number of calls to cancel; `make soak` cancels 10,000.
"""

import asyncio
import os
import random
import socket
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cwinference import AsyncClient, types
from tests.support.client_kinds import open_client
from tests.support.connected_client import connected
from tests.support.scripted_server import ReceivedRequest
from tests.support.socket_servers import THREAD_NAME, SocketServer, silence

CANCELS = int(os.environ.get("CWINFERENCE_CANCELS", "300"))
KINDS = ["grpc-async", "connect-async", "rest-async"]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def client_of_silent_server(kind: str) -> AsyncGenerator[AsyncClient]:
    """Yield a client of a server that never responds."""
    with SocketServer(silence if kind.startswith("rest") else greet) as server:
        async with open_client(kind, server.endpoint) as client:
            yield client


@asynccontextmanager
async def client_in_mid_call(kind: str) -> AsyncGenerator[tuple[AsyncClient, Callable[[], Awaitable[object]]]]:
    """Yield a client whose next call gets no response, and a function that waits until the server received it."""
    received, go = threading.Event(), threading.Event()

    def wait(_: ReceivedRequest) -> types.GetGatewayResponse:
        received.set()
        go.wait(60)
        return types.GetGatewayResponse()

    async with connected(kind, wait) as (client, _):
        try:
            yield client, lambda: asyncio.to_thread(received.wait, 60)
        finally:
            go.set()


async def test_a_canceled_task_is_canceled(kind: str) -> None:
    async with client_in_mid_call(kind) as (client, received):
        call = asyncio.create_task(client.gateways.get("x"))
        await received()
        call.cancel("stop")
        with pytest.raises(asyncio.CancelledError):
            await call
        assert call.cancelled()


async def test_an_asyncio_timeout_around_a_call_is_a_plain_timeout_error(kind: str) -> None:
    async with client_of_silent_server(kind) as client:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.05):
                await client.gateways.get("x")
    assert type(caught.value) is TimeoutError


async def test_a_failed_task_group_reports_only_its_own_error(kind: str) -> None:
    async with client_in_mid_call(kind) as (client, received):
        with pytest.raises(ExceptionGroup) as caught:
            await raise_in_group(client, received)
    assert [str(each) for each in caught.value.exceptions] == ["mine"]


async def test_many_canceled_calls_leave_nothing_behind(kind: str) -> None:
    chance = random.Random(11)  # noqa: S311
    async with client_of_silent_server(kind) as client:
        await cancel_calls(client, 20, chance)
        before = await settled(1, 1)
        for _ in range(CANCELS // 20):
            await cancel_calls(client, 20, chance)
        assert len(asyncio.all_tasks()) == 1
        assert await settled(before) <= before


def greet(connection: socket.socket) -> None:
    """Begin HTTP/2, because gRPC gives up a silent server after 5 s, and send nothing more."""
    connection.sendall(bytes.fromhex("000000040000000000"))
    silence(connection)


async def raise_in_group(client: AsyncClient, received: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(client.gateways.get("x"))
        await received()
        raise ValueError("mine")


async def cancel_calls(client: AsyncClient, number: int, chance: random.Random) -> None:
    """Start calls and cancel each after a moment that a seed decides, some before anything was sent."""
    calls = [asyncio.create_task(client.gateways.get("x")) for _ in range(number)]
    for call in calls:
        await asyncio.sleep(chance.choice((0, 0, 0.001)))
        call.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}


async def settled(expected: int, seconds: int = 60) -> int:
    """Return the number of open descriptors and threads once it is at most `expected`, or after `seconds`.

    It is polled, because the system reports none of them.
    """
    for _ in range(seconds * 100):
        if (found := _in_use()) <= expected:
            return found
        await asyncio.sleep(0.01)
    return _in_use()


def _in_use() -> int:
    """Return the number of open descriptors and threads, without the threads of the server and of `to_thread`."""
    threads = [each for each in threading.enumerate() if not each.name.startswith((THREAD_NAME, "asyncio_"))]
    return len(list(Path("/proc/self/fd").iterdir())) + len(threads)

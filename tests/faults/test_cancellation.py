"""Cancelled calls behave as bare coroutines do, and leave no task, thread or descriptor behind.

`make soak` says by `CWINFERENCE_CANCELS` how many; the figure is 10,000.
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
from tests.support.connected_client import told
from tests.support.scripted_server import Received
from tests.support.socket_servers import SERVER, SocketServer, silence

CANCELS = int(os.environ.get("CWINFERENCE_CANCELS", "300"))
KINDS = ["grpc-async", "connect-async", "rest-async"]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def waiting(kind: str) -> AsyncGenerator[AsyncClient]:
    """A client of a server that never answers a call."""
    with SocketServer(silence if kind.startswith("rest") else greet) as server:
        async with open_client(kind, server.endpoint) as client:
            yield client


@asynccontextmanager
async def in_mid_call(kind: str) -> AsyncGenerator[tuple[AsyncClient, Callable[[], Awaitable[object]]]]:
    """A client of a server that keeps it waiting, and what waits until it does."""
    asked, go = threading.Event(), threading.Event()

    def hesitate(_: Received) -> types.GetGatewayResponse:
        asked.set()
        go.wait(10)
        return types.GetGatewayResponse()

    async with told(kind, hesitate) as (client, _):
        try:
            yield client, lambda: asyncio.to_thread(asked.wait, 10)
        finally:
            go.set()


async def test_a_cancelled_task_is_cancelled(kind: str) -> None:
    async with in_mid_call(kind) as (client, asked):
        call = asyncio.create_task(client.gateways.get("x"))
        await asked()
        call.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await call
        assert call.cancelled()


async def test_a_timeout_around_a_call_is_a_timeout(kind: str) -> None:
    async with waiting(kind) as client:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.05):
                await client.gateways.get("x")
    assert type(caught.value) is TimeoutError


async def test_a_group_that_fails_tells_of_its_own_error_only(kind: str) -> None:
    async with in_mid_call(kind) as (client, asked):
        with pytest.raises(ExceptionGroup) as caught:
            await fail_beside(client, asked)
    assert [str(each) for each in caught.value.exceptions] == ["mine"]


async def test_many_cancels_leave_nothing_behind(kind: str) -> None:
    chance = random.Random(11)  # noqa: S311
    async with waiting(kind) as client:
        await cancel_some(client, 20, chance)
        before = await settled(1, 1)
        for _ in range(CANCELS // 20):
            await cancel_some(client, 20, chance)
        assert len(asyncio.all_tasks()) == 1
        assert await settled(before) <= before


def greet(connection: socket.socket) -> None:
    """Begin HTTP/2, without which gRPC gives a peer up after 5 s, and say no more."""
    connection.sendall(bytes.fromhex("000000040000000000"))
    silence(connection)


async def fail_beside(client: AsyncClient, asked: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(client.gateways.get("x"))
        await asked()
        raise ValueError("mine")


async def cancel_some(client: AsyncClient, number: int, chance: random.Random) -> None:
    """Begin so many calls and cancel each after a moment, some before anything was sent."""
    calls = [asyncio.create_task(client.gateways.get("x")) for _ in range(number)]
    for call in calls:
        await asyncio.sleep(chance.choice((0, 0, 0.001)))
        call.cancel()
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(end) for end in ends} == {asyncio.CancelledError}


async def settled(wanted: int, seconds: int = 10) -> int:
    """Open descriptors and threads, once they are no more than wanted, or after so long."""
    for _ in range(seconds * 100):
        if (found := _in_use()) <= wanted:
            return found
        await asyncio.sleep(0.01)
    return _in_use()


def _in_use() -> int:
    """Without the threads of the server and those of the loop's own helpers, by which the tests wait."""
    threads = [each for each in threading.enumerate() if not each.name.startswith((SERVER, "asyncio_"))]
    return len(list(Path("/proc/self/fd").iterdir())) + len(threads)

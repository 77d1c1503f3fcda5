"""Cancelled streams and completions: the server sees each hang-up, and nothing stays behind.

`make soak` says by `CWINFERENCE_CANCELS` how many; the figure is 10,000.
"""

import asyncio
import os
from typing import Any

import pytest

from tests.faults.test_cancels import settled
from tests.support.inference_kinds import Front, asked
from tests.support.scripted_model_server import piece, silence, streamed

CANCELS = int(os.environ.get("CWINFERENCE_CANCELS", "60"))
KINDS = ["async-1", "async-2"]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def endless(_: object) -> Any:
    return streamed(piece("a"), after=silence())


async def read(front: Front, came: asyncio.Event | None = None) -> None:
    async with front.stream() as stream:
        async for _ in stream:
            if came is not None:
                came.set()


async def test_a_timeout_around_a_stream_is_a_timeout(kind: str) -> None:
    async with asked(kind, endless) as (front, server):
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.1):
                await read(front)
        assert await asyncio.to_thread(server.hung_up.wait, 5)
    assert type(caught.value) is TimeoutError


async def test_a_group_that_fails_ends_its_streams_and_tells_of_its_own_error_only(kind: str) -> None:
    async with asked(kind, endless) as (front, server):
        with pytest.raises(ExceptionGroup) as caught:
            await fail_beside(front)
        assert await asyncio.to_thread(server.hung_up.wait, 5)
        assert front.inference.stats().in_flight == 0
    assert [str(each) for each in caught.value.exceptions] == ["mine"]


async def fail_beside(front: Front) -> None:
    came = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(read(front, came))
        await came.wait()
        raise ValueError("mine")


async def test_many_cancelled_streams_leave_nothing_behind(kind: str) -> None:
    async with asked(kind, endless) as (front, server):
        await cancel_one(front, server)
        before = await settled(1, 1)
        for _ in range(CANCELS):
            await cancel_one(front, server)
        assert len(asyncio.all_tasks()) == 1
        assert await settled(before) <= before
        assert front.inference.stats().in_flight == 0
        if kind.endswith("2"):
            assert server.connections == 1


async def cancel_one(front: Front, server: Any) -> None:
    """Cancel a stream in the middle; the server sees it."""
    came = asyncio.Event()
    reader = asyncio.create_task(read(front, came))
    await came.wait()
    server.hung_up.clear()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert await asyncio.to_thread(server.hung_up.wait, 5)

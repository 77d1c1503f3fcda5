"""Canceled streams: the server sees each hang-up, and nothing is left behind.

`CWINFERENCE_CANCELS` is the number of streams to cancel; `make soak` cancels 10,000.
"""

import asyncio
import os
from typing import Any

import pytest

from cwinference.transports._pool import EARLY_ENDS_PER_CONNECTION
from tests.faults.test_cancellation import settled
from tests.support.inference_kinds import AnyInference, connected
from tests.support.scripted_model_server import chunk_event, endless_silence, stream_response

CANCELS = int(os.environ.get("CWINFERENCE_CANCELS", "60"))
KINDS = ["async-1", "async-2"]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def respond(_: object) -> Any:
    return stream_response(chunk_event("a"), after=endless_silence())


async def read(inference: AnyInference, started: asyncio.Event | None = None) -> None:
    async with inference.stream() as stream:
        async for _ in stream:
            if started is not None:
                started.set()


async def test_an_asyncio_timeout_around_a_stream_is_a_plain_timeout_error(kind: str) -> None:
    async with connected(kind, respond) as (inference, server):
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.1):
                await read(inference)
        assert await asyncio.to_thread(server.was_left)
    assert type(caught.value) is TimeoutError


async def test_a_failed_task_group_ends_its_streams_and_reports_only_its_own_error(kind: str) -> None:
    async with connected(kind, respond) as (inference, server):
        with pytest.raises(ExceptionGroup) as caught:
            await raise_in_group(inference)
        assert await asyncio.to_thread(server.was_left)
        assert inference.wrapped.stats().in_flight == 0
    assert [str(each) for each in caught.value.exceptions] == ["mine"]


async def raise_in_group(inference: AnyInference) -> None:
    started = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(read(inference, started))
        await started.wait()
        raise ValueError("mine")


async def test_many_canceled_streams_leave_nothing_behind(kind: str) -> None:
    async with connected(kind, respond) as (inference, server):
        await cancel_stream(inference, server)
        before = await settled(1, 1)
        for _ in range(CANCELS):
            await cancel_stream(inference, server)
        assert len(asyncio.all_tasks()) == 1
        assert await settled(before) <= before
        assert inference.wrapped.stats().in_flight == 0
        if kind.endswith("2"):
            assert server.connections == 1 + CANCELS // EARLY_ENDS_PER_CONNECTION


async def cancel_stream(inference: AnyInference, server: Any) -> None:
    """Cancel a stream in the middle, and wait until the server sees the hang-up."""
    started = asyncio.Event()
    reader = asyncio.create_task(read(inference, started))
    await started.wait()
    server.hung_up.clear()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert await asyncio.to_thread(server.was_left)

"""Calls that are given up over HTTP/2 end no other calls on their connections, and leave nothing behind.

The HTTP/2 engine below pyqwest closes a connection after too many frames for streams that it has reset and forgotten.
At a round trip of 80 ms, some 500 cancels were enough to end all streams of an `AsyncInference`.
"""

import asyncio
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from threading import Barrier

import pytest

from cwinference import AsyncClient, Client, errors
from cwinference.inference import AsyncInference, Inference
from cwinference.transports._pool import CALLS_PER_CONNECTION, EARLY_ENDS_PER_CONNECTION, Lane
from tests.faults.test_cancellation import settled
from tests.support.client_kinds import TOKEN
from tests.support.distant_server import LONG, PROMPT, DistantServer
from tests.support.inference_kinds import MESSAGES

CANCELS = 2000
AT_ONCE = 80
NEIGHBORS = 10

GiveUp = Callable[[str], Awaitable[object]]
"""Begins a call of this name, and gives it up."""
Complete = Callable[[asyncio.Event], Awaitable[object]]
"""Makes a long call, sets the event when it has begun, and returns its result."""


@asynccontextmanager
async def watched(server: DistantServer, give_up: GiveUp) -> AsyncGenerator[None]:
    """Check that no connection saw too many resets, and that nothing is left behind, once the first calls are made."""
    for number in range(EARLY_ENDS_PER_CONNECTION // 2):
        await give_up(f"warm-up-{number}")
    before, lanes = await settled(1, 1), live_lanes()
    yield
    assert server.given_up_on.total() > CANCELS / 2  # some may be given up before they arrive
    assert max(server.given_up_on.values()) <= CALLS_PER_CONNECTION
    assert await settled(before) <= before
    assert live_lanes() <= lanes
    assert server.open_connections <= 1


def live_lanes() -> int:
    gc.collect()
    return sum(isinstance(each, Lane) for each in gc.get_objects())


async def give_many_up(server: DistantServer, give_up: GiveUp, complete: Complete) -> list[object]:
    """Give 2,000 calls up next to 10 long ones that begin at different times; return the results of these."""
    numbers = iter(range(CANCELS))
    neighbors = list[asyncio.Future[object]]()

    async def begin_one() -> None:
        begun = asyncio.Event()
        neighbors.append(asyncio.ensure_future(complete(begun)))
        neighbors[-1].add_done_callback(lambda _: begun.set())
        await begun.wait()

    async def give_up_some() -> None:
        for number in numbers:
            if number % (CANCELS // NEIGHBORS) == 0:
                await begin_one()
            await give_up(f"short-{number}")

    try:
        await asyncio.gather(*(give_up_some() for _ in range(AT_ONCE)))
        assert [each.done() for each in neighbors] == [False] * NEIGHBORS
    finally:
        server.finish()
    return await asyncio.gather(*neighbors)


def start_all(threads: ThreadPoolExecutor) -> None:
    """Start all threads, which are counted."""
    barrier = Barrier(AT_ONCE + NEIGHBORS)
    for each in [threads.submit(barrier.wait) for _ in range(barrier.parties)]:
        each.result()


async def test_streams_that_are_left_end_no_others() -> None:
    """Half of them are left by `break`, half because their task is canceled."""
    with DistantServer() as server:
        async with AsyncInference(server.url, token=TOKEN, http_version=2, limit=AT_ONCE + NEIGHBORS) as inference:

            async def complete(begun: asyncio.Event) -> str:
                async with inference.chat.completions.stream(model=LONG, messages=MESSAGES) as stream:
                    async for _ in stream:
                        begun.set()
                return stream.text

            async def read_one(name: str, begun: asyncio.Event) -> None:
                async with inference.chat.completions.stream(model=name, messages=MESSAGES) as stream:
                    async for _ in stream:
                        server.leave(name)
                        begun.set()
                        if name.endswith(tuple("02468")):
                            break

            async def give_up(name: str) -> None:
                begun = asyncio.Event()
                reader = asyncio.create_task(read_one(name, begun))
                reader.add_done_callback(lambda _: begun.set())
                await begun.wait()
                reader.cancel()
                await asyncio.wait([reader])
                assert reader.cancelled() or reader.result() is None

            async with watched(server, give_up):
                assert await give_many_up(server, give_up, complete) == ["ab"] * NEIGHBORS
        assert inference.stats().in_flight == 0


async def test_streams_that_threads_leave_end_no_others() -> None:
    with (
        DistantServer() as server,
        Inference(server.url, token=TOKEN, http_version=2, limit=AT_ONCE + NEIGHBORS) as inference,
        ThreadPoolExecutor(AT_ONCE + NEIGHBORS) as threads,
    ):
        loop = asyncio.get_running_loop()

        def read_long(begun: asyncio.Event) -> str:
            with inference.chat.completions.stream(model=LONG, messages=MESSAGES) as stream:
                for _ in stream:
                    loop.call_soon_threadsafe(begun.set)
            return stream.text

        def read_one(name: str) -> None:
            with inference.chat.completions.stream(model=name, messages=MESSAGES) as stream:
                for _ in stream:
                    server.leave(name)
                    break

        start_all(threads)
        async with watched(server, lambda name: loop.run_in_executor(threads, read_one, name)):
            ended = await give_many_up(
                server,
                lambda name: loop.run_in_executor(threads, read_one, name),
                lambda begun: loop.run_in_executor(threads, read_long, begun),
            )
            assert ended == ["ab"] * NEIGHBORS


async def test_canceled_unary_calls_end_no_others() -> None:
    loop = asyncio.get_running_loop()
    calls = dict[str, asyncio.Task[object]]()

    def cancel(name: str) -> None:
        """Cancel a call while its response is on its way."""
        loop.call_soon_threadsafe(lambda: calls[name].cancel())
        server.leave(name)

    with DistantServer() as server:
        async with AsyncClient(TOKEN, endpoint=server.url, transport="connect", retry=None) as client:

            async def complete(begun: asyncio.Event) -> bool:
                call = asyncio.ensure_future(client.gateways.get(LONG, timeout=None))
                await client.gateways.get(PROMPT)  # comes by the same connection, after it
                begun.set()
                return bool((await call).spec.id)

            async def give_up(name: str) -> None:
                calls[name] = asyncio.create_task(client.gateways.get(name))
                await asyncio.wait([calls[name]])
                assert calls.pop(name).cancelled()

            server.on_arrival = cancel
            async with watched(server, give_up):
                assert await give_many_up(server, give_up, complete) == [True] * NEIGHBORS


async def test_unary_calls_that_time_out_on_threads_end_no_others() -> None:
    with (
        DistantServer() as server,
        Client(TOKEN, endpoint=server.url, transport="connect", retry=None) as client,
        ThreadPoolExecutor(AT_ONCE + NEIGHBORS) as threads,
    ):
        loop = asyncio.get_running_loop()

        def complete(begun: asyncio.Event) -> bool:
            loop.call_soon_threadsafe(begun.set)
            return bool(client.gateways.get(LONG, timeout=None).spec.id)

        def time_out(name: str) -> None:
            with pytest.raises(errors.DeadlineExceeded):
                client.gateways.get(name, timeout=0.2)
            server.leave(name)

        start_all(threads)
        async with watched(server, lambda name: loop.run_in_executor(threads, time_out, name)):
            ended = await give_many_up(
                server,
                lambda name: loop.run_in_executor(threads, time_out, name),
                lambda begun: loop.run_in_executor(threads, complete, begun),
            )
            assert ended == [True] * NEIGHBORS

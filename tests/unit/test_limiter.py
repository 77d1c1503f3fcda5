"""The gate: so many at once, the others in the order in which they came, across threads and loops."""

import asyncio
import threading
from typing import Any

import pytest

from cwinference.errors import ConfigurationError, DeadlineExceeded
from cwinference.inference._limiter import Limiter


def standing(gate: Limiter, count: int) -> None:
    """Wait until so many stand in the queue."""
    while gate.queued != count:
        threading.Event().wait(0.001)


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, None])
def test_a_limit_is_a_whole_number_above_0(limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="limit"):
        Limiter(limit)


async def test_coroutines_and_threads_come_in_the_order_of_their_arrival() -> None:
    gate, order = Limiter(1), list[str]()
    gate.enter(None)

    async def await_turn(name: str) -> None:
        await gate.enter_async(None)
        order.append(name)
        gate.leave()

    def wait_for_turn(name: str) -> None:
        gate.enter(None)
        order.append(name)
        gate.leave()

    waiting: list[Any] = []
    for number in range(6):
        if number % 2:
            waiting.append(asyncio.ensure_future(await_turn(f"coroutine {number}")))
        else:
            waiting.append(asyncio.ensure_future(asyncio.to_thread(wait_for_turn, f"thread {number}")))
        await asyncio.to_thread(standing, gate, number + 1)
    assert (gate.in_flight, gate.queued) == (1, 6)
    gate.leave()
    await asyncio.gather(*waiting)
    assert order == ["thread 0", "coroutine 1", "thread 2", "coroutine 3", "thread 4", "coroutine 5"]
    assert (gate.in_flight, gate.queued) == (0, 0)


async def test_nobody_overtakes_the_queue() -> None:
    gate = Limiter(1)
    gate.enter(None)
    waiting = asyncio.ensure_future(gate.enter_async(None))
    await asyncio.sleep(0)
    gate.leave()
    assert not gate.enter_at_once()
    await waiting
    assert gate.in_flight == 1


async def test_waiting_ends_at_the_limit_and_tells_what_is_left_of_it() -> None:
    gate = Limiter(1)
    assert gate.enter(5) == 5
    with pytest.raises(DeadlineExceeded, match="limit="):
        gate.enter(0.01)
    with pytest.raises(DeadlineExceeded, match="limit="):
        await gate.enter_async(0.01)
    assert gate.queued == 0
    waiting = asyncio.ensure_future(gate.enter_async(5))
    await asyncio.sleep(0.01)
    gate.leave()
    left = await waiting
    assert left is not None
    assert 4 < left < 5


async def test_who_is_cancelled_leaves_the_queue_or_passes_the_place_on() -> None:
    gate = Limiter(1)
    gate.enter(None)
    first, second = asyncio.ensure_future(gate.enter_async(None)), asyncio.ensure_future(gate.enter_async(None))
    await asyncio.sleep(0)
    gate.leave()
    first.cancel()  # its place is on the way
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    third = asyncio.ensure_future(gate.enter_async(None))
    await asyncio.sleep(0)
    third.cancel()
    with pytest.raises(asyncio.CancelledError):
        await third
    assert (gate.in_flight, gate.queued) == (1, 0)


def test_a_place_goes_past_who_waits_on_a_loop_that_is_closed() -> None:
    gate = Limiter(1)
    gate.enter(None)
    loop = asyncio.new_event_loop()
    task = loop.create_task(gate.enter_async(None))
    loop.run_until_complete(asyncio.sleep(0))
    setattr(task, "_log_destroy_pending", False)  # noqa: B010 - asyncio's own switch for tests like this
    loop.close()
    gate.leave()
    assert gate.enter_at_once()


def test_no_place_is_lost_among_many_threads() -> None:
    gate, inside, most, lock = Limiter(3), 0, 0, threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            gate.enter(None)
            with lock:
                inside += 1
                most = max(most, inside)
            with lock:
                inside -= 1
            gate.leave()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most <= 3
    assert (gate.in_flight, gate.queued) == (0, 0)

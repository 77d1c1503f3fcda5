"""The limiter: at most so many requests at once, others in the order of their arrival, across threads and loops."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from cwinference._calls.clock import Clock
from cwinference.errors import ConfigurationError, DeadlineExceeded
from cwinference.inference import _limiter
from cwinference.inference._auto_limiter import AutoLimiter
from cwinference.inference._limiter import Limiter
from tests.support.waiting import wait_until


def wait_for_queue(limiter: Limiter, count: int) -> None:
    """Wait until so many are in the queue."""
    wait_until(lambda: limiter.queued == count)


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, None])
def test_a_limit_must_be_a_whole_number_above_0(limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="limit"):
        Limiter(limit)


async def test_coroutines_and_threads_enter_in_the_order_of_their_arrival() -> None:
    limiter, order = Limiter(1), list[str]()
    limiter.enter(None)

    async def await_turn(name: str) -> None:
        await limiter.enter_async(None)
        order.append(name)
        limiter.leave()

    def wait_for_turn(name: str) -> None:
        limiter.enter(None)
        order.append(name)
        limiter.leave()

    waiting: list[Any] = []
    for number in range(6):
        if number % 2:
            waiting.append(asyncio.ensure_future(await_turn(f"coroutine {number}")))
        else:
            waiting.append(asyncio.ensure_future(asyncio.to_thread(wait_for_turn, f"thread {number}")))
        await asyncio.to_thread(wait_for_queue, limiter, number + 1)
    assert (limiter.in_flight, limiter.queued) == (1, 6)
    limiter.leave()
    await asyncio.gather(*waiting)
    assert order == ["thread 0", "coroutine 1", "thread 2", "coroutine 3", "thread 4", "coroutine 5"]
    assert (limiter.in_flight, limiter.queued) == (0, 0)


async def test_a_new_request_does_not_overtake_the_queue() -> None:
    limiter = Limiter(1)
    limiter.enter(None)
    waiting = asyncio.ensure_future(limiter.enter_async(None))
    await asyncio.sleep(0)
    limiter.leave()
    assert not limiter.enter_at_once()
    await waiting
    assert limiter.in_flight == 1


async def test_waiting_ends_with_the_timeout() -> None:
    limiter = Limiter(1)
    assert limiter.enter(5) == 5
    with pytest.raises(
        DeadlineExceeded,
        match=r"^timed out after 0\.01 s waiting for one of limit=1 request slots \[deadline_exceeded\]$",
    ):
        limiter.enter(0.01)
    with pytest.raises(
        DeadlineExceeded,
        match=r"^timed out after 0\.01 s waiting for one of limit=1 request slots \[deadline_exceeded\]$",
    ):
        await limiter.enter_async(0.01)
    assert limiter.queued == 0


async def test_waiting_returns_what_remains_of_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(_limiter, "time", SimpleNamespace(monotonic=lambda: now[0]))
    limiter = Limiter(1)
    limiter.enter(None)
    waiting = asyncio.ensure_future(limiter.enter_async(600))
    await asyncio.sleep(0)
    now[0] += 50
    limiter.leave()
    assert await waiting == 550

    thread = asyncio.ensure_future(asyncio.to_thread(limiter.enter, 600))
    await asyncio.to_thread(wait_for_queue, limiter, 1)
    now[0] += 50
    limiter.leave()
    assert await thread == 550


async def test_a_canceled_waiter_leaves_the_queue_or_passes_its_slot_on() -> None:
    limiter = Limiter(1)
    limiter.enter(None)
    first, second = asyncio.ensure_future(limiter.enter_async(None)), asyncio.ensure_future(limiter.enter_async(None))
    await asyncio.sleep(0)
    limiter.leave()
    first.cancel()  # it has been given a slot, but does not run yet
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    third = asyncio.ensure_future(limiter.enter_async(None))
    await asyncio.sleep(0)
    third.cancel()
    with pytest.raises(asyncio.CancelledError):
        await third
    assert (limiter.in_flight, limiter.queued) == (1, 0)


def test_a_slot_is_not_given_to_a_waiter_whose_loop_is_closed() -> None:
    limiter = Limiter(1)
    limiter.enter(None)
    loop = asyncio.new_event_loop()
    task = loop.create_task(limiter.enter_async(None))
    loop.run_until_complete(asyncio.sleep(0))
    setattr(task, "_log_destroy_pending", False)  # noqa: B010 - asyncio's own switch for tests like this
    loop.close()
    limiter.leave()
    assert limiter.enter_at_once()


def test_no_slot_is_lost_among_many_threads() -> None:
    limiter, inside, most, lock = Limiter(3), 0, 0, threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            limiter.enter(None)
            with lock:
                inside += 1
                most = max(most, inside)
            with lock:
                inside -= 1
            limiter.leave()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most <= 3
    assert (limiter.in_flight, limiter.queued) == (0, 0)


async def test_a_waiter_that_leaves_at_the_last_moment_frees_no_slot_that_it_never_had() -> None:
    within = Limiter(4)
    limiter = AutoLimiter(Clock(), within)
    taken = 0
    while limiter.enter_at_once():
        taken += 1
    waiter = asyncio.create_task(limiter.enter_async(None))
    await asyncio.sleep(0)
    limiter.leave()
    waiter.cancel()  # it is admitted, and has not run since
    with pytest.raises(asyncio.CancelledError):
        await waiter
    for _ in range(taken - 1):
        limiter.leave()
    assert (limiter.in_flight, within.in_flight) == (0, 0)

"""Time limits that share a timer: what is ended when, and what happens if a task is also canceled by others."""

import asyncio
import threading

import pytest

from cwinference.errors import ConfigurationError
from cwinference.transports._time_limit import TimeLimit, limits_of


def this_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def limited(seconds: float | None) -> str:
    with TimeLimit(seconds) as deadline:
        try:
            await forever()
        finally:
            assert deadline.expired == (seconds == 0)
    raise AssertionError("it should have waited forever")


async def test_work_that_takes_too_long_is_ended() -> None:
    with pytest.raises(TimeoutError):
        await limited(0)


async def test_work_that_ends_in_time_is_not_disturbed_later() -> None:
    later = asyncio.Event()
    with TimeLimit(0) as deadline:
        pass
    asyncio.get_running_loop().call_at(deadline.due + 1e-6, later.set)
    await later.wait()
    assert not deadline.expired


async def test_a_shorter_limit_expires_first_although_it_began_later() -> None:
    far = asyncio.create_task(limited(3600))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await limited(0)
    assert not far.done()
    far.cancel()
    with pytest.raises(asyncio.CancelledError):
        await far


async def test_each_of_several_limits_is_kept() -> None:
    outcomes = await asyncio.gather(*(asyncio.create_task(limited(0)) for _ in range(5)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [TimeoutError] * 5
    with pytest.raises(TimeoutError):
        await limited(0)


@pytest.mark.parametrize("seconds", [None, 3600.0])
async def test_a_cancel_by_others_stays_a_cancel(seconds: float | None) -> None:
    task = asyncio.create_task(limited(seconds))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancel_at_the_same_time_wins_over_the_limit() -> None:
    async def both() -> None:
        with TimeLimit(3600) as deadline:
            deadline.expire()
            this_task().cancel()
            await forever()

    task = asyncio.create_task(both())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_only_the_limit_that_expired_says_so() -> None:
    with pytest.raises(TimeoutError), TimeLimit(0) as outer, TimeLimit(3600) as inner:
        await forever()
    assert (outer.expired, inner.expired) == (True, False)


async def test_a_task_continues_normally_after_its_limit() -> None:
    with pytest.raises(TimeoutError):
        await limited(0)
    await asyncio.sleep(0)
    assert this_task().cancelling() == 0


async def test_each_loop_has_its_own_timer() -> None:
    outcomes = list[str]()

    def elsewhere() -> None:
        for _ in range(2):
            try:
                asyncio.run(limited(0))
            except TimeoutError:
                outcomes.append("ended")

    thread = threading.Thread(target=elsewhere)
    thread.start()
    with pytest.raises(TimeoutError):
        await limited(0)
    await asyncio.to_thread(thread.join)
    assert outcomes == ["ended", "ended"]


def test_without_an_event_loop_the_error_says_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="running asyncio event loop"):
        TimeLimit(1)


async def test_limits_go_on_after_one_whose_end_has_failed() -> None:
    class Odd:
        def __init__(self, error: Exception | None) -> None:
            self.due, self.error, self.ended = loop.time(), error, asyncio.Event()

        def expire(self) -> None:
            self.ended.set()
            if self.error is not None:
                raise self.error

    loop, failures = asyncio.get_running_loop(), list[object]()
    loop.set_exception_handler(lambda _, context: failures.append(context.get("exception")))
    limits, odd = limits_of(loop), Odd(ValueError())
    limits.watch(odd)
    await asyncio.wait_for(odd.ended.wait(), 20)
    later = Odd(None)
    limits.watch(later)
    await asyncio.wait_for(later.ended.wait(), 20)
    assert failures == [odd.error]

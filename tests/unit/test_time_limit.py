"""Time limits that share a timer: who is ended when, and what a cancel beside it means."""

import asyncio
import threading

import pytest

from cwinference.errors import ConfigurationError
from cwinference.transports._time_limit import Deadline


def this_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def limited(seconds: float | None) -> str:
    with Deadline(seconds) as deadline:
        try:
            await forever()
        finally:
            assert deadline.expired == (seconds == 0)
    raise AssertionError("it waited for ever, and yet went on")


async def test_what_takes_too_long_is_ended() -> None:
    with pytest.raises(TimeoutError):
        await limited(0)


async def test_what_ends_in_time_is_left_alone_afterwards() -> None:
    with Deadline(0) as deadline:
        pass
    await asyncio.sleep(0.001)
    assert not deadline.expired


async def test_a_nearer_limit_ends_first_though_it_began_later() -> None:
    far = asyncio.create_task(limited(3600))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await limited(0)
    assert not far.done()
    far.cancel()
    with pytest.raises(asyncio.CancelledError):
        await far


async def test_limits_one_after_the_other_are_each_kept() -> None:
    outcomes = await asyncio.gather(*(asyncio.create_task(limited(0)) for _ in range(5)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [TimeoutError] * 5
    with pytest.raises(TimeoutError):
        await limited(0)


@pytest.mark.parametrize("seconds", [None, 3600.0])
async def test_a_cancel_from_outside_stays_a_cancel(seconds: float | None) -> None:
    task = asyncio.create_task(limited(seconds))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancel_that_comes_with_the_end_of_the_time_wins() -> None:
    async def both() -> None:
        with Deadline(3600) as deadline:
            deadline.expire()
            this_task().cancel()
            await forever()

    task = asyncio.create_task(both())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_outer_of_two_limits_tells_its_own_end() -> None:
    with pytest.raises(TimeoutError), Deadline(0) as outer, Deadline(3600) as inner:
        await forever()
    assert (outer.expired, inner.expired) == (True, False)


async def test_a_task_goes_on_after_its_limit() -> None:
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


def test_without_a_loop_it_is_said_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="running asyncio event loop"):
        Deadline(1)

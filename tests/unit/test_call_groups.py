"""Calls over gRPC that start together: each starts once, or not at all, whatever happens to the others."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from cwinference.transports._grpc_calls import CallGroup


class Exchange:
    """A call whose start and end are noted, and whose response the test decides."""

    def __init__(self, number: int, started: list[int], failure: BaseException | None = None) -> None:
        self.number = number
        self.response: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._started = started
        self._failure = failure

    async def run(self) -> str:
        self._started.append(self.number)
        if self._failure is not None:
            raise self._failure
        return await self.response


async def turn() -> None:
    """Let the event loop do what it has to do now, and what follows of it."""
    for _ in range(3):
        await asyncio.sleep(0)


def group() -> CallGroup:
    return CallGroup(asyncio.get_running_loop())


async def test_calls_start_together_in_their_order_and_end_in_any() -> None:
    started = list[int]()
    calls, exchanges = group(), [Exchange(number, started) for number in range(3)]
    outcomes = [calls.add(each.run()) for each in exchanges]
    assert started == []
    await asyncio.sleep(0)
    assert started == [0, 1, 2]
    exchanges[2].response.set_result("c")
    assert await outcomes[2] == "c"
    exchanges[0].response.set_result("a")
    assert await outcomes[0] == "a"
    assert not outcomes[1].done()


async def test_a_call_that_is_canceled_before_its_start_never_starts() -> None:
    started = list[int]()
    calls, exchanges = group(), [Exchange(number, started) for number in range(3)]
    outcomes = [calls.add(each.run()) for each in exchanges]
    outcomes[1].cancel()
    await turn()
    assert started == [0, 2]


async def test_the_response_to_a_canceled_call_is_dropped() -> None:
    exchange = Exchange(0, [])
    outcome = group().add(exchange.run())
    await turn()
    outcome.cancel()
    exchange.response.set_result("late")
    await turn()
    assert outcome.cancelled()


async def test_a_call_that_cannot_start_fails_alone() -> None:
    started = list[int]()
    calls = group()
    exchanges = [Exchange(0, started), Exchange(1, started, ValueError("no channel")), Exchange(2, started)]
    outcomes = [calls.add(each.run()) for each in exchanges]
    with pytest.raises(ValueError, match="no channel"):
        await outcomes[1]
    assert started == [0, 1, 2]
    exchanges[2].response.set_result("c")
    assert await outcomes[2] == "c"


async def test_calls_after_those_that_started_start_as_well() -> None:
    started = list[int]()
    calls, first, second = group(), Exchange(1, started), Exchange(2, started)
    calls.add(first.run())
    await turn()
    calls.add(second.run())
    await turn()
    assert started == [1, 2]


async def test_closing_cancels_what_has_not_started() -> None:
    started = list[int]()
    calls = group()
    outcomes = [calls.add(Exchange(number, started).run()) for number in range(2)]
    calls.cancel()
    await turn()
    assert [each.cancelled() for each in outcomes] == [True, True]
    assert started == []


def test_what_interrupts_a_start_ends_that_call_and_the_others_start_later() -> None:
    started, outcomes = list[int](), list[asyncio.Future[Any]]()
    failures = [None, KeyboardInterrupt(), None]

    async def begin() -> None:
        calls = group()
        exchanges = [Exchange(number, started, failure) for number, failure in enumerate(failures)]
        outcomes.extend(calls.add(each.run()) for each in exchanges)

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(both(begin(), turn()))
        loop.run_until_complete(turn())
        assert started == [0, 1, 2]
        assert isinstance(outcomes[1].exception(), KeyboardInterrupt)


async def both(one: Coroutine[Any, Any, None], other: Coroutine[Any, Any, None]) -> None:
    await one
    await other


async def test_a_call_that_cancels_itself_is_no_failure_of_the_event_loop() -> None:
    started, failures = list[int](), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    calls, other = group(), Exchange(1, started)
    canceled = calls.add(Exchange(0, started, asyncio.CancelledError()).run())
    outcome = calls.add(other.run())
    await asyncio.sleep(0)
    assert started == [0, 1]
    assert canceled.cancelled()
    other.response.set_result("b")
    assert await outcome == "b"
    assert failures == []

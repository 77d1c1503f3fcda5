"""Connections by load: when another one is opened, and when a surplus or silent one is closed."""

from collections.abc import Callable
from itertools import count

from cwinference.transports._pool import CALLS_PER_CONNECTION, SILENT_SECONDS, SPARE_SECONDS, Lane, Pool


def pool_of_numbers(monotonic: Callable[[], float] = lambda: 0.0) -> Pool[int]:
    """Return a pool whose connections are 1, 2, 3 and so on, with room for two calls each."""
    return Pool(iter(count(1)).__next__, 2, monotonic)


def test_another_connection_is_opened_only_when_all_are_full() -> None:
    pool = pool_of_numbers()
    assert [pool.take().connection for _ in range(5)] == [1, 1, 2, 2, 3]


def test_room_on_an_earlier_connection_is_used_first() -> None:
    pool = pool_of_numbers()
    first, *_ = [pool.take() for _ in range(4)]
    assert pool.give(first, 0.0) is None
    assert pool.take() is first


def test_a_connection_gets_fewer_calls_than_the_hundred_streams_that_servers_allow() -> None:
    pool = Pool(iter(count(1)).__next__)
    assert [pool.take().connection for _ in range(81)] == [1] * 80 + [2]
    assert CALLS_PER_CONNECTION == 80


def test_a_surplus_connection_is_closed_after_it_was_idle_for_long() -> None:
    now = [0.0]
    pool = pool_of_numbers(lambda: now[0])
    first, second, third = (pool.take() for _ in range(3))
    assert pool.give(third, 0.0) is None
    now[0] = SPARE_SECONDS - 1
    assert pool.give(second, now[0]) is None
    now[0] = SPARE_SECONDS
    assert pool.give(first, now[0]) == 2
    assert len(pool) == 1


def test_the_last_connection_is_kept_however_long_it_was_idle() -> None:
    now = [0.0]
    pool = pool_of_numbers(lambda: now[0])
    pool.give(pool.take(), now[0])
    now[0] = 10 * SPARE_SECONDS
    assert pool.give(pool.take(), now[0]) is None
    assert len(pool) == 1


def test_an_abandoned_connection_gets_no_more_calls_and_is_closed_after_the_last_one() -> None:
    pool = pool_of_numbers()
    first, second = pool.take(), pool.take()
    pool.leave(first)
    assert pool.take().connection == 2
    assert (pool.give(first, 0.0), pool.give(second, 0.0)) == (None, 1)


class Calls:
    """Calls on a pool of numbers, and its clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pool = pool_of_numbers(lambda: self.now)

    def begin(self) -> tuple[Lane[int], float]:
        return self.pool.take(), self.now

    def time_out(self, seconds: float) -> int | None:
        """Make a call that gets no response for so many seconds; return the connection to close, if any."""
        lane, began = self.begin()
        self.now += seconds
        return self.pool.give(lane, began)

    def complete(self, lane: Lane[int], began: float) -> None:
        lane.responded = began
        self.pool.give(lane, began)


def test_a_connection_that_stays_silent_for_long_is_closed_and_replaced() -> None:
    calls = Calls()
    assert calls.time_out(SILENT_SECONDS) == 1
    assert calls.pool.take().connection == 2


def test_short_waits_add_up_but_the_pauses_between_them_do_not_count() -> None:
    calls = Calls()
    for _ in range(7):
        assert calls.time_out(SILENT_SECONDS / 8) is None
        calls.now += 100
    assert calls.time_out(SILENT_SECONDS / 8) == 1


def test_concurrent_waits_count_once() -> None:
    calls = Calls()
    one, other = calls.begin(), calls.begin()
    calls.now += SILENT_SECONDS * 0.6
    assert [calls.pool.give(*one), calls.pool.give(*other)] == [None, None]
    assert calls.pool.take() is one[0]


def test_a_response_resets_the_silence_before_it() -> None:
    calls = Calls()
    calls.time_out(SILENT_SECONDS * 0.9)
    calls.now += 1
    calls.complete(*calls.begin())
    assert calls.time_out(SILENT_SECONDS * 0.9) is None


def test_a_slow_call_is_no_silence_if_another_call_gets_a_response() -> None:
    calls = Calls()
    slow = calls.begin()
    calls.now += 1
    calls.complete(*calls.begin())
    calls.now += SILENT_SECONDS
    assert calls.pool.give(*slow) is None
    assert calls.pool.take() is slow[0]


def test_other_calls_on_a_silent_connection_may_complete() -> None:
    calls = Calls()
    patient = calls.begin()
    assert calls.time_out(SILENT_SECONDS) is None
    assert calls.pool.take().connection == 2
    assert calls.pool.give(*patient) == 1

"""Connections by load: when another one is opened, and when a spare one is closed."""

from collections.abc import Callable
from itertools import count

from cwinference.transports._pool import CALLS_PER_CONNECTION, SILENT_SECONDS, SPARE_SECONDS, Lane, Pool


def pool_of_numbers(monotonic: Callable[[], float] = lambda: 0.0) -> Pool[int]:
    """A pool whose connections are 1, 2, 3 ..., with room for two calls each."""
    return Pool(iter(count(1)).__next__, 2, monotonic)


def test_another_connection_is_opened_only_when_all_are_full() -> None:
    pool = pool_of_numbers()
    assert [pool.take().connection for _ in range(5)] == [1, 1, 2, 2, 3]


def test_a_place_that_was_given_back_is_taken_first() -> None:
    pool = pool_of_numbers()
    first, *_ = [pool.take() for _ in range(4)]
    assert pool.give(first, 0.0) is None
    assert pool.take() is first


def test_a_connection_takes_fewer_calls_than_the_hundred_streams_that_servers_allow() -> None:
    pool = Pool(iter(count(1)).__next__)
    assert [pool.take().connection for _ in range(81)] == [1] * 80 + [2]
    assert CALLS_PER_CONNECTION == 80


def test_a_spare_connection_is_closed_once_it_was_idle_for_long() -> None:
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


def test_a_connection_that_was_left_takes_no_more_calls_and_is_closed_by_its_last() -> None:
    pool = pool_of_numbers()
    first, second = pool.take(), pool.take()
    pool.leave(first)
    assert pool.take().connection == 2
    assert (pool.give(first, 0.0), pool.give(second, 0.0)) == (None, 1)


class Waits:
    """A pool of numbers, a clock, and calls that end as they are told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pool = pool_of_numbers(lambda: self.now)

    def begin(self) -> tuple[Lane[int], float]:
        return self.pool.take(), self.now

    def in_vain(self, seconds: float) -> int | None:
        """A call that waits for so long without an answer; gives what is to be closed."""
        lane, began = self.begin()
        self.now += seconds
        return self.pool.give(lane, began)

    def answered(self, lane: Lane[int], began: float) -> None:
        lane.answered = began
        self.pool.give(lane, began)


def test_a_connection_that_was_silent_for_long_is_left_and_closed() -> None:
    waits = Waits()
    assert waits.in_vain(SILENT_SECONDS) == 1
    assert waits.pool.take().connection == 2


def test_short_waits_add_up_but_not_the_pauses_between_them() -> None:
    waits = Waits()
    for _ in range(7):
        assert waits.in_vain(SILENT_SECONDS / 8) is None
        waits.now += 100
    assert waits.in_vain(SILENT_SECONDS / 8) == 1


def test_waits_at_the_same_time_count_once() -> None:
    waits = Waits()
    one, other = waits.begin(), waits.begin()
    waits.now += SILENT_SECONDS * 0.6
    assert [waits.pool.give(*one), waits.pool.give(*other)] == [None, None]
    assert waits.pool.take() is one[0]


def test_an_answer_ends_the_silence_that_was_before_it() -> None:
    waits = Waits()
    waits.in_vain(SILENT_SECONDS * 0.9)
    waits.now += 1
    waits.answered(*waits.begin())
    assert waits.in_vain(SILENT_SECONDS * 0.9) is None


def test_a_slow_call_beside_one_that_is_answered_is_no_silence() -> None:
    waits = Waits()
    slow = waits.begin()
    waits.now += 1
    waits.answered(*waits.begin())
    waits.now += SILENT_SECONDS
    assert waits.pool.give(*slow) is None
    assert waits.pool.take() is slow[0]


def test_others_on_a_silent_connection_stay_until_their_end() -> None:
    waits = Waits()
    patient = waits.begin()
    assert waits.in_vain(SILENT_SECONDS) is None
    assert waits.pool.take().connection == 2
    assert waits.pool.give(*patient) == 1

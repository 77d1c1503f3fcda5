"""Connections by load: when another one is opened, and when a spare one is closed."""

from collections.abc import Callable
from itertools import count

from cwinference.transports._pool import CALLS_PER_CONNECTION, SPARE_SECONDS, Pool


def pool_of_numbers(monotonic: Callable[[], float] = lambda: 0.0) -> Pool[int]:
    """A pool whose connections are 1, 2, 3 ..., with room for two calls each."""
    return Pool(iter(count(1)).__next__, 2, monotonic)


def test_another_connection_is_opened_only_when_all_are_full() -> None:
    pool = pool_of_numbers()
    assert [pool.take().connection for _ in range(5)] == [1, 1, 2, 2, 3]


def test_a_place_that_was_given_back_is_taken_first() -> None:
    pool = pool_of_numbers()
    first, *_ = [pool.take() for _ in range(4)]
    assert pool.give(first) is None
    assert pool.take() is first


def test_a_connection_takes_fewer_calls_than_the_hundred_streams_that_servers_allow() -> None:
    pool = Pool(iter(count(1)).__next__)
    assert [pool.take().connection for _ in range(81)] == [1] * 80 + [2]
    assert CALLS_PER_CONNECTION == 80


def test_a_spare_connection_is_closed_once_it_was_idle_for_long() -> None:
    now = [0.0]
    pool = pool_of_numbers(lambda: now[0])
    first, second, third = (pool.take() for _ in range(3))
    assert pool.give(third) is None
    now[0] = SPARE_SECONDS - 1
    assert pool.give(second) is None
    now[0] = SPARE_SECONDS
    assert pool.give(first) == 2
    assert len(pool) == 1


def test_the_last_connection_is_kept_however_long_it_was_idle() -> None:
    now = [0.0]
    pool = pool_of_numbers(lambda: now[0])
    pool.give(pool.take())
    now[0] = 10 * SPARE_SECONDS
    assert pool.give(pool.take()) is None
    assert len(pool) == 1


def test_a_connection_that_was_left_takes_no_more_calls_and_is_closed_by_its_last() -> None:
    pool = pool_of_numbers()
    first, second = pool.take(), pool.take()
    pool.leave(first)
    assert pool.take().connection == 2
    assert (pool.give(first), pool.give(second)) == (None, 1)

"""Connections on which calls were given up: after 40 they get no more calls, and their last one closes them."""

from itertools import count

import pyqwest
import pytest

from cwinference import errors
from cwinference.transports._pool import CALLS_PER_CONNECTION, EARLY_ENDS_PER_CONNECTION, SILENT_SECONDS, Lane, Pool
from cwinference.transports._pyqwest import is_early_end


def pool_of_numbers() -> Pool[int]:
    """Return a pool whose connections are 1, 2, 3 and so on, and whose clock stands still."""
    return Pool(iter(count(1)).__next__, monotonic=lambda: 0.0)


def begin(pool: Pool[int]) -> Lane[int]:
    """Begin a call, and receive the beginning of its response."""
    lane = pool.take()
    lane.responded = 1.0
    return lane


def give_up(pool: Pool[int], times: int) -> list[int]:
    """Give so many calls up, one after the other; return the connections that had to be closed."""
    closed = (pool.give(begin(pool), 0.0, early=True) for _ in range(times))
    return [each for each in closed if each is not None]


def test_a_connection_is_replaced_after_forty_early_ends() -> None:
    assert EARLY_ENDS_PER_CONNECTION == 40
    pool = pool_of_numbers()
    assert give_up(pool, 39) == []
    assert give_up(pool, 1) == [1]
    assert pool.take().connection == 2


def test_each_connection_counts_for_itself() -> None:
    assert give_up(pool_of_numbers(), 119) == [1, 2]


def test_calls_that_end_properly_do_not_count() -> None:
    pool = pool_of_numbers()
    give_up(pool, 39)
    for _ in range(1000):
        assert pool.give(begin(pool), 0.0) is None
    assert pool.take().connection == 1


def test_other_calls_go_on_and_the_last_one_closes_the_connection() -> None:
    pool = pool_of_numbers()
    one, other = begin(pool), begin(pool)
    assert give_up(pool, 40) == []
    assert pool.take().connection == 2
    assert [pool.give(one, 0.0), pool.give(other, 0.0)] == [None, 1]


def test_the_last_call_may_itself_be_given_up() -> None:
    pool = pool_of_numbers()
    lane = begin(pool)
    give_up(pool, 40)
    assert pool.give(lane, 0.0, early=True) == 1


def test_an_early_end_takes_the_place_of_a_call_so_that_at_most_80_are_given_up() -> None:
    pool = pool_of_numbers()
    give_up(pool, EARLY_ENDS_PER_CONNECTION - 1)
    lanes = [begin(pool) for _ in range(CALLS_PER_CONNECTION)]
    assert [lane.connection for lane in lanes] == [1] * 41 + [2] * 39
    closed = [pool.give(lane, 0.0, early=True) for lane in lanes[:41]]
    assert closed == [None] * 40 + [1]
    assert lanes[0].early_ends == 80


def test_a_connection_with_calls_is_closed_though_the_pool_is_closed_before_them() -> None:
    pool = pool_of_numbers()
    lane = begin(pool)
    give_up(pool, 40)
    assert pool.take_all() == []
    assert pool.give(lane, 0.0) == 1


def test_a_connection_may_be_silent_and_replaced_at_once() -> None:
    now = [0.0]
    pool = Pool(iter(count(1)).__next__, monotonic=lambda: now[0])
    lanes = [pool.take() for _ in range(40)]
    now[0] = SILENT_SECONDS
    assert [pool.give(lane, 0.0, early=True) for lane in lanes] == [None] * 39 + [1]


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), TimeoutError(), errors.ProtocolError("too large"), pyqwest.RemoteProtocolError("no HTTP")],
    ids=lambda error: type(error).__name__,
)
def test_what_ends_an_exchange_here_is_an_early_end(error: BaseException) -> None:
    assert is_early_end(error)


@pytest.mark.parametrize(
    "error",
    [
        pyqwest.StreamError("reset", pyqwest.StreamErrorCode.CANCEL),
        pyqwest.ReadError("connection lost"),
        pyqwest.WriteError("connection lost"),
        ConnectionRefusedError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_server_or_the_network_ends_is_not(error: Exception) -> None:
    assert not is_early_end(error)

"""Ends of HTTP/2 responses: skipped while they arrive with the last bytes, read while they arrive late."""

from cwinference.transports._stream_ends import StreamEnds

LATE, TIMELY = (0.010, 0.001), (0.001, 0.001)


def skipped(ends: StreamEnds) -> int:
    """Return for how many of 64 responses the end is skipped."""
    return sum(ends.may_skip() for _ in range(64))


def test_one_end_of_64_is_read_as_a_probe() -> None:
    assert skipped(StreamEnds()) == 63


def test_no_end_is_skipped_after_three_late_ones_in_a_row() -> None:
    ends = StreamEnds()
    assert skipped(ends) == 63
    for _ in range(3):
        ends.learn(*LATE)
        assert skipped(ends) == 0
    ends.learn(*TIMELY)
    assert skipped(ends) == 0


def test_after_a_late_end_none_is_skipped_until_one_is_timely() -> None:
    ends = StreamEnds()
    for _ in range(5):
        assert skipped(ends) == 63
        ends.learn(*LATE)
        assert skipped(ends) == 0
        ends.learn(*TIMELY)


def test_single_late_ends_change_nothing() -> None:
    ends = StreamEnds()
    for _ in range(50):
        for seconds in (LATE, LATE, TIMELY):
            ends.learn(*seconds)
    assert skipped(ends) == 63


def test_ends_are_skipped_again_after_eight_timely_ones_in_a_row() -> None:
    ends = StreamEnds()
    for seconds in [LATE] * 3 + [TIMELY] * 7 + [LATE] + [TIMELY] * 7:
        ends.learn(*seconds)
    assert skipped(ends) == 0
    ends.learn(*TIMELY)
    assert skipped(ends) == 63


def test_on_a_busy_loop_an_end_may_take_as_long_as_the_body() -> None:
    ends = StreamEnds()
    ends.learn(0.014, 0.007)
    assert skipped(ends) == 63
    ends.learn(0.015, 0.007)
    assert skipped(ends) == 0


def test_an_end_is_late_only_relative_to_the_body_before_it() -> None:
    ends = StreamEnds()
    for _ in range(10):
        ends.learn(0.010, 0.009)
    assert skipped(ends) == 63

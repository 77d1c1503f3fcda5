"""Ends of HTTP/2 answers: read while they come late, left while they come with the last bytes."""

from cwinference.transports._stream_ends import Endings

LATE, TIMELY = (0.010, 0.001), (0.001, 0.001)


def skipped(endings: Endings) -> int:
    """Of 64 answers, how many are left without reading their end."""
    return sum(endings.may_skip() for _ in range(64))


def test_one_end_of_64_is_read_to_learn_from_it() -> None:
    assert skipped(Endings()) == 63


def test_no_end_is_skipped_once_three_in_a_row_came_late() -> None:
    endings = Endings()
    for _ in range(3):
        assert skipped(endings) == 63
        endings.learn(*LATE)
    assert skipped(endings) == 0


def test_single_late_ends_change_nothing() -> None:
    endings = Endings()
    for _ in range(50):
        for seconds in (LATE, LATE, TIMELY):
            endings.learn(*seconds)
    assert skipped(endings) == 63


def test_ends_are_skipped_again_once_eight_in_a_row_came_in_time() -> None:
    endings = Endings()
    for seconds in [LATE] * 3 + [TIMELY] * 7 + [LATE] + [TIMELY] * 7:
        endings.learn(*seconds)
    assert skipped(endings) == 0
    endings.learn(*TIMELY)
    assert skipped(endings) == 63


def test_an_end_is_late_only_against_the_body_before_it() -> None:
    endings = Endings()
    for _ in range(10):
        endings.learn(0.010, 0.009)
    assert skipped(endings) == 63

"""The weights of a rollout's steps: what is never true of any of them, for every sum and every share."""

from fractions import Fraction

import pytest

from cwinference.rollout._weights import LARGEST, TrafficWeights, order, weights_for

SHARES = (0.1, 0.5, 1, 2.5, 5, 10, 100 / 3, 25, 50, 66, 99, 99.9, 100)
TOTALS = (1, 2, 3, 7, 10, 50, 99, 100, 101, 256, 999, 1000)


@pytest.mark.parametrize("keep_total", [True, False])
@pytest.mark.parametrize("total", TOTALS)
def test_the_share_is_never_above_the_steps_and_never_zero(total: int, keep_total: bool) -> None:
    for percent in SHARES:
        weights = weights_for(percent, total, keep_total=keep_total)
        if weights is None:
            assert keep_total
            assert int(total * Fraction(str(percent)) / 100) == 0
            continue
        assert 1 <= weights.new <= LARGEST
        assert 0 <= weights.old <= LARGEST
        assert weights.share <= Fraction(str(percent)) / 100
        if keep_total or percent == 100:
            assert weights.total == total


@pytest.mark.parametrize(
    ("percent", "total", "expected"),
    [
        (1, 100, (1, 99)),
        (1, 1000, (10, 990)),
        (5, 10, (1, 19)),
        (1, 10, (1, 99)),
        (25, 10, (2, 6)),
        (25, 100, (25, 75)),
        (0.1, 100, (1, 999)),
        (100, 10, (10, 0)),
    ],
)
def test_weights_are_scaled_to_what_shows_the_share(percent: float, total: int, expected: tuple[int, int]) -> None:
    assert weights_for(percent, total, keep_total=False) == expected


def test_weights_stay_near_the_sum_that_people_know() -> None:
    assert weights_for(10, 55, keep_total=False) == (5, 45)


@pytest.mark.parametrize(("total", "expected"), [(10, None), (100, (1, 99)), (150, (1, 149))])
def test_with_others_the_sum_is_kept_or_the_step_cannot_be_shown(total: int, expected: object) -> None:
    assert weights_for(1, total, keep_total=True) == expected


def test_between_two_writes_the_sum_is_not_zero_and_the_share_stays_between_before_and_after() -> None:
    values = (0, 1, 2, 5, 9, 10, 100)
    every = [TrafficWeights(new, old) for new in values for old in values if new or old]
    for before in every:
        for after in every:
            sides = order(before, after)
            between = before
            for side in sides:
                between = between.with_side(side, after.of(side))
                assert between.total > 0
                assert between.share <= max(before.share, after.share)
            assert between == after


def test_capacity_is_added_before_it_is_taken_away() -> None:
    assert order(TrafficWeights(1, 99), TrafficWeights(5, 95)) == ["new", "old"]
    assert order(TrafficWeights(100, 0), TrafficWeights(0, 100)) == ["old", "new"]
    assert order(TrafficWeights(0, 10), TrafficWeights(1, 99)) == ["old", "new"], "1 of 11 would be more than 1 %"
    assert order(TrafficWeights(1, 99), TrafficWeights(0, 10)) == ["new", "old"]
    assert order(TrafficWeights(5, 95), TrafficWeights(5, 96)) == ["old"]
    assert order(TrafficWeights(5, 95), TrafficWeights(5, 95)) == []

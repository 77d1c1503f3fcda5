"""The weights of a step, and in which order the two are written: arithmetic without any I/O.

The API knows whole weights from 0 to 1,000 and splits a model's requests by them. What has to hold at any moment, also
between the two writes of a step and after a crash there: the new deployment's share is never above that of the step,
and the two weights are never both 0.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, NamedTuple, TypeAlias

LARGEST = 1000
"""The largest weight of the API."""

Side: TypeAlias = Literal["new", "old"]


class TrafficWeights(NamedTuple):
    """The weights of the two deployments."""

    new: int
    old: int

    def of(self, side: Side) -> int:
        """Return the weight of one of them."""
        return self.new if side == "new" else self.old

    def with_side(self, side: Side, weight: int) -> "TrafficWeights":
        """Return a copy in which one of them is different."""
        return TrafficWeights(weight, self.old) if side == "new" else TrafficWeights(self.new, weight)

    @property
    def total(self) -> int:
        """The sum of both."""
        return self.new + self.old

    @property
    def share(self) -> Fraction:
        """The new one's part of what both have together."""
        return Fraction(self.new, self.total)


def weights_for(percent: float, total: int, *, keep_total: bool) -> TrafficWeights | None:
    """Return the weights that give the new deployment this share, or as much less as it takes; None if none can.

    Args:
        percent: the share, above 0 and at most 100.
        total: what both had together before; the last step restores it.
        keep_total: whether the sum has to stay that: others serve the model too, whose share must not change.
    """
    share = Fraction(str(percent)) / 100
    if share == 1:
        return TrafficWeights(total, 0)
    new = int(total * share)  # rounded down, so that the share is never above the step's
    if keep_total:
        return TrafficWeights(new, total - new) if new else None
    if new and new == total * share and total - new <= LARGEST:
        return TrafficWeights(new, total - new)
    return _scaled(share, total)


def _scaled(share: Fraction, total: int) -> TrafficWeights | None:
    """Return weights with another sum that show a share exactly, or almost: a share of many digits is rounded down."""
    new, old = share.numerator, share.denominator - share.numerator
    if old > LARGEST or new > LARGEST:
        new = int(LARGEST * share)
        return TrafficWeights(new, LARGEST - new) if new else None
    factor = max(1, min(total // (new + old), LARGEST // max(new, old)))  # near the sum that people know
    return TrafficWeights(new * factor, old * factor)


def order(before: TrafficWeights, after: TrafficWeights) -> Sequence[Side]:
    """Return which of the two to write first; a weight that stays is not written.

    Between the two writes the sum must not be 0, and the new one's share must not leave the range between that before
    and that after. If both orders do that, the one comes first that raises its weight, since it never has less
    capacity than the other.
    """
    sides: list[Side] = [side for side in ("new", "old") if before.of(side) != after.of(side)]
    if len(sides) < 2 or not before.total or not after.total:
        return sorted(sides, key=lambda side: -after.of(side))
    low, high = sorted((before.share, after.share))

    def rank(first: Side) -> tuple[bool, bool, int]:
        between = before.with_side(first, after.of(first))
        if not between.total:
            return True, True, 0
        return between.share > high, between.share < low, -between.total

    first = min(sides, key=rank)
    return [first, *(side for side in sides if side != first)]

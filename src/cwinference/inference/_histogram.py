"""A histogram of durations: of fixed size, exact to 5 %, whatever it counts."""

import math

_SMALLEST = 1e-4
"""Seconds; what is shorter counts as that."""
_STEP = math.log(1.09)
"""Each bucket ends 9 % above the one before, so that its middle is at most 4.4 % from what it counts."""
_BUCKETS = 1 + math.ceil(math.log(1e4 / _SMALLEST) / _STEP)
"""Up to 10,000 s; what is longer counts as that."""
_OFFSET = math.log(_SMALLEST)
_log = math.log


def bucket_of(seconds: float) -> int:
    """Return the bucket of a duration."""
    if seconds <= _SMALLEST:
        return 0
    bucket = int((_log(seconds) - _OFFSET) / _STEP)
    return bucket if bucket < _BUCKETS else _BUCKETS - 1


class Histogram:
    """Counts durations in buckets whose bounds grow by a constant factor. The caller holds a lock."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts = [0] * _BUCKETS
        """By bucket, see `bucket_of`."""

    def add(self, seconds: float) -> None:
        """Count a duration."""
        self.counts[bucket_of(seconds)] += 1

    @property
    def total(self) -> int:
        """How many durations were counted."""
        return sum(self.counts)

    def percentile(self, share: float) -> float:
        """Return the seconds within which that share of the durations lies, from 0 to 1; 0 if there are none."""
        rank = max(1, math.ceil(share * self.total))
        seen = 0
        for place, count in enumerate(self.counts):
            seen += count
            if seen >= rank:
                return math.exp(_OFFSET + (place + 0.5) * _STEP)
        return 0.0

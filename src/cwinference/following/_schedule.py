"""When to poll again: soon while something moves, seldom at rest, later after failures; and when to list everything."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, cast

from .._arguments import shown
from .._calls.clock import Clock
from .._calls.deadline import TIMER_SLACK
from ..errors import ConfigurationError

_GROWTH = 1.5
_JITTER = 0.1


@dataclass(frozen=True)
class PollIntervals:
    """How often to poll, and how often to list everything, in seconds."""

    shortest: float
    longest: float
    relist: float

    @classmethod
    def of(cls, interval: Any, relist: Any) -> "PollIntervals":
        """Check the arguments of a watch."""
        given: object = interval
        pair = cast(Sequence[object], interval) if isinstance(interval, tuple | list) else ()
        if len(pair) != 2 or not all(map(_is_positive, pair)) or inf in pair:
            raise ConfigurationError(
                "interval: expected a pair of positive numbers of seconds, while something moves and at rest, "
                f"got {shown(given)}"
            )
        shortest, longest = (float(cast(float, each)) for each in pair)
        if shortest > longest:
            raise ConfigurationError(
                f"interval: expected the shorter one first, that while something moves, got {shown(given)}"
            )
        if not _is_positive(relist):
            raise ConfigurationError(f"relist: expected a positive number of seconds, got {shown(relist)}")
        return cls(shortest, longest, float(relist))


class Schedule:
    """When one kind of resource is polled."""

    def __init__(self, intervals: PollIntervals, clock: Clock) -> None:
        self._intervals = intervals
        self._clock = clock
        self._quiet = intervals.shortest
        self._failures = 0
        self._due = self._relist_due = clock.monotonic()
        self._last_good: float | None = None

    @property
    def pause(self) -> float:
        """The seconds until the next poll; 0 if it is due."""
        left = self._due - self._clock.monotonic()
        return left if left > TIMER_SLACK else 0.0

    @property
    def age(self) -> float | None:
        """The seconds since the last good poll; None if there was none."""
        return None if self._last_good is None else self._clock.monotonic() - self._last_good

    @property
    def relist_is_due(self) -> bool:
        """Whether everything has to be listed, because removals do not show otherwise."""
        return self._clock.monotonic() >= self._relist_due

    def polled(self, *, moving: bool, full: bool) -> None:
        """Note a good poll: whether something moves, and whether it was a list of everything."""
        intervals = self._intervals
        self._failures = 0
        self._last_good = self._clock.monotonic()
        self._quiet = intervals.shortest if moving else min(intervals.longest, self._quiet * _GROWTH)
        if full:
            spread = 1 + _JITTER * (2 * self._clock.random() - 1)
            self._relist_due = self._clock.monotonic() + intervals.relist * spread
        self._wait(min(self._quiet, intervals.relist))

    def failed(self, at_least: float) -> None:
        """Note a poll that failed; the server may have asked for a delay."""
        pause = min(self._intervals.longest, self._intervals.shortest * 2.0 ** min(self._failures, 50))
        self._failures += 1
        self._wait(max(at_least, pause))

    def _wait(self, seconds: float) -> None:
        # Only ever longer: at rest there is at most one list in each of the longest intervals.
        self._due = self._clock.monotonic() + seconds * (1 + _JITTER * self._clock.random())


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0

"""How many requests all workers may have in flight together: a number that is given, or one that is found out.

Pure: time is passed in.
"""

import math

from ..inference._auto_limit import AutoLimit
from ..inference._auto_limiter import Limit

_LONGEST_PAUSE = 60.0
"""Seconds that a server may ask for."""
_LEAST_CUT = 1.0
"""Seconds within which refusals count as one: they were sent at the same time."""
_SECONDS_TO_RETURN = 30.0
"""How long it takes from nothing back to the whole number when the server refuses nothing more."""


class GivenNumber:
    """The number that somebody gave: a refusal halves it, then it grows again."""

    def __init__(self, limit: int, now: float) -> None:
        self.most = limit
        """The highest number so far."""
        self._current, self._grown_at = float(limit), now
        self._cut_until = -math.inf
        self.paused_until = -math.inf
        """Until when nothing may be sent."""

    def at(self, now: float) -> int:
        """Return the number."""
        self._grow(now)
        return int(self._current)

    def respond(self, now: float, began: float, seconds: float, *, is_full: bool) -> None:
        """Learn how long a response took, which does not matter."""

    def refuse(self, now: float, began: float, pause: float) -> bool:
        """Learn that a server asked for a pause; return whether all workers have to know that at once."""
        self._grow(now)
        until = now + min(pause, _LONGEST_PAUSE)
        if now >= self._cut_until:
            self._current = max(1.0, self._current / 2)
        self._cut_until = max(self._cut_until, until, now + _LEAST_CUT)
        if until <= self.paused_until:
            return False
        self.paused_until = until
        return True

    def _grow(self, now: float) -> None:
        began, self._grown_at = max(self._grown_at, self._cut_until), now
        if now > began:
            self._current = min(self.most, self._current + (now - began) * max(1.0, self.most / _SECONDS_TO_RETURN))


class FoundNumber:
    """What the server is found to take, by the same rule as on one machine."""

    def __init__(self) -> None:
        self._rule = AutoLimit()
        self.most = self._rule.limit
        """The highest number so far."""

    @property
    def paused_until(self) -> float:
        """Until when nothing may be sent."""
        return self._rule.paused_until

    def at(self, now: float) -> int:
        """Return the number."""
        return self._rule.limit

    def respond(self, now: float, began: float, seconds: float, *, is_full: bool) -> None:
        """Learn how long a response took. `is_full` says whether there were as many requests as may be in flight."""
        self._rule.respond(now, began, seconds, is_full=is_full)
        self.most = max(self.most, self._rule.limit)

    def refuse(self, now: float, began: float, pause: float) -> bool:
        """Learn that a server asked for a pause; return whether all workers have to know that at once."""
        before = self._rule.limit, self._rule.paused_until
        self._rule.refuse(now, began, pause)
        return before != (self._rule.limit, self._rule.paused_until)


def number_of(limit: Limit, now: float) -> GivenNumber | FoundNumber:
    """Return what a limit says."""
    return FoundNumber() if limit == "auto" else GivenNumber(int(limit), now)

"""Slots for requests in flight, as many as the server is found to take: `limit="auto"`."""

import math
from typing import Literal, TypeAlias

from .._arguments import check_count
from .._calls.clock import Clock
from .._calls.deadline import Deadline
from ..errors import ApiError, ConfigurationError
from ._auto_limit import MOST, AutoLimit
from ._limiter import Limiter

Limit: TypeAlias = int | Literal["auto"]
"""How many requests are in flight at most; "auto" finds out how many the server takes."""

_REFUSALS = frozenset({429, 503})


def limiter_of(limit: Limit, clock: Clock) -> Limiter:
    """Return what `limit=` asks for."""
    return AutoLimiter(clock) if check_limit(limit, "limit") == "auto" else Limiter(int(limit))


def check_limit(limit: Limit, argument: str) -> Limit:
    """Return a positive number or "auto". Raises ConfigurationError."""
    if limit == "auto":
        return "auto"
    if isinstance(limit, str):
        raise ConfigurationError(f'{argument}: expected a number or "auto", got {limit!r}')
    return check_count(limit, argument)


class AutoLimiter(Limiter):
    """Slots whose number follows the server. `within` is a limiter in which each of them takes a slot too."""

    is_auto = True

    def __init__(self, clock: Clock, within: Limiter | None = None) -> None:
        self._rule = AutoLimit(MOST if within is None else min(MOST, within.limit))
        super().__init__(self._rule.limit)
        self._clock = clock
        self._within = within

    def enter_at_once(self) -> bool:
        """Take a free slot; return False if there is none, others wait, or all of them pause."""
        if self._pause() > 0 or not super().enter_at_once():
            return False
        if self._within is None or self._within.enter_at_once():
            return True
        super().leave()
        return False

    def enter(self, timeout: float | None) -> float | None:
        """Wait for a slot, and for the end of the pause that all share."""
        remaining = super().enter(timeout)
        try:
            deadline = Deadline(remaining, self._clock.monotonic)
            while (pause := self._pause()) > 0:
                self._clock.sleep(self._affordable(pause, deadline))
            return deadline.remaining() if self._within is None else self._within.enter(deadline.remaining())
        except BaseException:
            super().leave()
            raise

    async def enter_async(self, timeout: float | None) -> float | None:
        """Do the same on this loop."""
        remaining = await super().enter_async(timeout)
        try:
            deadline = Deadline(remaining, self._clock.monotonic)
            while (pause := self._pause()) > 0:
                await self._clock.sleep_async(self._affordable(pause, deadline))
            left = deadline.remaining()
            return left if self._within is None else await self._within.enter_async(left)
        except BaseException:
            super().leave()
            raise

    def leave(self) -> None:
        """Free the slot."""
        super().leave()
        if self._within is not None:
            self._within.leave()

    def note(self, seconds: float, began: float) -> None:
        """Learn how long a response took."""
        with self._lock:
            is_full = bool(self._queue) or self._free <= 1  # its own slot may be free again
            self._rule.respond(self._clock.monotonic(), began, seconds, is_full=is_full)
            has_grown = self._follow()
        if has_grown and self.on_growth is not None:
            self.on_growth()

    def note_failure(self, error: BaseException, began: float) -> None:
        """Learn how a request failed."""
        if isinstance(error, ApiError) and error.http_status in _REFUSALS and began != -math.inf:
            with self._lock:
                self._rule.refuse(self._clock.monotonic(), began, error.retry_after)
                self._follow()

    def _follow(self) -> bool:
        more = self._rule.limit - self.limit
        if more:
            self.limit += more
            self._free += more
            self._admit()
        return more > 0

    def _pause(self) -> float:
        """Return the seconds for which nothing may be sent."""
        return self._rule.paused_until - self._clock.monotonic()

    def _affordable(self, pause: float, deadline: Deadline) -> float:
        left = deadline.require()
        if left is not None and left < pause:
            raise self._timed_out(left)
        return pause

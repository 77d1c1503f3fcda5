"""How many requests a server takes at once, found out by asking: `limit="auto"`. Time is passed in.

One more per round while the latency holds; half of it when the server refuses (429, 503) or takes twice as long. A
round is as many responses as requests may be in flight. A number that was refused is remembered: after the pause the
limit returns to just below it, and tries it again only after a while, longer each time. Without that it would be
at three quarters of what the server takes on average.
"""

import math

START = 16
"""How many requests are in flight at first."""
MOST = 10_000
"""How many at most, whatever the server takes."""
_LONGEST_PAUSE = 60.0
"""Seconds that a server may ask for."""
_LEAST_SAMPLES = 48
"""How many responses make a mean that is compared."""
_HOLDS, _DOUBLED = 1.5, 1.95
"""How much longer responses take than the shortest mean when the limit stops growing, and when it is halved."""
_SMOOTHING = 0.3
"""What a mean counts in the smoothed one, of which the shortest is remembered: a single one is short by chance."""
_UNCHANGED = 0.75
"""If half as many requests take more than this share of the time before, their number was not the cause."""
_DRIFT = 0.001
"""By how much of the difference the shortest mean follows a longer one, with each mean."""
_ROUND_TRIPS = 1.5
"""For how many latencies after it was halved the limit is not halved again because of refusals."""
_ROUNDS, _PAUSES, _LONGEST_HOLD = 60, 20, 60.0
"""For how many rounds, or times the pause, or seconds at most, a refused number is not tried again."""


class AutoLimit:
    """The limit, and what is known of the server. The caller holds a lock."""

    def __init__(self, most: int = MOST, start: int = START) -> None:
        self.limit = min(start, most)
        self.paused_until = -math.inf
        """Until when nothing may be sent."""
        self._most = most
        self._halved_at = -math.inf
        """Responses to what was sent before then say nothing of the new limit."""
        self._refused = math.inf
        """The lowest limit that was refused lately."""
        self._returns_to = 0
        """The limit after the pause; 0 for no other."""
        self._held_until, self._hold = -math.inf, 0.0
        self._round = 0
        self._was_full = False
        self._sum, self._count = 0.0, 0
        self._mean = 0.0
        self._smooth = 0.0
        self._shortest = math.inf
        self._is_long = False
        """Whether the latest mean was a doubled one: once may be chance, twice is not."""
        self._blamed = 0.0
        """The mean for which the limit was halved; 0 after it was compared with the next one."""

    def respond(self, now: float, began: float, seconds: float, *, is_full: bool) -> None:
        """Learn of a response. `is_full` says whether as many requests were in flight as may be."""
        if began < self._halved_at:
            return
        if self._returns_to and now >= self.paused_until:
            self.limit, self._returns_to = self._returns_to, 0
            self._begin_round()
        self._sum += seconds
        self._count += 1
        self._was_full |= is_full
        self._round += 1
        if self._count >= max(self.limit, _LEAST_SAMPLES) and self._judge(now):
            return
        if self._round >= self.limit:
            self._grow(now)
            self._begin_round()

    def refuse(self, now: float, began: float, pause: float | None) -> None:
        """Learn of a 429 or 503, and of the seconds that the server asked for."""
        if pause is not None and pause > 0:
            self.paused_until = max(self.paused_until, now + min(pause, _LONGEST_PAUSE))
        # One of many at once, for which the limit has been halved; or sent when the server had not emptied yet.
        if began < self._halved_at or now < self._halved_at + _ROUND_TRIPS * self._mean:
            return
        is_surprise = now < self._held_until or self._returns_to > 0
        self._refused = self.limit
        lower = self.limit - 1 - self.limit // 32
        self._halve(now)
        # A refusal below what was known to be refused says that the server has become smaller.
        self._returns_to = 0 if is_surprise or lower <= self.limit else lower
        hold = max(_ROUNDS * self._mean, _PAUSES * (self.paused_until - now), 2 * self._hold)
        self._hold = 0.0 if is_surprise else min(_LONGEST_HOLD, hold)
        self._held_until = now + self._hold

    def _judge(self, now: float) -> bool:
        """Compare the latest mean with the shortest; return whether the limit was halved."""
        self._mean, self._sum, self._count = self._sum / self._count, 0.0, 0
        self._smooth += _SMOOTHING * (self._mean - self._smooth) if self._smooth else self._mean
        if self._blamed:
            if self._mean > _UNCHANGED * self._blamed:
                self._shortest = self._smooth = self._mean
            self._blamed = 0.0
        was_long, self._is_long = self._is_long, self._mean >= _DOUBLED * self._shortest
        if was_long and self._is_long and self.limit > 1:
            self._blamed, self._is_long = self._mean, False
            self._halve(now)
            return True
        drift = _DRIFT * (self._smooth - self._shortest)
        self._shortest = self._smooth if self._smooth < self._shortest else self._shortest + drift
        return False

    def _grow(self, now: float) -> None:
        if self.limit >= self._refused:  # it was tried again, and taken for a whole round
            self._refused, self._hold = math.inf, 0.0
        may_grow = self.limit + 1 < self._refused or now >= self._held_until
        if self._was_full and may_grow and self._mean <= _HOLDS * self._shortest:
            self.limit = min(self._most, self.limit + 1)

    def _halve(self, now: float) -> None:
        self.limit = max(1, self.limit // 2)
        self._halved_at = now
        self._sum, self._count = 0.0, 0
        self._begin_round()

    def _begin_round(self) -> None:
        self._round, self._was_full = 0, False

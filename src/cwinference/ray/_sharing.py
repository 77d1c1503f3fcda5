"""One limit for all workers together: who may have how many requests in flight, and until when all of them pause.

Pure: time is passed in. A worker reports what it has and wants, and gets a number. Slots that one worker has are never
given to another before it has reported that it is below them, so that the sum of all holds while numbers are moved.
Everything here can be rebuilt from the reports, should the actor that keeps it be restarted.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from ..inference.batch.outcomes import IN_A_ROW
from ._usage import NONE, Counts, plus

LOST_AFTER = 5.0
"""Seconds without a report after which a worker counts as dead, and its slots are free."""
_SETTLING = 3.0
"""Seconds after a restart in which nobody gets more: only then all workers have reported what they have."""
_LONGEST_PAUSE = 60.0
"""Seconds that a server may ask for."""
_LEAST_CUT = 1.0
"""Seconds within which refusals count as one: they were sent at the same time."""
_SECONDS_TO_RETURN = 30.0
"""How long it takes from nothing back to the whole number when the server refuses nothing more."""

GAVE_UP = "too many requests failed in a row"


class Done(NamedTuple):
    """What became of requests."""

    completed: int = 0
    failed: int = 0
    tokens: Counts = NONE
    """Those of the completed ones."""

    def plus(self, other: "Done") -> "Done":
        """Return both together."""
        return Done(self.completed + other.completed, self.failed + other.failed, plus(self.tokens, other.tokens))


class Demand(NamedTuple):
    """What a worker reports."""

    worker: str
    holds: int
    """For how many requests it has slots, or has them in flight."""
    wants: int
    """How many requests it has, in flight or not."""
    done: Done = Done()
    """What became of its requests since its last report."""
    failed_in_a_row: int = 0
    """How many requests failed since the last completion that it got, or since its last report."""


class Grant(NamedTuple):
    """What it gets."""

    slots: int
    pause: float
    """Seconds for which nothing may be sent."""
    stop: str
    """Why nothing more is to be sent at all; empty if it is."""


@dataclass
class _Worker:
    holds: int
    wants: int
    seen: float


class Sharing:
    """Divides a number of slots."""

    def __init__(self, limit: int, now: float, *, is_restarted: bool = False) -> None:
        self._limit = limit
        self._current, self._grown_at = float(limit), now
        """The number that is divided now: a refusal halves it, then it grows again."""
        self._cut_until = -math.inf
        self._settled_at = now + _SETTLING if is_restarted else now
        self._workers: dict[str, _Worker] = {}
        self._paused_until = -math.inf
        self._failed_in_a_row = 0
        self.done = Done()
        """What all workers have reported. A request that is sent again counts twice."""
        self.gives_up = False
        """Whether too many failures in a row are a reason to stop."""
        self.stop = ""
        """Why nothing more is to be sent; empty if it is."""

    def report(self, demand: Demand, now: float) -> Grant:
        """Take what a worker has and wants; return what it gets."""
        self._workers = {name: each for name, each in self._workers.items() if now - each.seen < LOST_AFTER}
        worker = self._workers[demand.worker] = _Worker(demand.holds, demand.wants, now)
        self._count(demand)
        if self.stop:
            return Grant(worker.holds, 0.0, self.stop)
        self._grow(now)
        others = sum(each.holds for each in self._workers.values() if each is not worker)
        slots = min(self._fair_share(worker), max(0, int(self._current) - others))
        if now < self._settled_at:
            slots = min(slots, demand.holds)
        worker.holds = max(slots, demand.holds)  # it may use what it has until its next report
        return Grant(slots, max(0.0, self._paused_until - now), "")

    def refuse(self, pause: float, now: float) -> bool:
        """Learn that a server asked for a pause; return whether that changes anything."""
        self._grow(now)
        until = now + min(pause, _LONGEST_PAUSE)
        if now >= self._cut_until:
            self._current = max(1.0, self._current / 2)
        self._cut_until = max(self._cut_until, until, now + _LEAST_CUT)
        if until <= self._paused_until:
            return False
        self._paused_until = until
        return True

    def _fair_share(self, worker: _Worker) -> int:
        """Return what a worker gets if all get what they want, or else the same; who is first gets what remains."""
        left, count = int(self._current), len(self._workers)
        for each in sorted(self._workers.values(), key=lambda each: each.wants):
            share = min(each.wants, -(-left // count))
            if each is worker:
                return share
            left, count = left - share, count - 1
        return 0

    def _grow(self, now: float) -> None:
        began, self._grown_at = max(self._grown_at, self._cut_until), now
        if now > began:
            self._current = min(self._limit, self._current + (now - began) * max(1.0, self._limit / _SECONDS_TO_RETURN))

    def _count(self, demand: Demand) -> None:
        self.done = self.done.plus(demand.done)
        self._failed_in_a_row = demand.failed_in_a_row + (0 if demand.done.completed else self._failed_in_a_row)
        if self._failed_in_a_row >= max(IN_A_ROW, 2 * self._limit) and self.gives_up:
            self.stop = self.stop or GAVE_UP

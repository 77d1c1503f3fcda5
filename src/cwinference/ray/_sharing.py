"""One limit for all workers together: who may have how many requests in flight, and until when all of them pause.

Pure: time is passed in. A worker reports what it has and wants, and gets a number. Slots that one worker has are never
given to another before it has reported that it is below them, so that the sum of all holds while numbers are moved.
Everything here can be rebuilt from the reports, should the actor that keeps it be restarted.
"""

from dataclasses import dataclass
from typing import NamedTuple

from ..inference._auto_limiter import Limit
from ..inference.batch.outcomes import IN_A_ROW
from ._numbers import number_of
from ._usage import NONE, Counts, plus

LOST_AFTER = 5.0
"""Seconds without a report after which a worker counts as dead, and its slots are free."""
_SETTLING = 3.0
"""Seconds after a restart in which nobody gets more: only then all workers have reported what they have."""

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
    responses: tuple[tuple[float, float], ...] = ()
    """Of some responses since its last report: how long ago the request was sent, and how long the response took."""


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

    def __init__(self, limit: Limit, now: float, *, is_restarted: bool = False) -> None:
        self._number = number_of(limit, now)
        """The number that is divided."""
        self._settled_at = now + _SETTLING if is_restarted else now
        self._workers: dict[str, _Worker] = {}
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
        number = self._learn(demand, now)
        others = sum(each.holds for each in self._workers.values() if each is not worker)
        slots = min(self._fair_share(worker, number), max(0, number - others))
        if now < self._settled_at:
            slots = min(slots, demand.holds)
        worker.holds = max(slots, demand.holds)  # it may use what it has until its next report
        return Grant(slots, max(0.0, self._number.paused_until - now), "")

    def refuse(self, pause: float, now: float, age: float = 0.0) -> bool:
        """Learn that a server asked for a pause, in response to what was sent so many seconds ago.

        Return whether that changes anything that all workers have to know at once.
        """
        return self._number.refuse(now, now - age, pause)

    def _learn(self, demand: Demand, now: float) -> int:
        """Take how long responses took; return the number."""
        is_full = sum(each.wants for each in self._workers.values()) >= self._number.at(now)
        for age, seconds in demand.responses:
            self._number.respond(now, now - age, seconds, is_full=is_full)
        return self._number.at(now)

    def _fair_share(self, worker: _Worker, number: int) -> int:
        """Return what a worker gets if all get what they want, or else the same; who is first gets what remains."""
        left, count = number, len(self._workers)
        for each in sorted(self._workers.values(), key=lambda each: each.wants):
            share = min(each.wants, -(-left // count))
            if each is worker:
                return share
            left, count = left - share, count - 1
        return 0

    def _count(self, demand: Demand) -> None:
        self.done = self.done.plus(demand.done)
        self._failed_in_a_row = demand.failed_in_a_row + (0 if demand.done.completed else self._failed_in_a_row)
        if self._failed_in_a_row >= max(IN_A_ROW, 2 * self._number.most) and self.gives_up:
            self.stop = self.stop or GAVE_UP

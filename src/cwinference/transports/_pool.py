"""Connections by load: another one is opened when all are busy, and spare ones are closed when they fall idle.

Servers commonly allow 100 streams on an HTTP/2 connection and refuse or queue more, so a lane takes 80 calls at most.

A peer that is gone may leave a connection behind that takes everything and answers nothing. So a lane is left when
calls have waited on it in vain for a while, whether a deadline or a cancel ended them. Their time counts, not their
number: a thousand deadlines of 1 ms tell as little as one of a second.
"""

import math
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from .._locks import lock_of

ConnectionT = TypeVar("ConnectionT")

CALLS_PER_CONNECTION = 80
SPARE_SECONDS = 30.0
SILENT_SECONDS = 3.0
"""For how long calls wait in vain before their lane is left; a server that is merely slow loses little by that."""


class Lane(Generic[ConnectionT]):
    """One connection and the number of calls on it."""

    __slots__ = ("answered", "connection", "idle_since", "in_flight", "silence", "silent_until")

    def __init__(self, connection: ConnectionT) -> None:
        self.connection = connection
        self.in_flight = 1
        self.idle_since = 0.0
        self.answered = -math.inf
        """When the call began that was answered last, even with an error; set by whoever makes the calls."""
        self.silence = 0.0
        """For how many seconds calls that began since have waited in vain; those at the same time count once."""
        self.silent_until = -math.inf


class Pool(Generic[ConnectionT]):
    """Lanes in the order of their opening; the first free one is taken, so that later ones fall idle."""

    def __init__(
        self,
        connect: Callable[[], ConnectionT],
        limit: int = CALLS_PER_CONNECTION,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._limit = limit
        self._monotonic = monotonic
        self._lanes: list[Lane[ConnectionT]] = []
        self._lock = lock_of(self)

    def __len__(self) -> int:
        return len(self._lanes)

    def take(self) -> Lane[ConnectionT]:
        """A lane with room for one more call; to be given back."""
        with self._lock:
            for lane in self._lanes:
                if lane.in_flight < self._limit:
                    lane.in_flight += 1
                    return lane
            lane = Lane(self._connect())
            self._lanes.append(lane)
            return lane

    def leave(self, lane: Lane[ConnectionT]) -> None:
        """Take no more calls on a lane, whose connection is of no use; the last call on it closes it."""
        with self._lock:
            if lane in self._lanes:
                self._lanes.remove(lane)

    def give(self, lane: Lane[ConnectionT], began: float) -> ConnectionT | None:
        """Give a lane back, taken by a call that began then.

        Gives a connection for the caller to close: a spare one, idle for long, or a left one.
        """
        with self._lock:
            lane.in_flight -= 1
            if lane.answered < began:
                self._count_silence(lane, began)
            if len(self._lanes) == 1 and self._lanes[0] is lane:
                return None
            if lane not in self._lanes:
                return lane.connection if lane.in_flight == 0 else None
            now = self._monotonic()
            if lane.in_flight == 0:
                lane.idle_since = now
            return self._retire(now)

    def take_all(self) -> list[ConnectionT]:
        """Empty the pool; the caller has to close the connections."""
        with self._lock:
            lanes, self._lanes = self._lanes, []
            return [lane.connection for lane in lanes]

    def _count_silence(self, lane: Lane[ConnectionT], began: float) -> None:
        """Neither this call nor one that began later was answered; leave the lane when that has gone on for long."""
        now = self._monotonic()
        if lane.answered > lane.silent_until:
            lane.silence = 0.0
        lane.silence += now - max(began, lane.silent_until)
        lane.silent_until = now
        if lane.silence >= SILENT_SECONDS and lane in self._lanes:
            self._lanes.remove(lane)

    def _retire(self, now: float) -> ConnectionT | None:
        last = self._lanes[-1]
        if last.in_flight == 0 and now - last.idle_since >= SPARE_SECONDS:
            self._lanes.pop()
            return last.connection
        return None

"""Connections by load: another one is opened when all are busy, and surplus ones are closed when they become idle.

Servers commonly allow 100 streams on an HTTP/2 connection and refuse or queue more, so a lane takes 80 calls at most.

A dead peer may leave a half-open connection, which accepts everything and never responds. So a lane is abandoned when
calls on it have waited without any response for 3 s in total, whether timeouts or cancels ended them. Their time
counts, not their number: a thousand timeouts of 1 ms prove as little as one of a second.

A call that is given up before its end resets its stream. Both ends of an HTTP/2 connection close it, with all calls on
it, when there are too many resets. So a lane takes no more calls after 40 of them, and is closed after its last call.
"""

import math
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from .._locks import lock_of

ConnectionT = TypeVar("ConnectionT")

CALLS_PER_CONNECTION = 80
EARLY_ENDS_PER_CONNECTION = 40
"""After how many calls that were given up a lane takes no more. Until then each takes the place of a call in flight, so
that at most 80 calls on a lane are ever given up.

The HTTP/2 engine of pyqwest (Rust's h2) remembers 50 streams that it has reset, for 1 s each, and closes a connection
on which more than 1,024 frames have come for others that it has reset. Envoy closes one on which 250 streams were reset
within their first second (half of `overload.premature_reset_total_stream_count`), Netty one with 200 resets in 30 s.
nginx refuses streams when 256 (twice `http2_max_concurrent_streams`) begin at once, also if they are reset as soon, and
closes a connection on which it has refused more than 128.
"""
SPARE_SECONDS = 30.0
SILENT_SECONDS = 3.0
"""How long calls wait without any response before their lane is replaced; a merely slow server loses little by that."""


class Lane(Generic[ConnectionT]):
    """A connection and the calls on it."""

    __slots__ = ("connection", "early_ends", "idle_since", "in_flight", "responded", "silence", "silent_until")

    def __init__(self, connection: ConnectionT) -> None:
        self.connection = connection
        self.in_flight = 1
        self.early_ends = 0
        """How many calls on it were given up before their end, each of which has reset its stream."""
        self.idle_since = 0.0
        self.responded = -math.inf
        """When the latest call began that received a response, even an error; set by the transport."""
        self.silence = 0.0
        """How many seconds calls that began since have waited without a response; concurrent ones count once."""
        self.silent_until = -math.inf
        """Up to which time that silence was counted."""


class Pool(Generic[ConnectionT]):
    """Lanes in the order of their opening; the first free one is taken, so that later ones become idle."""

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
        """Return a lane with room for one more call, to be given back by `give`."""
        with self._lock:
            for lane in self._lanes:
                if lane.in_flight + lane.early_ends < self._limit:
                    lane.in_flight += 1
                    return lane
            lane = Lane(self._connect())
            self._lanes.append(lane)
            return lane

    def leave(self, lane: Lane[ConnectionT]) -> None:
        """Put no more calls on a lane whose connection is unusable; the last call on it closes it."""
        with self._lock:
            self._drop(lane)

    def give(self, lane: Lane[ConnectionT], began: float, early: bool = False) -> ConnectionT | None:
        """Give back a lane, taken by a call that began at `began`. `early`: it was given up, which resets its stream.

        Return a connection that the caller has to close, if there is one: surplus and idle for long, or abandoned.
        """
        with self._lock:
            lane.in_flight -= 1
            if early:
                lane.early_ends += 1
                if lane.early_ends == EARLY_ENDS_PER_CONNECTION:
                    self._drop(lane)
            if lane.responded < began:
                self._count_silence(lane, began)
            if len(self._lanes) == 1 and self._lanes[0] is lane:
                return None
            if lane not in self._lanes:
                return lane.connection if lane.in_flight == 0 else None
            if lane.in_flight == 0:
                lane.idle_since = self._monotonic()
            return self._retire()

    def take_all(self) -> list[ConnectionT]:
        """Empty the pool and return its connections, which the caller has to close."""
        with self._lock:
            lanes, self._lanes = self._lanes, []
            return [lane.connection for lane in lanes]

    def _count_silence(self, lane: Lane[ConnectionT], began: float) -> None:
        """Add the time of a call without a response to the lane's silence; abandon the lane if that is too long.

        Neither this call nor one that began later got a response. Calls overlap, so only the part of this call's time
        that no other call has counted yet is added.
        """
        now = self._monotonic()
        if lane.responded > lane.silent_until:
            lane.silence = 0.0
        lane.silence += now - max(began, lane.silent_until)
        lane.silent_until = now
        if lane.silence >= SILENT_SECONDS:
            self._drop(lane)

    def _drop(self, lane: Lane[ConnectionT]) -> None:
        if lane in self._lanes:
            self._lanes.remove(lane)

    def _retire(self) -> ConnectionT | None:
        last = self._lanes[-1]
        if last.in_flight == 0 and self._monotonic() - last.idle_since >= SPARE_SECONDS:
            self._lanes.pop()
            return last.connection
        return None

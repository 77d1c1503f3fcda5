"""Following: the flows that poll several kinds of resources, each on its own schedule, and report what has changed."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar, cast

from google.protobuf.timestamp_pb2 import Timestamp

from .. import errors, types
from .._arguments import check_callback
from .._calls.attempts import Context
from .._calls.clock import Clock
from .._calls.flow import Flow, Sleep
from .._calls.session import ClientSession
from .._calls.transient import PollError, passes, server_delay
from .._text import one_line
from ._change import Change, log_change
from ._kinds import Kind
from ._schedule import PollIntervals, Schedule
from ._table import KnownTable

log = logging.getLogger("cwinference")

R = TypeVar("R", bound=types.Gateway | types.Deployment | types.CapacityClaim)

_MAX_READS = 10
"""How many resources a poll reads one by one. If more are DELETING, it lists everything instead."""


@dataclass(frozen=True)
class ResourceSource(Generic[R]):
    """How to read one kind of resource."""

    kind: Kind
    message: type[R]
    list: Callable[[Timestamp | None], Flow[Sequence[R]]]
    """Lists what has changed after a time, or everything."""
    get: Callable[[str], Flow[R]]
    """Reads one by its id."""
    covers: Callable[[R], bool] = lambda _: True
    """Says whether one is to be followed; a list of changes may contain others."""


def following(
    sources: Sequence[ResourceSource[Any]],
    context: Context,
    interval: tuple[float, float],
    relist: float,
    on_error: Callable[[PollError], object] | None,
) -> "Following[Any]":
    """Follow these sources with a client's clock.

    Raises ConfigurationError for arguments that are wrong, and for a client that is closed.
    """
    check_callback(on_error, "on_error")
    intervals = PollIntervals.of(interval, relist)
    session = cast(ClientSession[Any], context.session)
    session.check_open()
    return Following(sources, intervals, on_error, context.clock, session.check_open)


class Follower(Generic[R]):
    """Reads one kind of resource into a table."""

    def __init__(self, source: ResourceSource[R]) -> None:
        self._source = source
        self.table = KnownTable(source.kind, source.message, source.covers)

    def poll(self, *, full: bool) -> Flow[bool]:
        """List what has changed, or everything, and read what may be gone.

        Return whether it has a list of everything that seems to be right.
        """
        table = self.table
        cursor = None if full or len(table.deleting) > _MAX_READS else table.cursor
        found = yield from self._source.list(cursor)
        if cursor is None:
            table.replace(found)
        else:
            table.merge(found)
        right = not (table.doubts or table.deleting) or (yield from self._read_doubtful())
        return right and cursor is None

    def _read_doubtful(self) -> Flow[bool]:
        """Read what may be gone, and some of what a list contradicts; return whether the list seems right."""
        table, doubted = self.table, [*self.table.doubts]
        some = doubted[:: -(-len(doubted) // _MAX_READS) or 1]
        right = True
        for each in dict.fromkeys([*some, *(table.deleting if len(table.deleting) <= _MAX_READS else ())]):
            try:
                found = yield from self._source.get(each)
            except errors.NotFound:
                found = None
            right &= table.merge_one(each, found)
        table.settle(believe=right)
        return right


class Following(Generic[R]):
    """Follows several kinds of resources. Between its flows it can be left at any time, also by an interruption."""

    def __init__(
        self,
        sources: Sequence[ResourceSource[R]],
        intervals: PollIntervals,
        on_error: Callable[[Any], object] | None,
        clock: Clock,
        check_open: Callable[[], object] = lambda: None,
    ) -> None:
        self._followers = [(Follower(each), Schedule(intervals, clock)) for each in sources]
        self._on_error = on_error
        self.check_open = check_open
        """Raises ConfigurationError if the client is closed."""
        self._closed = False
        self._turns: Iterator[Change[R]] = iter(())
        self.failures: Mapping[Kind, Exception] = {}
        """Why the last poll failed, for each kind for which it did. Replaced as a whole: other threads may read it."""

    @property
    def tables(self) -> Sequence[KnownTable[R]]:
        """What is known, for each kind."""
        return [follower.table for follower, _ in self._followers]

    @property
    def ages(self) -> Sequence[float | None]:
        """The seconds since the last good poll of each kind; None if there was none."""
        return [schedule.age for _, schedule in self._followers]

    @property
    def pause(self) -> float:
        """The seconds until the next poll."""
        return min(schedule.pause for _, schedule in self._followers)

    def close(self) -> None:
        """Make `next` return None, and `poll` begin with no further kind."""
        self._closed = True

    def next(self) -> Flow[Change[R] | None]:
        """Wait for the next change; None when it was closed.

        A poll that is due comes first, even if there are changes left to report: so the newest state is reported.
        """
        while not self._closed:
            yield from self.poll()
            change = next(self._turns, None)
            if change is None:
                self._turns = self._in_turns()
                change = next(self._turns, None)
            if change is not None:
                return change
            if not self._closed:
                yield Sleep(self.pause)
        return None

    def poll(self) -> Flow[None]:
        """Poll what is due. Failures that pass are reported to `on_error`, others are raised."""
        for follower, schedule in self._followers:
            if self._closed or schedule.pause > 0:
                continue
            table = follower.table
            try:
                full = yield from follower.poll(full=schedule.relist_is_due)
            except Exception as error:
                schedule.failed(server_delay(error))
                self.failures = {**self.failures, table.kind: error}
                if not passes(error):
                    raise
                self._report(error)
            else:
                schedule.polled(moving=bool(table.moving or table.waiting), full=full)
                self.failures = {kind: each for kind, each in self.failures.items() if kind != table.kind}

    def _in_turns(self) -> Iterator[Change[R]]:
        """Emit what has changed, of each kind only what waits when its turn comes: no kind hides the others."""
        for table in self.tables:
            yield from islice(self.changes_of(table), table.waiting)

    def changes_of(self, table: KnownTable[R]) -> Iterator[Change[R]]:
        """Emit what has changed in one kind."""
        while (change := table.take()) is not None:
            if table.is_reported:
                log_change(change, len(table.reported))
            yield change

    def _report(self, error: Exception) -> None:
        log.info("watch: %s", one_line(str(error)))
        if self._on_error is not None:
            try:
                self._on_error(error)
            except Exception:
                log.exception("on_error failed")

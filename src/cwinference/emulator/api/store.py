"""The state of the emulator: tables of records, the steps scheduled for them, and their `updated_at` times.

Nothing runs in the background. Each access first runs all steps that have become due since the last one, in the order
of their due times. So a caller always sees the state that a background task would have produced by now.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, TypeAlias

from ...errors import ConfigurationError
from ..clock import EmulatorClock, from_timestamp, to_nanoseconds, to_timestamp
from ..interfaces import RpcError
from .journal import Journal, JournalRow
from .tables import Record, RecordTable, Step

RunStep: TypeAlias = Callable[[Record, str, int], None]
"""Runs a step of a record; called with the record, the name of the step, and when it was due."""

_log = logging.getLogger("cwinference.emulator")
_MAX_STALE_ENTRIES = 1000
"""How many entries the schedule may contain beyond twice the number of records before stale ones are removed."""


class RecordStore:
    """The tables, the schedule of steps, and the journal."""

    def __init__(self, clock: EmulatorClock, journal: Journal | None) -> None:
        self.clock = clock
        self.gateways = RecordTable(name=lambda spec: spec.name)
        self.deployments = RecordTable(name=lambda spec: spec.name, parents=lambda spec: spec.gateway_ids)
        self.capacity_claims = RecordTable(name=lambda spec: spec.name)
        self.hot_loads = RecordTable(parents=lambda spec: (spec.deployment_id,))
        self.tables: Mapping[str, RecordTable] = {
            "gateway": self.gateways,
            "deployment": self.deployments,
            "capacity_claim": self.capacity_claims,
            "hot_load": self.hot_loads,
        }
        self._journal = journal
        self._lock = threading.Lock()
        self._numbers, self._tie_breakers = count(1), count(1)
        self._last_updated_at = 0
        self._schedule: list[tuple[int, int, Record]] = []
        """A heap of (due time, tie-breaker, record): one entry for the next step of each record, and stale ones."""
        self._changed: dict[Record, None] = {}
        """Records to write to the journal; a dict, because a set would not keep their order."""
        self._removed: list[Record] = []
        self._modified = False
        """Whether anything was changed since the caller of this session got access."""
        self._stale = False
        """Whether the tables contain changes that were refused and could not be undone yet."""
        self._cannot_write = False
        """Whether the last attempt to write to the journal failed."""
        self._message_types: Mapping[str, type[Any]] = {}
        self.after_reload: Callable[[], None] = lambda: None
        """Called when the state in the journal has replaced one that could not be written."""

    @contextmanager
    def session(
        self, run_step: RunStep, before_steps: Callable[[], None] = lambda: None, *, must_write: bool = True
    ) -> Generator[None, None, None]:
        """Give the caller exclusive access: first run the steps that are due, at the end write changes to the journal.

        Changes of the caller are in the journal before the session ends, and so before any response that reports them
        is sent. Those of the steps may be written later: a restart runs steps that are due again.

        Args:
            run_step: runs a step that is due.
            before_steps: called before; it may plan steps that are due then.
            must_write: whether to undo the changes of the caller if they cannot be written. False: like those of steps
                they are kept, and written later.

        Raises:
            RpcError: (internal) the journal could not be written, and the changes were undone.
        """
        with self._lock:
            self._reload_if_stale()
            before_steps()
            self._run_due_steps(run_step)
            self._write_or_keep()
            self._modified = False
            try:
                yield
            finally:
                if self._modified and must_write:
                    self._write_or_undo()
                elif self._modified:
                    self._write_or_keep()

    def add(self, kind: str, message: Any, notes: dict[str, Any] | None = None) -> Record:
        """Add a new resource, with the current time as its `created_at`."""
        record = Record(kind, next(self._numbers), message, notes=notes or {})
        self.touch(record, self.clock.now())
        message.status.created_at.CopyFrom(message.status.updated_at)
        self.tables[kind].add(record)
        return record

    def touch(self, record: Record, moment: int) -> int:
        """Set the `updated_at` of a record to the moment of a change, or a later one if need be, and return it.

        Both are in nanoseconds.
        """
        # Every change in the store gets a later time than all changes before it, even if the clock is stopped or a
        # step runs long after it was due. Clients follow changes by listing with `updated_after` set to the latest
        # time they have seen. With equal or earlier times they would miss a change made just after their last list.
        self._last_updated_at = record.updated_at = max(moment, self._last_updated_at + 1)
        record.message.status.updated_at.CopyFrom(to_timestamp(record.updated_at))
        self._mark_changed(record)
        return record.updated_at

    def plan(self, record: Record, steps: Sequence[Step]) -> None:
        """Schedule steps for a record, in place of those that it had left."""
        record.plan = list(steps)
        self._mark_changed(record)
        self._schedule_next_step(record)

    def remove(self, record: Record) -> None:
        """Remove a record for good."""
        self.tables[record.kind].remove(record)
        record.plan = []
        self._changed.pop(record, None)
        self._removed.append(record)
        self._modified = True

    def hasten(self, run_step: RunStep, excluded: Collection[str]) -> None:
        """Run the steps that are planned, as if they were due; of each record up to the first of the excluded ones."""
        for record in sorted((each for table in self.tables.values() for each in table), key=lambda each: each.number):
            while record.plan and record.plan[0][1] not in excluded:
                plan = record.plan
                _, step = plan.pop(0)
                self._mark_changed(record)
                run_step(record, step, self.clock.now())
                if record.plan is plan:
                    self._schedule_next_step(record)

    def replace(self, rows: Iterable[JournalRow]) -> None:
        """Replace all records by others, in this order; their numbers are given anew."""
        for table in self.tables.values():
            self._removed += table
            table.clear()
        self._schedule.clear()
        self._changed.clear()
        for row in rows:
            number = next(self._numbers)
            self._mark_changed(self._load_row(replace(row, number=number)))
        self._modified = True
        self.clock.catch_up(self._last_updated_at)

    def load(self, message_types: Mapping[str, type[Any]]) -> None:
        """Read all records from the journal, and continue the time that they were written in.

        Args:
            message_types: the message type of each kind.

        Raises:
            ConfigurationError: the state file is damaged.
        """
        self._message_types = message_types
        for row in self._journal.rows(message_types) if self._journal else ():
            self._load_row(row)
        # The system clock may have been set back since the file was written. Steps that were planned for a moment
        # after the last change are then due no later than they would have been without that.
        self.clock.catch_up(self._last_updated_at)

    def close(self) -> None:
        """Close the journal."""
        with self._lock:
            if self._journal is not None:
                self._journal.close()

    def _run_due_steps(self, run_step: RunStep) -> None:
        now = self.clock.now()
        while self._schedule and self._schedule[0][0] <= now:
            due, _, record = heappop(self._schedule)
            plan = record.plan
            # An entry is stale if the record has got another plan since, or was removed. Entries of a heap cannot be
            # deleted, so a stale one is recognized here: the next step of the record is due at another time, or there
            # is none. (If it is due at the same time by chance, it is due now, and which entry runs it is irrelevant.)
            if plan and plan[0][0] == due:
                _, step = plan.pop(0)
                self._changed[record] = None
                run_step(record, step, due)
                # A step may itself give the record a new plan, and `plan` has then scheduled the first step of it. The
                # lists are compared by identity, since a new plan may be equal to what is left of the old one.
                if record.plan is plan:
                    self._schedule_next_step(record)

    def _schedule_next_step(self, record: Record) -> None:
        if record.plan:
            heappush(self._schedule, (record.plan[0][0], next(self._tie_breakers), record))
        # A stale entry goes away when it falls due, which may take hours, while a client that updates in a loop leaves
        # one behind each time. So the heap is rebuilt without them once they outnumber the others.
        if len(self._schedule) > _MAX_STALE_ENTRIES + 2 * sum(map(len, self.tables.values())):
            records = (record for table in self.tables.values() for record in table)
            self._schedule = [(each.plan[0][0], next(self._tie_breakers), each) for each in records if each.plan]
            heapify(self._schedule)

    def _load_row(self, row: JournalRow) -> Record:
        updated_at = from_timestamp(row.message.status.updated_at)
        record = Record(row.kind, row.number, row.message, updated_at, row.plan, row.notes)
        self.tables[row.kind].add(record)
        self._schedule_next_step(record)
        self._last_updated_at = max(self._last_updated_at, updated_at)
        self._numbers = count(row.number + 1)
        return record

    def _mark_changed(self, record: Record) -> None:
        self._changed[record] = None
        self._modified = True

    def _write_changes(self) -> None:
        """Write what has changed. Raises `sqlite3.Error` if that fails; the changes stay listed then."""
        if self._journal is not None and (self._changed or self._removed):
            self._journal.write(map(_row, self._changed), ((each.kind, each.id) for each in self._removed))
        self._changed.clear()
        self._removed.clear()
        self._cannot_write = False

    def _write_or_keep(self) -> None:
        """Write what has changed, or keep it for the next session."""
        try:
            self._write_changes()
        except sqlite3.Error as error:
            if not self._cannot_write:  # once, and not for every read
                _log.warning("cannot write %s: %s; resources can be read, and not be changed", self._journal, error)
            self._cannot_write = True

    def _write_or_undo(self) -> None:
        """Write what has changed, or return to the state in the journal and raise `RpcError`."""
        try:
            self._write_changes()
        except sqlite3.Error as error:
            self._cannot_write = self._stale = True
            _log.error("a change was refused: cannot write %s: %s", self._journal, error)
            with suppress(RpcError):
                self._reload_if_stale()
            text = f"the emulator cannot write its state file, so nothing was changed: {error}"
            raise RpcError("internal", text) from None

    def _reload_if_stale(self) -> None:
        """Return to the state in the journal if changes have to be undone; steps that are due run again."""
        if not self._stale or self._journal is None:
            return
        try:
            rows = list(self._journal.rows(self._message_types))
        except ConfigurationError as error:
            _log.error("cannot undo the change that was refused: %s", error)
            raise RpcError("internal", f"the emulator cannot read its state file: {error}") from None
        for table in self.tables.values():
            table.clear()
        self._schedule.clear()
        self._changed.clear()
        self._removed.clear()
        for row in rows:
            self._load_row(row)
        self._stale = False
        self.after_reload()


def evenly_spaced(start: int, seconds: float, steps: Collection[str]) -> list[Step]:
    """Return steps due at equal intervals, the last one so many seconds after the start (in nanoseconds)."""
    duration = to_nanoseconds(seconds)
    return [(start + duration * number // len(steps), step) for number, step in enumerate(steps, 1)]


def _row(record: Record) -> JournalRow:
    return JournalRow(record.kind, record.number, record.message, record.plan, record.notes)

"""The state of the emulator: tables of records, the steps scheduled for them, and their `updated_at` times.

Nothing runs in the background. Each access first runs all steps that have become due since the last one, in the order
of their due times. So a caller always sees the state that a background task would have produced by now.
"""

import threading
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, TypeAlias

from ..clock import EmulatorClock, from_timestamp, to_nanoseconds, to_timestamp
from .journal import Journal, JournalRow
from .tables import Record, Step, Table

RunStep: TypeAlias = Callable[[Record, str, int], None]
"""Runs a step of a record; called with the record, the name of the step, and when it was due."""

_MAX_STALE_ENTRIES = 1000
"""How many entries the schedule may contain beyond twice the number of records before stale ones are removed."""


class Store:
    """The tables, the schedule of steps, and the journal."""

    def __init__(self, clock: EmulatorClock, journal: Journal | None) -> None:
        self.clock = clock
        self.gateways = Table(name=lambda spec: spec.name)
        self.deployments = Table(name=lambda spec: spec.name, parents=lambda spec: spec.gateway_ids)
        self.capacity_claims = Table(name=lambda spec: spec.name)
        self.hot_loads = Table(parents=lambda spec: (spec.deployment_id,))
        self.tables: Mapping[str, Table] = {
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

    @contextmanager
    def session(self, run_step: RunStep) -> Generator[None, None, None]:
        """Give the caller exclusive access: first run the steps that are due, at the end write changes to the journal.

        Changes are in the journal before the session ends, and so before any response that reports them is sent.
        """
        with self._lock:
            self._run_due_steps(run_step)
            try:
                yield
            finally:
                # Also when the request failed: the steps that were due have changed the state nevertheless.
                self._write_changes()

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
        self._changed[record] = None
        return record.updated_at

    def plan(self, record: Record, steps: Sequence[Step]) -> None:
        """Schedule steps for a record, in place of those that it had left."""
        record.plan = list(steps)
        self._changed[record] = None
        self._schedule_next_step(record)

    def remove(self, record: Record) -> None:
        """Remove a record for good."""
        self.tables[record.kind].remove(record)
        record.plan = []
        self._changed.pop(record, None)
        self._removed.append(record)

    def load(self, message_types: Mapping[str, type[Any]]) -> None:
        """Read all records from the journal.

        Args:
            message_types: the message type of each kind.

        Raises:
            ConfigurationError: the state file is damaged.
        """
        for row in self._journal.rows(message_types) if self._journal else ():
            updated_at = from_timestamp(row.message.status.updated_at)
            record = Record(row.kind, row.number, row.message, updated_at, row.plan, row.notes)
            self.tables[row.kind].add(record)
            self._schedule_next_step(record)
            self._last_updated_at = max(self._last_updated_at, updated_at)
            self._numbers = count(row.number + 1)

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

    def _write_changes(self) -> None:
        if not self._changed and not self._removed:
            return
        # If the journal cannot be written (a full disk), the request fails, but its change has been made and other
        # clients see it. So the changes stay listed here, and the next session writes them along with its own.
        if self._journal is not None:
            self._journal.write(map(_row, self._changed), ((each.kind, each.id) for each in self._removed))
        self._changed.clear()
        self._removed.clear()


def evenly_spaced(start: int, seconds: float, steps: Collection[str]) -> list[Step]:
    """Return steps due at equal intervals, the last one so many seconds after the start (in nanoseconds)."""
    duration = to_nanoseconds(seconds)
    return [(start + duration * number // len(steps), step) for number, step in enumerate(steps, 1)]


def _row(record: Record) -> JournalRow:
    return JournalRow(record.kind, record.number, record.message, record.plan, record.notes)

"""Everything the emulator remembers: tables of records, the steps that lie ahead of them, and stamps that only grow.

Nothing runs in the background. Whoever looks first does what has fallen due, in the order of time, so that all look as
if it had happened by itself.
"""

import threading
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any

from ..clock import Clock, moment_of, nanoseconds, timestamp
from .journal import Journal, Row
from .tables import Record, Step, Table

_SLACK = 1000
"""How many overtaken entries the agenda may hold beyond twice the number of records."""


class Store:
    """The tables, with time and the journal."""

    def __init__(self, clock: Clock, journal: Journal | None) -> None:
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
        self._numbers, self._pushes = count(1), count(1)
        self._last_stamp = 0
        self._agenda: list[tuple[int, int, Record]] = []
        self._changed: dict[Record, None] = {}
        self._removed: list[Record] = []

    @contextmanager
    def session(self, perform: Callable[[Record, str, int], None]) -> Generator[None, None, None]:
        """Hold the store: first what has fallen due is performed, at the end all changes are kept."""
        with self._lock:
            self._catch_up(perform)
            try:
                yield
            finally:
                self._keep()

    def add(self, kind: str, message: Any, notes: dict[str, Any] | None = None) -> Record:
        """Take a new resource in, created now."""
        record = Record(kind, next(self._numbers), message, notes=notes or {})
        self.touch(record, self.clock.now())
        message.status.created_at.CopyFrom(message.status.updated_at)
        self.tables[kind].add(record)
        return record

    def touch(self, record: Record, moment: int) -> int:
        """Stamp a change: not before its moment, and later than every stamp before it, so that none is ever missed."""
        self._last_stamp = record.stamp = max(moment, self._last_stamp + 1)
        record.message.status.updated_at.CopyFrom(timestamp(record.stamp))
        self._changed[record] = None
        return record.stamp

    def plan(self, record: Record, steps: Sequence[Step]) -> None:
        """Replace what lies ahead of a record."""
        record.plan = list(steps)
        self._changed[record] = None
        self._announce(record)

    def remove(self, record: Record) -> None:
        """Drop a record for good."""
        self.tables[record.kind].remove(record)
        record.plan = []
        self._changed.pop(record, None)
        self._removed.append(record)

    def load(self, kinds: Mapping[str, type[Any]]) -> None:
        """Take in what the journal kept; `kinds` gives the message type of each kind."""
        for row in self._journal.rows(kinds) if self._journal else ():
            stamp = moment_of(row.message.status.updated_at)
            record = Record(row.kind, row.number, row.message, stamp, row.plan, row.notes)
            self.tables[row.kind].add(record)
            self._announce(record)
            self._last_stamp = max(self._last_stamp, stamp)
            self._numbers = count(row.number + 1)

    def close(self) -> None:
        """Close the journal."""
        with self._lock:
            if self._journal is not None:
                self._journal.close()

    def _catch_up(self, perform: Callable[[Record, str, int], None]) -> None:
        now = self.clock.now()
        while self._agenda and self._agenda[0][0] <= now:
            due, _, record = heappop(self._agenda)
            plan = record.plan
            if plan and plan[0][0] == due:
                _, step = plan.pop(0)
                self._changed[record] = None
                perform(record, step, due)
                if record.plan is plan:
                    self._announce(record)

    def _announce(self, record: Record) -> None:
        """Put a record's next step on the agenda; entries that a later plan overtook are cleared out now and then."""
        if record.plan:
            heappush(self._agenda, (record.plan[0][0], next(self._pushes), record))
        if len(self._agenda) > _SLACK + 2 * sum(map(len, self.tables.values())):
            records = (record for table in self.tables.values() for record in table)
            self._agenda = [(each.plan[0][0], next(self._pushes), each) for each in records if each.plan]
            heapify(self._agenda)

    def _keep(self) -> None:
        if not self._changed and not self._removed:
            return
        if self._journal is not None:
            self._journal.write(map(_row, self._changed), ((each.kind, each.id) for each in self._removed))
        self._changed.clear()
        self._removed.clear()


def spread(start: int, seconds: float, steps: Collection[str]) -> list[Step]:
    """Steps at even distances, the last one so many seconds after the start."""
    length = nanoseconds(seconds)
    return [(start + length * number // len(steps), step) for number, step in enumerate(steps, 1)]


def _row(record: Record) -> Row:
    return Row(record.kind, record.number, record.message, record.plan, record.notes)

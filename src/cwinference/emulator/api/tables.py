"""Records, and tables that index them by id, organization, name and parent."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Step: TypeAlias = tuple[int, str]
"""When a step is due, in nanoseconds, and the name of the step."""


@dataclass(slots=True, eq=False)
class Record:
    """One resource, and what else the emulator knows about it."""

    kind: str
    number: int
    """Position in the order of creation, across all kinds."""
    message: Any
    """The resource in its current state: a Gateway, Deployment, CapacityClaim or HotLoad."""
    updated_at: int = 0
    """The `updated_at` of its status, in nanoseconds."""
    plan: list[Step] = field(default_factory=list[Step])
    """The steps it will go through, in the order in which they are due."""
    notes: dict[str, Any] = field(default_factory=dict[str, Any])
    """What a kind has to remember that is not in the message; only values that JSON can represent."""

    @property
    def id(self) -> str:
        """The UUID."""
        return str(self.message.spec.id)

    @property
    def organization(self) -> str:
        """The id of the organization that owns it."""
        return str(self.message.spec.organization_id)


class RecordTable:
    """The records of one kind, indexed by id, organization, name and parent."""

    def __init__(
        self,
        *,
        name: Callable[[Any], str] = lambda spec: "",
        parents: Callable[[Any], Iterable[str]] = lambda spec: (),
    ) -> None:
        self._name, self._parents = name, parents
        self._by_id: dict[str, Record] = {}
        self._by_organization: dict[str, dict[str, Record]] = {}
        self._by_name: dict[tuple[str, str], Record] = {}
        self._by_parent: dict[str, dict[str, Record]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._by_id.values())

    def get(self, id: str) -> Record | None:
        """Return the record with this id, of any organization."""
        return self._by_id.get(id)

    def in_organization(self, organization: str) -> dict[str, Record]:
        """Return an organization's records by id, in the order of their creation."""
        return self._by_organization.get(organization, {})

    def by_name(self, organization: str, name: str) -> Record | None:
        """Return the organization's record with this name."""
        return self._by_name.get((organization, name))

    def children(self, parent: str) -> dict[str, Record]:
        """Return the records of a parent by id, in the order in which they were assigned to it."""
        return self._by_parent.get(parent, {})

    def add(self, record: Record) -> None:
        """Add a record."""
        self._by_id[record.id] = record
        self._by_organization.setdefault(record.organization, {})[record.id] = record
        self._index(record)

    def replace_spec(self, record: Record, spec: Any) -> None:
        """Replace the spec of a record by another one with the same id, and index its new name and parents."""
        self._unindex(record)
        record.message.spec.CopyFrom(spec)
        self._index(record)

    def remove(self, record: Record) -> None:
        """Remove a record."""
        self._unindex(record)
        del self._by_id[record.id]
        _remove_from(self._by_organization, record.organization, record.id)

    def clear(self) -> None:
        """Remove all records."""
        for index in (self._by_id, self._by_organization, self._by_name, self._by_parent):
            index.clear()

    def _index(self, record: Record) -> None:
        spec = record.message.spec
        if name := self._name(spec):
            self._by_name[record.organization, name] = record
        for parent in self._parents(spec):
            self._by_parent.setdefault(parent, {})[record.id] = record

    def _unindex(self, record: Record) -> None:
        spec = record.message.spec
        self._by_name.pop((record.organization, self._name(spec)), None)
        for parent in self._parents(spec):
            _remove_from(self._by_parent, parent, record.id)


def sorted_by_creation(records: Iterable[Record]) -> Sequence[Record]:
    """Return records in the order of their creation."""
    return sorted(records, key=lambda record: record.number)


def _remove_from(index: dict[str, dict[str, Record]], key: str, id: str) -> None:
    records = index.get(key, {})
    records.pop(id, None)
    if not records:
        index.pop(key, None)

"""Records and the tables that find them: by id, by organization, by name and by parent."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Step: TypeAlias = tuple[int, str]
"""When something falls due, and its name."""


@dataclass(slots=True, eq=False)
class Record:
    """One resource."""

    kind: str
    number: int
    """Grows with every creation."""
    message: Any
    """The resource as it stands: Gateway, Deployment, CapacityClaim or HotLoad."""
    stamp: int = 0
    """Its `updated_at`, in nanoseconds."""
    plan: list[Step] = field(default_factory=list[Step])
    """The steps that lie ahead, earliest first."""
    notes: dict[str, Any] = field(default_factory=dict[str, Any])
    """What a kind remembers beyond the message; plain values, because they are kept as JSON."""

    @property
    def id(self) -> str:
        """The UUID."""
        return str(self.message.spec.id)

    @property
    def organization(self) -> str:
        """The owner."""
        return str(self.message.spec.organization_id)


class Table:
    """The records of one kind, found by id, by organization, by name and by parent."""

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
        """The record with this id, whatever its organization."""
        return self._by_id.get(id)

    def of(self, organization: str) -> dict[str, Record]:
        """An organization's records by id, in the order of their creation."""
        return self._by_organization.get(organization, {})

    def named(self, organization: str, name: str) -> Record | None:
        """The organization's record with this name."""
        return self._by_name.get((organization, name))

    def children(self, parent: str) -> dict[str, Record]:
        """The records below a parent, by id; in the order in which they came there."""
        return self._by_parent.get(parent, {})

    def add(self, record: Record) -> None:
        """Take a record in."""
        self._by_id[record.id] = record
        self._by_organization.setdefault(record.organization, {})[record.id] = record
        self._index(record)

    def replace_spec(self, record: Record, spec: Any) -> None:
        """Give a record another spec of the same id."""
        self._forget(record)
        record.message.spec.CopyFrom(spec)
        self._index(record)

    def remove(self, record: Record) -> None:
        """Drop a record."""
        self._forget(record)
        del self._by_id[record.id]
        _drop(self._by_organization, record.organization, record.id)

    def _index(self, record: Record) -> None:
        spec = record.message.spec
        if name := self._name(spec):
            self._by_name[record.organization, name] = record
        for parent in self._parents(spec):
            self._by_parent.setdefault(parent, {})[record.id] = record

    def _forget(self, record: Record) -> None:
        spec = record.message.spec
        self._by_name.pop((record.organization, self._name(spec)), None)
        for parent in self._parents(spec):
            _drop(self._by_parent, parent, record.id)


def in_order(records: Iterable[Record]) -> Sequence[Record]:
    """Records in the order of their creation."""
    return sorted(records, key=lambda record: record.number)


def _drop(index: dict[str, dict[str, Record]], key: str, id: str) -> None:
    records = index.get(key, {})
    records.pop(id, None)
    if not records:
        index.pop(key, None)

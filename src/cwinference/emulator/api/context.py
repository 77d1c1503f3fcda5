"""What the kinds of resources share: the store, the settings, and who else may see what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from google.protobuf.message import Message

from ..behavior import Behavior, Fate
from ..interfaces import Caller
from ..parameters import Parameters
from . import rpc_errors as refusals
from .store import Store
from .tables import Record, Table

Fields: TypeAlias = Mapping[str, Any]
"""The fields of a reply."""
Handler: TypeAlias = Callable[[Any, Caller], Fields]
Handlers: TypeAlias = Mapping[type[Message], Handler]


@dataclass(slots=True)
class World:
    """The surroundings of every resource."""

    store: Store
    behaviour: Behavior
    parameters: Parameters
    public_url: str
    fates: Mapping[str, Fate]
    """Bad ends, by id or by name (a hot-load's: by identity)."""

    def fate_of(self, *names: str) -> Fate | None:
        """The bad end of the first of these names that has one."""
        return next((self.fates[name] for name in names if name in self.fates), None) if self.fates else None

    def hot_load_in_progress(self, deployment_id: str) -> bool:
        """Whether a hot-load of the deployment has not come to its end: only the newest can be on its way."""
        newest = next(reversed(self.store.hot_loads.children(deployment_id).values()), None)
        return newest is not None and not newest.message.status.HasField("finished_at")


def find(table: Table, noun: str, id: str, caller: Caller) -> Record:
    """The caller's record with this id; another organization's is not found."""
    record = table.get(id)
    if record is None or record.organization != caller.organization:
        raise refusals.not_found(noun, id)
    return record


def fields_for(kind: type[Message], request: Message) -> dict[str, Any]:
    """The fields of a request that a message knows by the same names; what is present but empty stays present."""
    known: Any = kind.DESCRIPTOR
    return {field.name: value for field, value in request.ListFields() if field.name in known.fields_by_name}

"""What the handlers of all resources share: the store, the settings, and the lookup of a caller's records."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from google.protobuf.message import Message

from ..behavior import Behavior, Fate
from ..interfaces import Caller
from ..parameters import Parameters
from . import rpc_errors
from .store import RecordStore
from .tables import Record, RecordTable

ResponseFields: TypeAlias = Mapping[str, Any]
"""The fields of a response message, by name."""
RequestHandler: TypeAlias = Callable[[Any, Caller], ResponseFields]
HandlerMap: TypeAlias = Mapping[type[Message], RequestHandler]
"""The handler of each request type."""


@dataclass(slots=True)
class ApiContext:
    """The state and the settings that all handlers share."""

    store: RecordStore
    behavior: Behavior
    parameters: Parameters
    public_url: str
    fates: Mapping[str, Fate]
    """Planned failures, by the id or name of a resource, or by the identity of a hot-load."""

    def fate_of(self, *keys: str) -> Fate | None:
        """Return the fate under the first of these keys that has one."""
        return next((self.fates[key] for key in keys if key in self.fates), None) if self.fates else None

    def hot_load_in_progress(self, deployment_id: str) -> bool:
        """Return whether a hot-load of the deployment is unfinished."""
        # Only the newest can be: a hot-load is not created before the one before it has finished.
        newest = next(reversed(self.store.hot_loads.children(deployment_id).values()), None)
        return newest is not None and not newest.message.status.HasField("finished_at")


def find_owned(table: RecordTable, noun: str, id: str, caller: Caller) -> Record:
    """Return the caller's record with this id, or raise `RpcError` (not_found).

    Records of other organizations are not found either, so that a caller cannot learn which ids exist.
    """
    record = table.get(id)
    if record is None or record.organization != caller.organization:
        raise rpc_errors.not_found(noun, id)
    return record


def common_fields(message_type: type[Message], request: Message) -> dict[str, Any]:
    """Return the fields of a request that a message type has too, by name.

    Submessages that are present but empty are included, so that they are present in the message as well.
    """
    known: Any = message_type.DESCRIPTOR
    return {field.name: value for field, value in request.ListFields() if field.name in known.fields_by_name}

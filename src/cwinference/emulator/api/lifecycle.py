"""The lifecycle of gateways, deployments and capacity claims: CREATING, UPDATING or DELETING, then READY or gone."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar
from uuid import uuid4

from google.protobuf.message import Message

from ... import types
from ..behavior import Fate
from ..clock import from_timestamp, to_nanoseconds
from ..interfaces import Caller
from . import rpc_errors
from .conditions import ConditionTemplate, set_conditions
from .context import ApiContext, HandlerMap, ResponseFields, common_fields, find_owned
from .store import evenly_spaced
from .tables import Record

UPDATING, HALFWAY, SETTLED, RECOVERED, STRUCK, GONE = "updating", "halfway", "settled", "recovered", "struck", "gone"
"""The steps of the lifecycle; plans, also those in the journal, contain these names."""
UNPROMPTED = (RECOVERED, STRUCK)
"""Steps that belong to no change of a user's."""

_FAILURE_STATUSES: Mapping[str, "types.Status.ValueType"] = {
    "FAILED": types.Status.STATUS_FAILED,
    "ERROR": types.Status.STATUS_ERROR,
}


class LifecycleHandlers(ABC):
    """The methods of one kind of resource, and the steps of its lifecycle.

    Subclasses say in class attributes and hooks (`validate...`, `normalize`, `on_...`) what is special about a kind.
    """

    kind: ClassVar[str]
    """Name in the store, and of the field in responses that contains one resource."""
    noun: ClassVar[str]
    """Name in error messages."""
    list_field: ClassVar[str]
    """Name of the field in the response of the list method."""
    message_type: ClassVar[type[Any]]
    spec_type: ClassVar[type[Any]]
    immutable_fields: ClassVar[Sequence[str]] = ("id", "organization_id")
    """Fields of the spec that an update does not change."""
    update_steps: ClassVar[Sequence[str]] = (HALFWAY, SETTLED)
    failure_conditions: ClassVar[Mapping[str, ConditionTemplate]]
    """The condition that reports a failure, by the status of the `Fate`."""

    def __init__(self, context: ApiContext) -> None:
        self.context = context
        self.store = context.store
        self.table = context.store.tables[self.kind]
        self._steps = {
            UPDATING: self._begin_update,
            HALFWAY: self.on_halfway,
            SETTLED: self.on_settled,
            RECOVERED: self._become_ready,
            STRUCK: self._be_struck,
            GONE: self.on_gone,
        }

    @abstractmethod
    def handlers(self) -> HandlerMap:
        """Return the handlers of the methods of the kind's service."""

    def list(self, request: Any, caller: Caller) -> ResponseFields:
        """List the organization's resources; with `updated_after`, those that have changed since then."""
        return {self.list_field: self.updated_since(request, self.table.in_organization(caller.organization))}

    def get(self, request: Any, caller: Caller) -> ResponseFields:
        """Get one resource."""
        return {self.kind: self.find(request.id, caller).message}

    def create(self, request: Any, caller: Caller) -> ResponseFields:
        """Create a resource, in the state CREATING."""
        if request.id and self.table.get(request.id) is not None:
            raise rpc_errors.already_exists(self.noun, "id", request.id)
        self._check_name_is_free(request.name, caller)
        self._check_quota(caller)
        self.validate(request, caller)
        spec = self.spec_type(**common_fields(self.spec_type, request))
        spec.id = spec.id or str(uuid4())
        spec.organization_id = caller.organization
        self.normalize(spec)
        record = self.store.add(self.kind, self.message_type(spec=spec, status={"status": "STATUS_CREATING"}))
        self.on_creating(record)
        delay = self.context.behavior.ready_after
        self.store.plan(record, evenly_spaced(self.store.clock.now(), delay, (HALFWAY, SETTLED)))
        return {self.kind: record.message}

    def update(self, request: Any, caller: Caller) -> ResponseFields:
        """Replace the spec of a resource. Its state becomes UPDATING, at once or after the status lag."""
        record = self.find(request.id, caller)
        if record.message.status.status == types.Status.STATUS_DELETING:
            raise rpc_errors.being_deleted(self.noun, request.id)
        before = record.message.spec
        kept = {name: getattr(before, name) for name in self.immutable_fields}
        spec = self.spec_type(**common_fields(self.spec_type, request) | kept)
        if spec.name != before.name:
            self._check_name_is_free(spec.name, caller)
        self.validate(request, caller)
        self.normalize(spec, before)
        record.notes |= self.notes_for_update(before, spec)
        self.table.replace_spec(record, spec)
        now, lag = self.store.clock.now(), self.context.behavior.status_lag
        if lag:
            self.store.touch(record, now)
            self.store.plan(record, [(now + to_nanoseconds(lag), UPDATING)])
        else:
            self._begin_update(record, now)
        return {self.kind: record.message}

    def delete(self, request: Any, caller: Caller) -> ResponseFields:
        """Begin to delete a resource: it is DELETING, and gone after a delay. Deleting it again changes nothing."""
        record = self.find(request.id, caller)
        status = record.message.status
        if status.status != types.Status.STATUS_DELETING:
            self.validate_delete(record)
            now, behavior = self.store.clock.now(), self.context.behavior
            self.store.touch(record, now)
            status.status = types.Status.STATUS_DELETING
            status.ClearField("conditions")
            self.on_deleting(record)
            self.store.plan(record, evenly_spaced(now, behavior.delay(behavior.delete_after), (GONE,)))
        return {self.kind: record.message}

    def run_step(self, record: Record, step: str, due: int) -> None:
        """Run a step that was due at the given time, in nanoseconds."""
        self._steps[step](record, due)

    @property
    def step_names(self) -> Collection[str]:
        """The names of all steps that a plan may contain."""
        return self._steps.keys()

    def plan_strikes(self) -> None:
        """Plan when resources that are READY will fail, as their fates say now."""
        for record in self.table:
            self._plan_strike(record)

    def find(self, id: str, caller: Caller) -> Record:
        """Return the caller's record with this id, or raise `RpcError` (not_found)."""
        return find_owned(self.table, self.noun, id, caller)

    @abstractmethod
    def condition_zones(self, record: Record) -> Sequence[str]:
        """Return the zones for which the resource has conditions."""

    def validate(self, request: Any, caller: Caller) -> None:
        """Raise `RpcError` if the state or the parameters do not allow a create or an update."""

    def validate_delete(self, record: Record) -> None:
        """Raise `RpcError` if the resource is in use."""

    def normalize(self, spec: Any, before: Any = None) -> None:
        """Change what the service does not store as it was sent; `before` is the spec that an update replaces."""

    def notes_for_update(self, before: Any, after: Any) -> dict[str, Any]:
        """Return what the record has to remember about the old spec until the update begins."""
        return {}

    def on_creating(self, record: Record) -> None:
        """Fill in the status of a new resource."""

    def on_updating(self, record: Record, updated_at: int) -> None:
        """Change the status when an update begins."""

    def on_deleting(self, record: Record) -> None:
        """Change the status when a delete begins."""

    @abstractmethod
    def on_halfway(self, record: Record, due: int) -> None:
        """Report progress in the status, halfway through a create or an update."""

    @abstractmethod
    def on_ready(self, record: Record, updated_at: int) -> None:
        """Fill in the rest of the status of a resource that has become READY."""

    def on_settled(self, record: Record, due: int) -> None:
        """Complete a create or an update: the resource becomes READY, or fails if it has a fate."""
        fate = self._fate_of(record)
        if fate is None or fate.strikes_after is not None:
            self._become_ready(record, due)
        else:
            self._fail(record, due, fate)

    def on_gone(self, record: Record, due: int) -> None:
        """Complete a delete: remove the resource."""
        self.store.remove(record)

    def set_conditions(self, record: Record, updated_at: int, *templates: ConditionTemplate) -> None:
        """Replace the conditions, in every zone of the resource."""
        set_conditions(record.message.status, self.condition_zones(record), updated_at, templates)

    def updated_since(self, request: Any, records: Mapping[str, Record]) -> Sequence[Message]:
        """Return the messages of the records that changed after the request's `updated_after`; of all without it."""
        if not request.HasField("updated_after"):
            return [record.message for record in records.values()]
        updated_after = from_timestamp(request.updated_after)
        return [record.message for record in records.values() if record.updated_at > updated_after]

    def _begin_update(self, record: Record, due: int) -> None:
        behavior = self.context.behavior
        updated_at = self.store.touch(record, due)
        record.message.status.status = types.Status.STATUS_UPDATING
        self.on_updating(record, updated_at)
        self.store.plan(record, evenly_spaced(due, behavior.delay(behavior.update_after), self.update_steps))

    def _become_ready(self, record: Record, due: int) -> None:
        updated_at = self.store.touch(record, due)
        record.message.status.status = types.Status.STATUS_READY
        self.on_ready(record, updated_at)
        self._plan_strike(record)

    def _plan_strike(self, record: Record) -> None:
        """Plan when a resource will fail, if it is READY, nothing else is planned for it, and it has such a fate."""
        fate = self._fate_of(record)
        if fate is None or fate.strikes_after is None or record.message.status.status != types.Status.STATUS_READY:
            return
        planned = [(record.updated_at + to_nanoseconds(fate.strikes_after), STRUCK)]
        if record.plan != planned and all(step == STRUCK for _, step in record.plan):
            self.store.plan(record, planned)

    def _be_struck(self, record: Record, due: int) -> None:
        fate = self._fate_of(record)  # it may have been taken away since this was planned
        if fate is not None and fate.strikes_after is not None:
            self._fail(record, due, fate)

    def _fate_of(self, record: Record) -> Fate | None:
        return self.context.fate_of(record.id, record.message.spec.name)

    def _fail(self, record: Record, due: int, fate: Fate) -> None:
        updated_at = self.store.touch(record, due)
        record.message.status.status = _FAILURE_STATUSES[fate.status]
        default = self.failure_conditions[fate.status]
        condition = default._replace(reason=fate.reason or default.reason, message=fate.message or default.message)
        self.set_conditions(record, updated_at, condition)
        if fate.status == "ERROR" and fate.recovers_after is not None:
            self.store.plan(record, [(due + to_nanoseconds(fate.recovers_after), RECOVERED)])

    def _check_name_is_free(self, name: str, caller: Caller) -> None:
        if self.table.by_name(caller.organization, name) is not None:
            raise rpc_errors.already_exists(self.noun, "name", name)

    def _check_quota(self, caller: Caller) -> None:
        quota = self.context.behavior.quota
        if quota is not None and len(self.table.in_organization(caller.organization)) >= quota:
            raise rpc_errors.quota_exhausted(self.noun, caller.organization, quota)

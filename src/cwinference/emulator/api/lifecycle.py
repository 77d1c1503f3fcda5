"""The life that gateways, deployments and capacity claims share: CREATING, UPDATING and DELETING, to READY or gone."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from uuid import uuid4

from google.protobuf.message import Message

from ... import types
from ..behavior import Fate
from ..clock import moment_of, nanoseconds
from ..interfaces import Caller
from . import rpc_errors as refusals
from .conditions import Observed, observe
from .store import spread
from .tables import Record
from .context import Fields, Handlers, World, fields_for, find

UPDATING, HALFWAY, SETTLED, RECOVERED, GONE = "updating", "halfway", "settled", "recovered", "gone"
"""The steps of a life, as plans name them."""

_BAD_ENDS: Mapping[str, "types.Status.ValueType"] = {
    "FAILED": types.Status.STATUS_FAILED,
    "ERROR": types.Status.STATUS_ERROR,
}


class Lifecycle(ABC):
    """One kind of resource: its methods, and the steps of its life. What kinds differ in is in the subclasses."""

    kind: ClassVar[str]
    """Its field in replies, and its name in the store."""
    noun: ClassVar[str]
    """Its name in messages."""
    items: ClassVar[str]
    """The field of a list's reply."""
    message: ClassVar[type[Any]]
    spec: ClassVar[type[Any]]
    kept: ClassVar[Sequence[str]] = ("id", "organization_id")
    """Fields of the spec that an update leaves alone."""
    update_steps: ClassVar[Sequence[str]] = (HALFWAY, SETTLED)
    bad_ends: ClassVar[Mapping[str, Observed]]
    """The condition that tells of FAILED and of ERROR."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = world.store
        self.table = world.store.tables[self.kind]
        self._steps = {
            UPDATING: self._begin_update,
            HALFWAY: self.halfway,
            SETTLED: self.settled,
            RECOVERED: self._reach_ready,
            GONE: self.gone,
        }

    @abstractmethod
    def handlers(self) -> Handlers:
        """What answers the methods of the kind's service."""

    def list(self, request: Any, caller: Caller) -> Fields:
        """All of the organization's, changed since a moment when one is given."""
        return {self.items: self.changed_since(request, self.table.of(caller.organization))}

    def get(self, request: Any, caller: Caller) -> Fields:
        """One."""
        return {self.kind: self.find(request.id, caller).message}

    def create(self, request: Any, caller: Caller) -> Fields:
        """A new one, CREATING."""
        if request.id and self.table.get(request.id) is not None:
            raise refusals.already_exists(self.noun, "id", request.id)
        self._refuse_taken_name(request.name, caller)
        self._refuse_beyond_quota(caller)
        self.check(request, caller)
        spec = self.spec(**fields_for(self.spec, request))
        spec.id = spec.id or str(uuid4())
        spec.organization_id = caller.organization
        self.normalize(spec)
        record = self.store.add(self.kind, self.message(spec=spec, status={"status": "STATUS_CREATING"}))
        self.creating(record)
        self.store.plan(record, spread(self.store.clock.now(), self.world.behaviour.ready_after, (HALFWAY, SETTLED)))
        return {self.kind: record.message}

    def update(self, request: Any, caller: Caller) -> Fields:
        """Another spec in place of the old one, UPDATING at once or after the lag."""
        record = self.find(request.id, caller)
        if record.message.status.status == types.Status.STATUS_DELETING:
            raise refusals.being_deleted(self.noun, request.id)
        before = record.message.spec
        spec = self.spec(**fields_for(self.spec, request) | {name: getattr(before, name) for name in self.kept})
        if spec.name != before.name:
            self._refuse_taken_name(spec.name, caller)
        self.check(request, caller)
        self.normalize(spec, before)
        record.notes |= self.changes(before, spec)
        self.table.replace_spec(record, spec)
        now, lag = self.store.clock.now(), self.world.behaviour.status_lag
        if lag:
            self.store.touch(record, now)
            self.store.plan(record, [(now + nanoseconds(lag), UPDATING)])
        else:
            self._begin_update(record, now)
        return {self.kind: record.message}

    def delete(self, request: Any, caller: Caller) -> Fields:
        """DELETING, and gone after a while; a repeat changes nothing."""
        record = self.find(request.id, caller)
        status = record.message.status
        if status.status != types.Status.STATUS_DELETING:
            self.check_delete(record)
            now, behaviour = self.store.clock.now(), self.world.behaviour
            self.store.touch(record, now)
            status.status = types.Status.STATUS_DELETING
            status.ClearField("conditions")
            self.deleting(record)
            self.store.plan(record, spread(now, behaviour.after(behaviour.delete_after), (GONE,)))
        return {self.kind: record.message}

    def perform(self, record: Record, step: str, due: int) -> None:
        """Do a step that has fallen due."""
        self._steps[step](record, due)

    def find(self, id: str, caller: Caller) -> Record:
        """The caller's record with this id."""
        return find(self.table, self.noun, id, caller)

    @abstractmethod
    def zones(self, record: Record) -> Sequence[str]:
        """The zones that its conditions speak of."""

    def check(self, request: Any, caller: Caller) -> None:
        """Refuse what the state or the parameters forbid."""

    def check_delete(self, record: Record) -> None:
        """Refuse to delete what is in use."""

    def normalize(self, spec: Any, before: Any = None) -> None:
        """Change what the service does not keep as it was sent; `before` is the spec that is replaced."""

    def changes(self, before: Any, after: Any) -> dict[str, Any]:
        """What an update has to remember of the old spec until it begins."""
        return {}

    def creating(self, record: Record) -> None:
        """Fill in the status of a new one."""

    def updating(self, record: Record, stamp: int) -> None:
        """Tell in the status that an update has begun."""

    def deleting(self, record: Record) -> None:
        """Tell in the status that it is being removed."""

    @abstractmethod
    def halfway(self, record: Record, due: int) -> None:
        """Tell in the status how far it has come."""

    @abstractmethod
    def ready(self, record: Record, stamp: int) -> None:
        """Tell in the status that all is well."""

    def settled(self, record: Record, due: int) -> None:
        """Come to the end of a create or an update: READY, or what fate has in store."""
        fate = self.world.fate_of(record.id, record.message.spec.name)
        if fate is None:
            self._reach_ready(record, due)
        else:
            self.fail(record, due, fate)

    def fail(self, record: Record, due: int, fate: Fate) -> None:
        """Come to a bad end."""
        stamp = self.store.touch(record, due)
        record.message.status.status = _BAD_ENDS[fate.status]
        usual = self.bad_ends[fate.status]
        told = usual._replace(reason=fate.reason or usual.reason, message=fate.message or usual.message)
        self.observe(record, stamp, told)
        if fate.status == "ERROR" and fate.recovers_after is not None:
            self.store.plan(record, [(due + nanoseconds(fate.recovers_after), RECOVERED)])

    def gone(self, record: Record, due: int) -> None:
        """Disappear."""
        self.store.remove(record)

    def observe(self, record: Record, stamp: int, *observed: Observed) -> None:
        """Replace the conditions, in every zone."""
        observe(record.message.status, self.zones(record), stamp, observed)

    def changed_since(self, request: Any, records: Mapping[str, Record]) -> Sequence[Message]:
        """The messages of the records that changed after the request's `updated_after`."""
        if not request.HasField("updated_after"):
            return [record.message for record in records.values()]
        moment = moment_of(request.updated_after)
        return [record.message for record in records.values() if record.stamp > moment]

    def _begin_update(self, record: Record, due: int) -> None:
        behaviour = self.world.behaviour
        stamp = self.store.touch(record, due)
        record.message.status.status = types.Status.STATUS_UPDATING
        self.updating(record, stamp)
        self.store.plan(record, spread(due, behaviour.after(behaviour.update_after), self.update_steps))

    def _reach_ready(self, record: Record, due: int) -> None:
        stamp = self.store.touch(record, due)
        record.message.status.status = types.Status.STATUS_READY
        self.ready(record, stamp)

    def _refuse_taken_name(self, name: str, caller: Caller) -> None:
        if self.table.named(caller.organization, name) is not None:
            raise refusals.already_exists(self.noun, "name", name)

    def _refuse_beyond_quota(self, caller: Caller) -> None:
        quota = self.world.behaviour.quota
        if quota is not None and len(self.table.of(caller.organization)) >= quota:
            raise refusals.quota_exhausted(self.noun, caller.organization, quota)

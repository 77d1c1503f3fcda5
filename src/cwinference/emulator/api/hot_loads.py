"""Hot-loads: one at a time per deployment, chained to the snapshot before, with replicas that come along."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any
from uuid import uuid4

from ... import types
from ..clock import timestamp
from ..interfaces import Caller, Refusal
from . import pages
from . import rpc_errors as refusals
from .conditions import Observed, observe
from .replicas import rollout_of
from .store import spread
from .tables import Record
from .context import Fields, Handlers, World, fields_for, find

STARTED, HALFWAY, FINISHED = "started", "halfway", "finished"
_BASE_WEIGHTS = "initial"
_MOST_DELTAS = 128
_COMPLETED = types.HotLoadState.HOT_LOAD_STATE_COMPLETED
_INCREMENTAL = types.SnapshotType.SNAPSHOT_TYPE_INCREMENTAL
_LOADED_BADLY = Observed("Ready", False, "LoadFailed", "The snapshot could not be loaded.")


class HotLoads:
    """HotLoadService."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = world.store
        self._steps = {STARTED: self._start, HALFWAY: self._come_halfway, FINISHED: self._finish}

    def handlers(self) -> Handlers:
        """What answers the methods of the service."""
        return {
            types.CreateHotLoadRequest: self.create,
            types.GetHotLoadRequest: self.get,
            types.ListHotLoadsRequest: self.list,
            types.ListHotLoadReplicasRequest: self.replicas,
            types.CancelHotLoadRequest: self.cancel,
        }

    def create(self, request: types.CreateHotLoadRequest, caller: Caller) -> Fields:
        """A new one, PENDING."""
        if request.hot_load_id and self.store.hot_loads.get(request.hot_load_id) is not None:
            raise refusals.already_exists("hot-load", "id", request.hot_load_id)
        deployment = find(self.store.deployments, "deployment", request.deployment_id, caller)
        self._check_deployment(deployment)
        spec = types.HotLoadSpec(**fields_for(types.HotLoadSpec, request))
        spec.id = request.hot_load_id or str(uuid4())
        spec.organization_id = caller.organization
        spec.prompt_cache_policy = spec.prompt_cache_policy or types.PromptCachePolicy.PROMPT_CACHE_POLICY_PRESERVE
        completed = self._completed(deployment)
        spec.snapshot_chain.extend([*_chain_before(spec, completed), _link(spec)])
        if len(spec.snapshot_chain) > _MOST_DELTAS + (spec.snapshot_chain[0].type != _INCREMENTAL):
            raise _refused("CHAIN_TOO_LONG", spec, f"the chain would hold more than {_MOST_DELTAS} deltas")
        pending = types.HotLoadStatus(state=types.HotLoadState.HOT_LOAD_STATE_PENDING)
        message = types.HotLoad(spec=spec, status=pending)
        record = self.store.add("hot_load", message, self._rollout(deployment, completed))
        behaviour = self.world.behaviour
        delay = behaviour.after(behaviour.hot_load_after)
        self.store.plan(record, spread(self.store.clock.now(), delay, (STARTED, HALFWAY, FINISHED)))
        return {"hot_load": message}

    def get(self, request: types.GetHotLoadRequest, caller: Caller) -> Fields:
        """One."""
        return {"hot_load": self._find(request.id, caller).message}

    def list(self, request: types.ListHotLoadsRequest, caller: Caller) -> Fields:
        """A page of the organization's or of one deployment's, newest first."""
        listing = ("hot-loads", caller.organization, request.parent_deployment_id)
        size = pages.size_of(request.max_page_size)
        after = pages.position_of(request.page_token, *listing)
        page = list(islice(self._newest_first(request.parent_deployment_id, caller, after), size + 1))
        return {
            "hot_loads": [each.message for each in page[:size]],
            "next_page_token": pages.token_for(page[size - 1].number, *listing) if len(page) > size else "",
        }

    def replicas(self, request: types.ListHotLoadReplicasRequest, caller: Caller) -> Fields:
        """A page of the replicas, by zone and name."""
        record = self._find(request.hot_load_id, caller)
        listing = ("replicas", caller.organization, record.id)
        first = pages.position_of(request.page_token, *listing) or 0
        rollout = rollout_of(record.notes)
        end = min(first + pages.size_of(request.max_page_size), rollout.replicas)
        return {
            "replicas": [rollout.state_of(index, record.message) for index in range(first, end)],
            "next_page_token": pages.token_for(end, *listing) if end < rollout.replicas else "",
        }

    def cancel(self, request: types.CancelHotLoadRequest, caller: Caller) -> Fields:
        """Stop one where it stands; nothing is rolled back."""
        if not self.world.behaviour.cancel_hot_loads:
            raise Refusal("unimplemented", "cancelling is not implemented")
        record = self._find(request.id, caller)
        status = record.message.status
        if status.HasField("finished_at"):
            raise _refused("FINISHED", record.message.spec, "the hot-load has come to its end")
        self._end(record, self.store.clock.now(), types.HotLoadState.HOT_LOAD_STATE_CANCELED)
        status.canceled_at.CopyFrom(status.finished_at)
        self.store.plan(record, [])
        return {"hot_load": record.message}

    def perform(self, record: Record, step: str, due: int) -> None:
        """Do a step that has fallen due."""
        self._steps[step](record, due)

    def _find(self, id: str, caller: Caller) -> Record:
        return find(self.store.hot_loads, "hot-load", id, caller)

    def _newest_first(self, parent: str, caller: Caller, after: int | None) -> Iterator[Record]:
        table = self.store.hot_loads
        records = table.children(parent) if parent else table.of(caller.organization)
        for each in reversed(records.values()):
            if each.organization == caller.organization and (after is None or each.number < after):
                yield each

    def _check_deployment(self, deployment: Record) -> None:
        subject = f"deployment/{deployment.id}"
        if not deployment.message.spec.HasField("hot_load"):
            text = "hot-load is not enabled on this deployment"
            raise refusals.failed_precondition("HOT_LOAD_NOT_ENABLED", subject, text)
        if self.world.hot_load_in_progress(deployment.id):
            text = "a hot-load is already in progress on this deployment"
            raise refusals.failed_precondition("HOT_LOAD_IN_PROGRESS", subject, text)
        if deployment.message.status.status != types.Status.STATUS_READY:
            raise refusals.failed_precondition("NOT_READY", subject, "the deployment is not READY")

    def _completed(self, deployment: Record) -> Sequence[types.HotLoad]:
        """The deployment's hot-loads that succeeded, newest first."""
        children = self.store.hot_loads.children(deployment.id).values()
        return [each.message for each in reversed(children) if each.message.status.state == _COMPLETED]

    def _rollout(self, deployment: Record, completed: Sequence[types.HotLoad]) -> dict[str, Any]:
        gateway = self.store.gateways.get(deployment.message.spec.gateway_ids[0])
        zones = gateway.message.spec.zones if gateway else ()
        return {
            "name": deployment.message.spec.name,
            "zone": zones[0] if zones else next(iter(self.world.parameters.zones)),
            "replicas": deployment.message.spec.autoscaling.min,
            "base": completed[0].spec.identity if completed else _BASE_WEIGHTS,
        }

    def _start(self, record: Record, due: int) -> None:
        record.notes["started"] = self.store.touch(record, due)
        record.message.status.state = types.HotLoadState.HOT_LOAD_STATE_IN_PROGRESS

    def _come_halfway(self, record: Record, due: int) -> None:
        record.notes["halfway"] = self.store.touch(record, due)

    def _finish(self, record: Record, due: int) -> None:
        fate = self.world.fate_of(record.id, record.message.spec.identity)
        if fate is None:
            self._end(record, due, _COMPLETED)
            return
        stamp = self._end(record, due, types.HotLoadState.HOT_LOAD_STATE_FAILED)
        usual = _LOADED_BADLY
        told = usual._replace(reason=fate.reason or usual.reason, message=fate.message or usual.message)
        observe(record.message.status, [record.notes["zone"]], stamp, [told])

    def _end(self, record: Record, due: int, state: "types.HotLoadState.ValueType") -> int:
        stamp = self.store.touch(record, due)
        record.message.status.state = state
        record.message.status.finished_at.CopyFrom(timestamp(stamp))
        return stamp


def _chain_before(spec: types.HotLoadSpec, completed: Sequence[types.HotLoad]) -> Sequence[types.SnapshotRef]:
    """The chain that a snapshot builds on. It must be what is loaded now, or what the same snapshot built on before."""
    if spec.type != _INCREMENTAL:
        return ()
    previous = spec.incremental_snapshot_metadata.previous_snapshot_identity
    loaded = completed[0].spec.identity if completed else _BASE_WEIGHTS
    if previous == loaded:
        return completed[0].spec.snapshot_chain if completed else ()
    for earlier in completed:
        if earlier.spec.identity == spec.identity and _previous(earlier.spec) == previous:
            return earlier.spec.snapshot_chain[:-1]
    raise _refused("UNKNOWN_PREDECESSOR", spec, f"the deployment serves {loaded}, not {previous or 'nothing'}")


def _previous(spec: types.HotLoadSpec) -> str:
    return spec.incremental_snapshot_metadata.previous_snapshot_identity


def _link(spec: types.HotLoadSpec) -> types.SnapshotRef:
    metadata = spec.incremental_snapshot_metadata
    return types.SnapshotRef(
        identity=spec.identity,
        type=spec.type,
        hot_load_id=spec.id,
        compression_format=metadata.compression_format,
        checksum_format=metadata.checksum_format,
    )


def _refused(type: str, spec: types.HotLoadSpec, text: str) -> Refusal:
    return refusals.failed_precondition(type, f"hot-load/{spec.id}", text)

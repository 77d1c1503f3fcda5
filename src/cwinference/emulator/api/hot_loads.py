"""HotLoadService: one hot-load at a time per deployment, the chain of snapshots, and the progress of replicas."""

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any
from uuid import uuid4

from ... import types
from ..clock import to_timestamp
from ..interfaces import Caller, RpcError
from . import pages, rpc_errors
from .conditions import ConditionTemplate, set_conditions
from .context import ApiContext, HandlerMap, ResponseFields, common_fields, find_owned
from .replicas import rollout_from
from .store import evenly_spaced
from .tables import Record

STARTED, HALFWAY, FINISHED = "started", "halfway", "finished"
"""The steps of a hot-load; plans, also those in the journal, contain these names."""
_BASE_WEIGHTS = "initial"
"""Identity under which the API knows the weights that a deployment serves before its first hot-load."""
_MAX_DELTAS = 128
_COMPLETED = types.HotLoadState.HOT_LOAD_STATE_COMPLETED
_INCREMENTAL = types.SnapshotType.SNAPSHOT_TYPE_INCREMENTAL
_LOAD_FAILED = ConditionTemplate("Ready", False, "LoadFailed", "The snapshot could not be loaded.")


class HotLoadHandlers:
    """The methods of HotLoadService, and the steps of hot-loads."""

    kind = "hot_load"

    def __init__(self, context: ApiContext) -> None:
        self.context = context
        self.store = context.store
        self._steps = {STARTED: self._start, HALFWAY: self._reach_halfway, FINISHED: self._finish}

    def handlers(self) -> HandlerMap:
        """Return the handlers of the methods of the service."""
        return {
            types.CreateHotLoadRequest: self.create,
            types.GetHotLoadRequest: self.get,
            types.ListHotLoadsRequest: self.list,
            types.ListHotLoadReplicasRequest: self.replicas,
            types.CancelHotLoadRequest: self.cancel,
        }

    def create(self, request: types.CreateHotLoadRequest, caller: Caller) -> ResponseFields:
        """Create a hot-load, in the state PENDING."""
        if request.hot_load_id and self.store.hot_loads.get(request.hot_load_id) is not None:
            raise rpc_errors.already_exists("hot-load", "id", request.hot_load_id)
        deployment = find_owned(self.store.deployments, "deployment", request.deployment_id, caller)
        self._check_deployment(deployment)
        spec = types.HotLoadSpec(**common_fields(types.HotLoadSpec, request))
        spec.id = request.hot_load_id or str(uuid4())
        spec.organization_id = caller.organization
        spec.prompt_cache_policy = spec.prompt_cache_policy or types.PromptCachePolicy.PROMPT_CACHE_POLICY_PRESERVE
        completed = self._completed_hot_loads(deployment)
        spec.snapshot_chain.extend([*_base_chain(spec, completed), _snapshot_ref(spec)])
        # A full snapshot at the head of the chain is not a delta.
        if len(spec.snapshot_chain) > _MAX_DELTAS + (spec.snapshot_chain[0].type != _INCREMENTAL):
            text = f"the chain would contain more than {_MAX_DELTAS} deltas"
            raise _precondition_failure("CHAIN_TOO_LONG", spec, text)
        pending = types.HotLoadStatus(state=types.HotLoadState.HOT_LOAD_STATE_PENDING)
        message = types.HotLoad(spec=spec, status=pending)
        record = self.store.add(self.kind, message, self._rollout_notes(deployment, completed))
        behavior = self.context.behavior
        delay = behavior.delay(behavior.hot_load_after)
        self.store.plan(record, evenly_spaced(self.store.clock.now(), delay, (STARTED, HALFWAY, FINISHED)))
        return {"hot_load": message}

    def get(self, request: types.GetHotLoadRequest, caller: Caller) -> ResponseFields:
        """Get one hot-load."""
        return {"hot_load": self._find(request.id, caller).message}

    def list(self, request: types.ListHotLoadsRequest, caller: Caller) -> ResponseFields:
        """List one page of the hot-loads of the organization or of one deployment, newest first."""
        listing = ("hot-loads", caller.organization, request.parent_deployment_id)
        size = pages.page_size(request.max_page_size)
        # A position is the number of a record, not an index: new hot-loads would shift the indexes between two pages.
        after = pages.decode_token(request.page_token, *listing)
        page = list(islice(self._newest_first(request.parent_deployment_id, caller, after), size + 1))
        return {
            "hot_loads": [each.message for each in page[:size]],
            "next_page_token": pages.encode_token(page[size - 1].number, *listing) if len(page) > size else "",
        }

    def replicas(self, request: types.ListHotLoadReplicasRequest, caller: Caller) -> ResponseFields:
        """List one page of the replicas of a hot-load, ordered by zone and name."""
        record = self._find(request.hot_load_id, caller)
        listing = ("replicas", caller.organization, record.id)
        first = pages.decode_token(request.page_token, *listing) or 0
        rollout = rollout_from(record.notes)
        end = min(first + pages.page_size(request.max_page_size), rollout.replicas)
        return {
            "replicas": [rollout.replica(index, record.message) for index in range(first, end)],
            "next_page_token": pages.encode_token(end, *listing) if end < rollout.replicas else "",
        }

    def cancel(self, request: types.CancelHotLoadRequest, caller: Caller) -> ResponseFields:
        """Cancel a hot-load. Replicas that are already updated stay so."""
        if not self.context.behavior.cancel_hot_loads:
            raise RpcError("unimplemented", "CancelHotLoad is not implemented")
        record = self._find(request.id, caller)
        status = record.message.status
        if status.HasField("finished_at"):
            raise _precondition_failure("FINISHED", record.message.spec, "the hot-load has already finished")
        self._end(record, self.store.clock.now(), types.HotLoadState.HOT_LOAD_STATE_CANCELED)
        status.canceled_at.CopyFrom(status.finished_at)
        self.store.plan(record, [])
        return {"hot_load": record.message}

    def run_step(self, record: Record, step: str, due: int) -> None:
        """Run a step that was due at the given time, in nanoseconds."""
        self._steps[step](record, due)

    @property
    def step_names(self) -> Collection[str]:
        """The names of all steps that a plan may contain."""
        return self._steps.keys()

    def _find(self, id: str, caller: Caller) -> Record:
        return find_owned(self.store.hot_loads, "hot-load", id, caller)

    def _newest_first(self, parent: str, caller: Caller, after: int | None) -> Iterator[Record]:
        table = self.store.hot_loads
        records = table.children(parent) if parent else table.in_organization(caller.organization)
        for each in reversed(records.values()):
            if each.organization == caller.organization and (after is None or each.number < after):
                yield each

    def _check_deployment(self, deployment: Record) -> None:
        subject = f"deployment/{deployment.id}"
        if not deployment.message.spec.HasField("hot_load"):
            text = "hot-load is not enabled on this deployment"
            raise rpc_errors.failed_precondition("HOT_LOAD_NOT_ENABLED", subject, text)
        if self.context.hot_load_in_progress(deployment.id):
            text = "a hot-load is already in progress on this deployment"
            raise rpc_errors.failed_precondition("HOT_LOAD_IN_PROGRESS", subject, text)
        if deployment.message.status.status != types.Status.STATUS_READY:
            raise rpc_errors.failed_precondition("NOT_READY", subject, "the deployment is not READY")

    def _completed_hot_loads(self, deployment: Record) -> Sequence[types.HotLoad]:
        """Return the deployment's hot-loads that have succeeded, newest first."""
        children = self.store.hot_loads.children(deployment.id).values()
        return [each.message for each in reversed(children) if each.message.status.state == _COMPLETED]

    def _rollout_notes(self, deployment: Record, completed: Sequence[types.HotLoad]) -> dict[str, Any]:
        """Return the fields of the hot-load's `ReplicaRollout` that are known when it is created."""
        gateway = self.store.gateways.get(deployment.message.spec.gateway_ids[0])
        zones = gateway.message.spec.zones if gateway else ()
        return {
            "name": deployment.message.spec.name,
            "zone": zones[0] if zones else next(iter(self.context.parameters.zones)),
            "replicas": deployment.message.spec.autoscaling.min,
            "base": completed[0].spec.identity if completed else _BASE_WEIGHTS,
        }

    def _start(self, record: Record, due: int) -> None:
        record.notes["started"] = self.store.touch(record, due)
        record.message.status.state = types.HotLoadState.HOT_LOAD_STATE_IN_PROGRESS

    def _reach_halfway(self, record: Record, due: int) -> None:
        record.notes["halfway"] = self.store.touch(record, due)

    def _finish(self, record: Record, due: int) -> None:
        fate = self.context.fate_of(record.id, record.message.spec.identity)
        if fate is None:
            self._end(record, due, _COMPLETED)
            return
        updated_at = self._end(record, due, types.HotLoadState.HOT_LOAD_STATE_FAILED)
        condition = _LOAD_FAILED._replace(
            reason=fate.reason or _LOAD_FAILED.reason, message=fate.message or _LOAD_FAILED.message
        )
        set_conditions(record.message.status, [record.notes["zone"]], updated_at, [condition])

    def _end(self, record: Record, due: int, state: "types.HotLoadState.ValueType") -> int:
        updated_at = self.store.touch(record, due)
        record.message.status.state = state
        record.message.status.finished_at.CopyFrom(to_timestamp(updated_at))
        return updated_at


def _base_chain(spec: types.HotLoadSpec, completed: Sequence[types.HotLoad]) -> Sequence[types.SnapshotRef]:
    """Return the chain of snapshots that a new one builds on; empty for a full snapshot.

    The previous snapshot that an incremental one names must be the one that is loaded now, or the one that it was
    loaded on top of earlier: the same snapshot may be loaded again. Otherwise raise `RpcError` (failed_precondition).
    """
    if spec.type != _INCREMENTAL:
        return ()
    previous = _previous_identity(spec)
    loaded = completed[0].spec.identity if completed else _BASE_WEIGHTS
    if previous == loaded:
        return completed[0].spec.snapshot_chain if completed else ()
    for earlier in completed:
        if earlier.spec.identity == spec.identity and _previous_identity(earlier.spec) == previous:
            return earlier.spec.snapshot_chain[:-1]
    text = f"the deployment serves {loaded}, not {previous or 'nothing'}"
    raise _precondition_failure("UNKNOWN_PREDECESSOR", spec, text)


def _previous_identity(spec: types.HotLoadSpec) -> str:
    return spec.incremental_snapshot_metadata.previous_snapshot_identity


def _snapshot_ref(spec: types.HotLoadSpec) -> types.SnapshotRef:
    metadata = spec.incremental_snapshot_metadata
    return types.SnapshotRef(
        identity=spec.identity,
        type=spec.type,
        hot_load_id=spec.id,
        compression_format=metadata.compression_format,
        checksum_format=metadata.checksum_format,
    )


def _precondition_failure(type: str, spec: types.HotLoadSpec, text: str) -> RpcError:
    return rpc_errors.failed_precondition(type, f"hot-load/{spec.id}", text)

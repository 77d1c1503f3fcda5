"""Deployments: models behind gateways, with engines and options that the parameters allow."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from ... import types
from ..interfaces import Caller, Violation
from . import rpc_errors as refusals
from .conditions import Observed
from .lifecycle import Lifecycle
from .tables import Record, in_order
from .context import Fields, Handlers, find

_HOT_LOAD_ENGINE = "dynamo-vllm"
_APPLIED = Observed("ResourcesApplied", True, "Applied", "Resources were applied.")


class Deployments(Lifecycle):
    """DeploymentService."""

    kind, noun, items = "deployment", "deployment", "items"
    message, spec = types.Deployment, types.DeploymentSpec
    bad_ends: ClassVar[Mapping[str, Observed]] = {
        "FAILED": Observed("ResourcesApplied", False, "ApplyFailed", "The resources could not be applied."),
        "ERROR": Observed("Ready", False, "ReplicasUnhealthy", "Not all replicas are healthy."),
    }

    def handlers(self) -> Handlers:
        return {
            types.ListDeploymentsRequest: self.list,
            types.GetDeploymentRequest: self.get,
            types.CreateDeploymentRequest: self.create,
            types.UpdateDeploymentRequest: self.update,
            types.DeleteDeploymentRequest: self.delete,
            types.GetDeploymentParametersRequest: self.parameters,
        }

    def list(self, request: types.ListDeploymentsRequest, caller: Caller) -> Fields:
        if not request.parent_gateway_id:
            return super().list(request, caller)
        children = in_order(self.table.children(request.parent_gateway_id).values())
        own = {each.id: each for each in children if each.organization == caller.organization}
        return {self.items: self.changed_since(request, own)}

    def update(self, request: types.UpdateDeploymentRequest, caller: Caller) -> Fields:
        record = self.find(request.id, caller)
        if self.world.hot_load_in_progress(record.id):
            text = "a hot-load is in progress on this deployment; update it once that has ended"
            raise refusals.failed_precondition("HOT_LOAD_IN_PROGRESS", f"deployment/{request.id}", text)
        if request.hot_load != record.message.spec.hot_load:
            text = "cannot be added, removed or changed after creation"
            raise refusals.invalid([Violation("hot_load", "hot_load.immutable", text)])
        return super().update(request, caller)

    def parameters(self, request: types.GetDeploymentParametersRequest, caller: Caller) -> Fields:
        """Engines; instance types in the zones of the gateways asked for, by default all of the organization."""
        own = self.store.gateways.of(caller.organization)
        asked = self._gateways_of(request, caller) or own.values()
        engines = self.world.parameters.engines
        return {
            "gateway_ids": list(own),
            "runtime_parameters": {
                "runtime_versions": {name: {"versions": each.versions} for name, each in engines.items()},
                "runtime_config_options": {name: {"allowed_keys": each.config} for name, each in engines.items()},
                "engine_env_options": {name: {"allowed_names": each.env} for name, each in engines.items()},
            },
            "resource_parameters": {"instance_types": self.world.parameters.instance_types(self._zones_of(asked))},
        }

    def zones(self, record: Record) -> Sequence[str]:
        gateways = map(self.store.gateways.get, record.message.spec.gateway_ids)
        return self._zones_of(each for each in gateways if each is not None)

    def check(self, request: Any, caller: Caller) -> None:
        if violations := [*self._unknown_options(request), *self._not_offered(request)]:
            raise refusals.invalid(violations)
        gateways = self._gateways_of(request, caller)
        for each in gateways:
            if each.message.status.status == types.Status.STATUS_DELETING:
                raise refusals.being_deleted("gateway", each.id)
        if request.HasField("hot_load"):
            self._check_hot_load(request, gateways, caller)

    def updating(self, record: Record, stamp: int) -> None:
        self.observe(record, stamp, Observed("ResourcesApplied", False, "Reconciling", "Applying the new spec."))

    def halfway(self, record: Record, due: int) -> None:
        waiting = Observed("Ready", False, "Reconciling", "Waiting for the replicas.")
        self.observe(record, self.store.touch(record, due), _APPLIED, waiting)

    def settled(self, record: Record, due: int) -> None:
        if record.message.spec.disabled and not self.world.behaviour.disabled_becomes_ready:
            off = Observed("Ready", False, "Disabled", "The deployment is disabled.")
            self.observe(record, self.store.touch(record, due), _APPLIED, off)
        else:
            super().settled(record, due)

    def ready(self, record: Record, stamp: int) -> None:
        self.observe(record, stamp, _APPLIED, Observed("Ready", True, "AsExpected", "All replicas are ready."))

    def gone(self, record: Record, due: int) -> None:
        """Disappear, and the history of hot-loads with it."""
        for hot_load in list(self.store.hot_loads.children(record.id).values()):
            self.store.remove(hot_load)
        super().gone(record, due)

    def _gateways_of(self, request: Any, caller: Caller) -> Sequence[Record]:
        return [find(self.store.gateways, "gateway", each, caller) for each in request.gateway_ids]

    def _zones_of(self, gateways: Iterable[Record]) -> Sequence[str]:
        everywhere = self.world.parameters.zones
        return list(dict.fromkeys(zone for each in gateways for zone in each.message.spec.zones or everywhere))

    def _unknown_options(self, request: Any) -> Iterator[Violation]:
        runtime = request.runtime
        engine = self.world.parameters.engines.get(runtime.engine)
        if engine is not None:
            for name, given, allowed in (
                ("engine_config", runtime.engine_config, engine.config),
                ("engine_env", runtime.engine_env, engine.env),
            ):
                for key in sorted(given.keys() - set(allowed)):
                    text = f"is not allowed for {runtime.engine}, see GetDeploymentParameters"
                    yield Violation(f'runtime.{name}["{key}"]', f"{name}.allowed", text)

    def _not_offered(self, request: Any) -> Iterator[Violation]:
        if not self.world.behaviour.enforce_parameters:
            return
        offered, runtime = self.world.parameters, request.runtime
        engine = offered.engines.get(runtime.engine)
        values = (
            ("runtime.engine", runtime.engine, offered.engines),
            ("runtime.version", runtime.version, engine.versions if engine else (runtime.version,)),
            ("resources.instance_type", request.resources.instance_type, offered.instance_types()),
        )
        for path, value, known in values:
            if value not in known:
                text = f"{value} is not on offer, see GetDeploymentParameters"
                yield Violation(path, f"{path.rpartition('.')[2]}.offered", text)

    def _check_hot_load(self, request: Any, gateways: Iterable[Record], caller: Caller) -> None:
        allowed = self.world.behaviour.hot_load_organizations
        if allowed is not None and caller.organization not in allowed:
            text = "hot-load is not enabled for this organization"
            raise refusals.failed_precondition("HOT_LOAD_NOT_ENABLED", f"organization/{caller.organization}", text)
        if request.runtime.engine != _HOT_LOAD_ENGINE:
            text = f"must be {_HOT_LOAD_ENGINE} when hot_load is set"
            raise refusals.invalid([Violation("runtime.engine", "hot_load.engine", text)])
        if len(self._zones_of(gateways)) != 1:
            text = "hot-load needs all gateways of the deployment in one zone"
            raise refusals.failed_precondition("HOT_LOAD_ZONES", f"deployment/{request.name}", text)

"""DeploymentService: models behind gateways, with the engines and engine options that the parameters allow."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from ... import types
from ..interfaces import Caller, Violation
from ..rules.formats import quote_key
from . import rpc_errors
from .conditions import ConditionTemplate
from .context import HandlerMap, ResponseFields, find_owned
from .lifecycle import LifecycleHandlers
from .tables import Record, sorted_by_creation

_HOT_LOAD_ENGINE = "dynamo-vllm"
_APPLYING = ConditionTemplate("ResourcesApplied", False, "Reconciling", "Applying the new spec.")
_APPLIED = ConditionTemplate("ResourcesApplied", True, "Applied", "Resources were applied.")
_WAITING = ConditionTemplate("Ready", False, "Reconciling", "Waiting for the replicas.")
_DISABLED = ConditionTemplate("Ready", False, "Disabled", "The deployment is disabled.")
_READY = ConditionTemplate("Ready", True, "AsExpected", "All replicas are ready.")


class DeploymentHandlers(LifecycleHandlers):
    """The methods of DeploymentService, and the lifecycle of deployments."""

    kind, noun, list_field = "deployment", "deployment", "items"
    message_type, spec_type = types.Deployment, types.DeploymentSpec
    failure_conditions: ClassVar[Mapping[str, ConditionTemplate]] = {
        "FAILED": ConditionTemplate("ResourcesApplied", False, "ApplyFailed", "The resources could not be applied."),
        "ERROR": ConditionTemplate("Ready", False, "ReplicasUnhealthy", "Not all replicas are healthy."),
    }

    def handlers(self) -> HandlerMap:
        return {
            types.ListDeploymentsRequest: self.list,
            types.GetDeploymentRequest: self.get,
            types.CreateDeploymentRequest: self.create,
            types.UpdateDeploymentRequest: self.update,
            types.DeleteDeploymentRequest: self.delete,
            types.GetDeploymentParametersRequest: self.parameters,
        }

    def list(self, request: types.ListDeploymentsRequest, caller: Caller) -> ResponseFields:
        if not request.parent_gateway_id:
            return super().list(request, caller)
        children = sorted_by_creation(self.table.children(request.parent_gateway_id).values())
        owned = {each.id: each for each in children if each.organization == caller.organization}
        return {self.list_field: self.updated_since(request, owned)}

    def update(self, request: types.UpdateDeploymentRequest, caller: Caller) -> ResponseFields:
        record = self.find(request.id, caller)
        if self.context.hot_load_in_progress(record.id):
            text = "a hot-load is in progress on this deployment; update the deployment after it has finished"
            raise rpc_errors.failed_precondition("HOT_LOAD_IN_PROGRESS", f"deployment/{request.id}", text)
        if request.hot_load != record.message.spec.hot_load:
            text = "cannot be added, removed or changed after creation"
            raise rpc_errors.invalid_argument([Violation("hot_load", "hot_load.immutable", text)])
        return super().update(request, caller)

    def parameters(self, request: types.GetDeploymentParametersRequest, caller: Caller) -> ResponseFields:
        """Return the engines, and the instance types in the zones of the requested gateways, or of all gateways."""
        gateways = self.store.gateways.in_organization(caller.organization)
        requested = self._find_gateways(request, caller) or gateways.values()
        engines = self.context.parameters.engines
        return {
            "gateway_ids": list(gateways),
            "runtime_parameters": {
                "runtime_versions": {name: {"versions": each.versions} for name, each in engines.items()},
                "runtime_config_options": {name: {"allowed_keys": each.config} for name, each in engines.items()},
                "engine_env_options": {name: {"allowed_names": each.env} for name, each in engines.items()},
            },
            "resource_parameters": {
                "instance_types": self.context.parameters.instance_types(self._zones_of(requested))
            },
        }

    def condition_zones(self, record: Record) -> Sequence[str]:
        gateways = map(self.store.gateways.get, record.message.spec.gateway_ids)
        return self._zones_of(each for each in gateways if each is not None)

    def validate(self, request: Any, caller: Caller) -> None:
        if violations := [*self._unknown_options(request), *self._not_offered(request)]:
            raise rpc_errors.invalid_argument(violations)
        gateways = self._find_gateways(request, caller)
        for each in gateways:
            if each.message.status.status == types.Status.STATUS_DELETING:
                raise rpc_errors.being_deleted("gateway", each.id)
        if request.HasField("hot_load"):
            self._check_hot_load(request, gateways, caller)

    def on_updating(self, record: Record, updated_at: int) -> None:
        self.set_conditions(record, updated_at, _APPLYING)

    def on_halfway(self, record: Record, due: int) -> None:
        self.set_conditions(record, self.store.touch(record, due), _APPLIED, _WAITING)

    def on_settled(self, record: Record, due: int) -> None:
        if record.message.spec.disabled and not self.context.behavior.disabled_becomes_ready:
            self.set_conditions(record, self.store.touch(record, due), _APPLIED, _DISABLED)
        else:
            super().on_settled(record, due)

    def on_ready(self, record: Record, updated_at: int) -> None:
        self.set_conditions(record, updated_at, _APPLIED, _READY)

    def on_gone(self, record: Record, due: int) -> None:
        """Remove the deployment and its hot-loads."""
        for hot_load in list(self.store.hot_loads.children(record.id).values()):
            self.store.remove(hot_load)
        super().on_gone(record, due)

    def _find_gateways(self, request: Any, caller: Caller) -> Sequence[Record]:
        return [find_owned(self.store.gateways, "gateway", each, caller) for each in request.gateway_ids]

    def _zones_of(self, gateways: Iterable[Record]) -> Sequence[str]:
        all_zones = self.context.parameters.zones
        return list(dict.fromkeys(zone for each in gateways for zone in each.message.spec.zones or all_zones))

    def _unknown_options(self, request: Any) -> Iterator[Violation]:
        runtime = request.runtime
        engine = self.context.parameters.engines.get(runtime.engine)
        if engine is not None:
            for field, options, allowed in (
                ("engine_config", runtime.engine_config, engine.config),
                ("engine_env", runtime.engine_env, engine.env),
            ):
                for key in sorted(options.keys() - set(allowed)):
                    text = f"is not allowed for {runtime.engine}, see GetDeploymentParameters"
                    yield Violation(f"runtime.{field}[{quote_key(key)}]", f"{field}.allowed", text)

    def _not_offered(self, request: Any) -> Iterator[Violation]:
        if not self.context.behavior.enforce_parameters:
            return
        offered, runtime = self.context.parameters, request.runtime
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
        allowed = self.context.behavior.hot_load_organizations
        if allowed is not None and caller.organization not in allowed:
            text = "hot-load is not enabled for this organization"
            raise rpc_errors.failed_precondition("HOT_LOAD_NOT_ENABLED", f"organization/{caller.organization}", text)
        if request.runtime.engine != _HOT_LOAD_ENGINE:
            text = f"must be {_HOT_LOAD_ENGINE} when hot_load is set"
            raise rpc_errors.invalid_argument([Violation("runtime.engine", "hot_load.engine", text)])
        if len(self._zones_of(gateways)) != 1:
            text = "hot-load requires that all gateways of the deployment are in one zone"
            raise rpc_errors.failed_precondition("HOT_LOAD_ZONES", f"deployment/{request.name}", text)

"""GatewayService: zones, the endpoint, and deployments that use a gateway."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

from ... import types
from ..interfaces import Caller, Violation
from ..rules.checker import MAX_VIOLATIONS
from . import rpc_errors
from .conditions import ConditionTemplate
from .context import HandlerMap, ResponseFields
from .lifecycle import SETTLED, LifecycleHandlers
from .tables import Record


class GatewayHandlers(LifecycleHandlers):
    """The methods of GatewayService, and the lifecycle of gateways."""

    kind, noun, list_field = "gateway", "gateway", "items"
    message_type, spec_type = types.Gateway, types.GatewaySpec
    update_steps = (SETTLED,)
    failure_conditions: ClassVar[Mapping[str, ConditionTemplate]] = {
        "FAILED": ConditionTemplate("Ready", False, "ProvisioningFailed", "The gateway could not be provisioned."),
        "ERROR": ConditionTemplate("Ready", False, "Unhealthy", "The gateway does not pass its health checks."),
    }

    def handlers(self) -> HandlerMap:
        return {
            types.ListGatewaysRequest: self.list,
            types.GetGatewayRequest: self.get,
            types.CreateGatewayRequest: self.create,
            types.UpdateGatewayRequest: self.update,
            types.DeleteGatewayRequest: self.delete,
            types.GetGatewayParametersRequest: self.parameters,
        }

    def parameters(self, request: types.GetGatewayParametersRequest, caller: Caller) -> ResponseFields:
        """Return the zones on offer."""
        return {"zones": list(self.context.parameters.zones)}

    def condition_zones(self, record: Record) -> Sequence[str]:
        return record.message.spec.zones or list(self.context.parameters.zones)

    def validate(self, request: Any, caller: Caller) -> None:
        offered = self.context.parameters.zones
        unknown = (
            Violation(f"zones[{index}]", "zones.offered", f"{zone} is not among the zones of GetGatewayParameters")
            for index, zone in enumerate(request.zones)
            if zone not in offered
        )
        if self.context.behavior.enforce_parameters and (found := [*islice(unknown, MAX_VIOLATIONS)]):
            raise rpc_errors.invalid_argument(found)

    def validate_delete(self, record: Record) -> None:
        users = self.store.deployments.children(record.id)
        if users:
            names = ", ".join(sorted(each.message.spec.name for each in users.values())[:5])
            text = f"the gateway is in use by {len(users)} deployment{'s' if len(users) > 1 else ''} ({names})"
            raise rpc_errors.failed_precondition("GATEWAY_IN_USE", f"gateway/{record.id}", text)

    def normalize(self, spec: types.GatewaySpec, before: types.GatewaySpec | None = None) -> None:
        """Drop the W&B API key, which the service never returns, and on an update merge the additional DNS names."""
        if spec.HasField("weights_and_biases_auth"):
            spec.weights_and_biases_auth.ClearField("api_key")
        if before is not None and before.endpoint_configuration.additional_dns:
            merged = dict.fromkeys([*before.endpoint_configuration.additional_dns])
            merged |= dict.fromkeys(spec.endpoint_configuration.additional_dns)
            spec.endpoint_configuration.additional_dns[:] = merged

    def on_halfway(self, record: Record, due: int) -> None:
        updated_at = self.store.touch(record, due)
        waiting = ConditionTemplate("Ready", False, "Reconciling", "Waiting for the load balancer.")
        self.set_conditions(record, updated_at, waiting)

    def on_ready(self, record: Record, updated_at: int) -> None:
        record.message.status.endpoints[:] = [self._endpoint(record)]
        ready = ConditionTemplate("Ready", True, "AsExpected", "Gateway is serving.")
        self.set_conditions(record, updated_at, ready)

    def update_endpoints(self) -> None:
        """Replace the endpoints of the gateways that have one, after the public URL has changed."""
        for record in self.table:
            endpoints = record.message.status.endpoints
            if endpoints and endpoints[0] != self._endpoint(record):
                self.store.touch(record, self.store.clock.now())
                endpoints[:] = [self._endpoint(record)]

    def _endpoint(self, record: Record) -> str:
        return f"{self.context.public_url}/gateway/{record.id}"

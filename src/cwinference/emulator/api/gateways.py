"""Gateways: their zones, their endpoint, and who still needs them."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ... import types
from ..interfaces import Caller, Violation
from . import rpc_errors as refusals
from .conditions import Observed
from .lifecycle import SETTLED, Lifecycle
from .tables import Record
from .context import Fields, Handlers


class Gateways(Lifecycle):
    """GatewayService."""

    kind, noun, items = "gateway", "gateway", "items"
    message, spec = types.Gateway, types.GatewaySpec
    update_steps = (SETTLED,)
    bad_ends: ClassVar[Mapping[str, Observed]] = {
        "FAILED": Observed("Ready", False, "ProvisioningFailed", "The gateway could not be provisioned."),
        "ERROR": Observed("Ready", False, "Unhealthy", "The gateway does not pass its health checks."),
    }

    def handlers(self) -> Handlers:
        return {
            types.ListGatewaysRequest: self.list,
            types.GetGatewayRequest: self.get,
            types.CreateGatewayRequest: self.create,
            types.UpdateGatewayRequest: self.update,
            types.DeleteGatewayRequest: self.delete,
            types.GetGatewayParametersRequest: self.parameters,
        }

    def parameters(self, request: types.GetGatewayParametersRequest, caller: Caller) -> Fields:
        """The zones on offer."""
        return {"zones": list(self.world.parameters.zones)}

    def zones(self, record: Record) -> Sequence[str]:
        return record.message.spec.zones or list(self.world.parameters.zones)

    def check(self, request: Any, caller: Caller) -> None:
        offered = self.world.parameters.zones
        if self.world.behaviour.enforce_parameters and (
            unknown := [
                Violation(f"zones[{index}]", "zones.offered", f"{zone} is not among the zones of GetGatewayParameters")
                for index, zone in enumerate(request.zones)
                if zone not in offered
            ]
        ):
            raise refusals.invalid(unknown)

    def check_delete(self, record: Record) -> None:
        users = self.store.deployments.children(record.id)
        if users:
            names = ", ".join(sorted(each.message.spec.name for each in users.values())[:5])
            text = f"the gateway is in use by {len(users)} deployment{'s' if len(users) > 1 else ''} ({names})"
            raise refusals.failed_precondition("GATEWAY_IN_USE", f"gateway/{record.id}", text)

    def normalize(self, spec: types.GatewaySpec, before: types.GatewaySpec | None = None) -> None:
        """Names in the DNS are merged with those already known, and a W&B key is not kept: nothing ever returns it."""
        if spec.HasField("weights_and_biases_auth"):
            spec.weights_and_biases_auth.ClearField("api_key")
        if before is not None and before.endpoint_configuration.additional_dns:
            merged = dict.fromkeys([*before.endpoint_configuration.additional_dns])
            merged |= dict.fromkeys(spec.endpoint_configuration.additional_dns)
            spec.endpoint_configuration.additional_dns[:] = merged

    def halfway(self, record: Record, due: int) -> None:
        stamp = self.store.touch(record, due)
        self.observe(record, stamp, Observed("Ready", False, "Reconciling", "Waiting for the load balancer."))

    def ready(self, record: Record, stamp: int) -> None:
        record.message.status.endpoints[:] = [self._endpoint(record)]
        self.observe(record, stamp, Observed("Ready", True, "AsExpected", "Gateway is serving."))

    def move(self) -> None:
        """Give the gateways that have an endpoint another one, after the public URL has changed."""
        for record in self.table:
            endpoints = record.message.status.endpoints
            if endpoints and endpoints[0] != self._endpoint(record):
                self.store.touch(record, self.store.clock.now())
                endpoints[:] = [self._endpoint(record)]

    def _endpoint(self, record: Record) -> str:
        return f"{self.world.public_url}/gateway/{record.id}"

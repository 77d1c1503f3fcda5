"""CapacityClaimService: claims for instances, which are first pending and then allocated."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from ... import types
from ..interfaces import Caller, Violation
from . import rpc_errors
from .conditions import ConditionTemplate
from .context import HandlerMap, ResponseFields
from .lifecycle import LifecycleHandlers
from .tables import Record

_REALLOCATE = "reallocate"
"""Key in a record's notes: the update that is about to begin replaces all instances."""


class CapacityClaimHandlers(LifecycleHandlers):
    """The methods of CapacityClaimService, and the lifecycle of capacity claims."""

    kind, noun, list_field = "capacity_claim", "capacity claim", "capacity_claims"
    message_type, spec_type = types.CapacityClaim, types.CapacityClaimSpec
    immutable_fields = ("id", "organization_id", "name")
    failure_conditions: ClassVar[Mapping[str, ConditionTemplate]] = {
        "FAILED": ConditionTemplate("Ready", False, "InsufficientCapacity", "The instances could not be allocated."),
        "ERROR": ConditionTemplate("Ready", False, "InstancesUnhealthy", "Not all instances are healthy."),
    }

    def handlers(self) -> HandlerMap:
        return {
            types.ListCapacityClaimsRequest: self.list,
            types.GetCapacityClaimRequest: self.get,
            types.CreateCapacityClaimRequest: self.create,
            types.UpdateCapacityClaimRequest: self.update,
            types.DeleteCapacityClaimRequest: self.delete,
            types.GetCapacityClaimParametersRequest: self.parameters,
        }

    def parameters(self, request: types.GetCapacityClaimParametersRequest, caller: Caller) -> ResponseFields:
        """Return the instance types on offer in each zone."""
        zones = self.context.parameters.zones
        return {"zone_instance_types": {zone: {"instance_ids": sorted(ids)} for zone, ids in zones.items()}}

    def condition_zones(self, record: Record) -> Sequence[str]:
        zones: Sequence[str] = record.message.spec.resources.zones
        return zones

    def validate(self, request: Any, caller: Caller) -> None:
        if self.context.behavior.enforce_parameters and (unknown := list(self._not_offered(request.resources))):
            raise rpc_errors.invalid_argument(unknown)

    def notes_for_update(self, before: types.CapacityClaimSpec, after: types.CapacityClaimSpec) -> dict[str, Any]:
        """Note whether other instances are wanted. If only their number changes, the allocated ones are kept."""
        return {_REALLOCATE: True} if _instance_choice(before) != _instance_choice(after) else {}

    def on_creating(self, record: Record) -> None:
        record.message.status.pending_instances = record.message.spec.resources.instance_count

    def on_updating(self, record: Record, updated_at: int) -> None:
        status, wanted = record.message.status, record.message.spec.resources.instance_count
        kept = 0 if record.notes.pop(_REALLOCATE, False) else status.allocated_instances
        self._allocate(record, updated_at, min(kept, wanted))

    def on_deleting(self, record: Record) -> None:
        record.message.status.pending_instances = 0

    def on_halfway(self, record: Record, due: int) -> None:
        status = record.message.status
        more = status.pending_instances // 2
        self._allocate(record, self.store.touch(record, due), status.allocated_instances + more)

    def on_ready(self, record: Record, updated_at: int) -> None:
        status = record.message.status
        status.allocated_instances, status.pending_instances = record.message.spec.resources.instance_count, 0
        ready = ConditionTemplate("Ready", True, "AllAllocated", "All instances allocated.")
        self.set_conditions(record, updated_at, ready)

    def _allocate(self, record: Record, updated_at: int, allocated: int) -> None:
        """Set the number of allocated instances; the others that the claim asks for are pending."""
        status = record.message.status
        pending = record.message.spec.resources.instance_count - allocated
        status.allocated_instances, status.pending_instances = allocated, pending
        text = f"Waiting for {pending} instance{'' if pending == 1 else 's'}."
        self.set_conditions(record, updated_at, ConditionTemplate("Ready", False, "Reconciling", text))

    def _not_offered(self, resources: types.CapacityClaimResources) -> Iterator[Violation]:
        offered = self.context.parameters.zones
        for index, zone in enumerate(resources.zones):
            if zone not in offered:
                text = f"{zone} is not among the zones of GetCapacityClaimParameters"
                yield Violation(f"resources.zones[{index}]", "zones.offered", text)
            elif resources.instance_id not in offered[zone]:
                text = f"{resources.instance_id} is not on offer in {zone}"
                yield Violation("resources.instance_id", "instance_id.offered", text)


def _instance_choice(spec: types.CapacityClaimSpec) -> tuple[object, ...]:
    return spec.resources.instance_id, spec.resources.capacity_type, list(spec.resources.zones)

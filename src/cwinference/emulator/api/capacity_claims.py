"""Capacity claims: instances, first pending, then allocated."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from ... import types
from ..interfaces import Caller, Violation
from . import rpc_errors as refusals
from .conditions import Observed
from .lifecycle import Lifecycle
from .tables import Record
from .context import Fields, Handlers


class CapacityClaims(Lifecycle):
    """CapacityClaimService."""

    kind, noun, items = "capacity_claim", "capacity claim", "capacity_claims"
    message, spec = types.CapacityClaim, types.CapacityClaimSpec
    kept = ("id", "organization_id", "name")
    bad_ends: ClassVar[Mapping[str, Observed]] = {
        "FAILED": Observed("Ready", False, "InsufficientCapacity", "The instances could not be allocated."),
        "ERROR": Observed("Ready", False, "InstancesUnhealthy", "Not all instances are healthy."),
    }

    def handlers(self) -> Handlers:
        return {
            types.ListCapacityClaimsRequest: self.list,
            types.GetCapacityClaimRequest: self.get,
            types.CreateCapacityClaimRequest: self.create,
            types.UpdateCapacityClaimRequest: self.update,
            types.DeleteCapacityClaimRequest: self.delete,
            types.GetCapacityClaimParametersRequest: self.parameters,
        }

    def parameters(self, request: types.GetCapacityClaimParametersRequest, caller: Caller) -> Fields:
        """The instance types on offer in each zone."""
        zones = self.world.parameters.zones
        return {"zone_instance_types": {zone: {"instance_ids": sorted(ids)} for zone, ids in zones.items()}}

    def zones(self, record: Record) -> Sequence[str]:
        zones: Sequence[str] = record.message.spec.resources.zones
        return zones

    def check(self, request: Any, caller: Caller) -> None:
        if self.world.behaviour.enforce_parameters and (unknown := list(self._not_offered(request.resources))):
            raise refusals.invalid(unknown)

    def changes(self, before: types.CapacityClaimSpec, after: types.CapacityClaimSpec) -> dict[str, Any]:
        """Other instances are allocated anew; a mere count keeps what there is."""
        return {"anew": True} if _what(before) != _what(after) else {}

    def creating(self, record: Record) -> None:
        record.message.status.pending_instances = record.message.spec.resources.instance_count

    def updating(self, record: Record, stamp: int) -> None:
        status, wanted = record.message.status, record.message.spec.resources.instance_count
        held = 0 if record.notes.pop("anew", False) else status.allocated_instances
        self._allocate(record, stamp, min(held, wanted))

    def deleting(self, record: Record) -> None:
        record.message.status.pending_instances = 0

    def halfway(self, record: Record, due: int) -> None:
        status = record.message.status
        more = status.pending_instances // 2
        self._allocate(record, self.store.touch(record, due), status.allocated_instances + more)

    def ready(self, record: Record, stamp: int) -> None:
        status = record.message.status
        status.allocated_instances, status.pending_instances = record.message.spec.resources.instance_count, 0
        self.observe(record, stamp, Observed("Ready", True, "AllAllocated", "All instances allocated."))

    def _allocate(self, record: Record, stamp: int, held: int) -> None:
        status = record.message.status
        missing = record.message.spec.resources.instance_count - held
        status.allocated_instances, status.pending_instances = held, missing
        text = f"Waiting for {missing} instance{'' if missing == 1 else 's'}."
        self.observe(record, stamp, Observed("Ready", False, "Reconciling", text))

    def _not_offered(self, resources: types.CapacityClaimResources) -> Iterator[Violation]:
        offered = self.world.parameters.zones
        for index, zone in enumerate(resources.zones):
            if zone not in offered:
                text = f"{zone} is not among the zones of GetCapacityClaimParameters"
                yield Violation(f"resources.zones[{index}]", "zones.offered", text)
            elif resources.instance_id not in offered[zone]:
                text = f"{resources.instance_id} is not on offer in {zone}"
                yield Violation("resources.instance_id", "instance_id.offered", text)


def _what(spec: types.CapacityClaimSpec) -> tuple[object, ...]:
    return spec.resources.instance_id, spec.resources.capacity_type, list(spec.resources.zones)

"""Why a capacity claim is not READY, or has fewer instances than it asks for."""

from collections.abc import Iterator

from .. import types
from ..status import State
from .commands import command, listed, modify
from .explanation import Cause, Verdict
from .facts import Facts


def claim_causes(claim: types.CapacityClaim, facts: Facts) -> Iterator[Cause]:
    """Yield what may keep a claim from being READY."""
    resources, status = claim.spec.resources, claim.status
    if State.of(claim) is not State.DELETING:
        yield from _not_offered(claim, facts)
    if resources.capacity_type == types.CapacityType.CAPACITY_TYPE_CUSTOMER:
        text = "its capacity type is CUSTOMER, which the service accepts no more for new claims"
        yield Cause("possible", text, (modify("claims", claim.spec.name, resources__capacity_type="MANAGED"),))
    missing = resources.instance_count - status.allocated_instances
    if missing > 0 and State.of(claim) is not State.DELETING:
        pending = f", {status.pending_instances} of them pending" if status.pending_instances else ""
        zones = f" in {listed(resources.zones)}" if resources.zones else ""
        text = (
            f"{status.allocated_instances} of {resources.instance_count} {resources.instance_id}{zones} are allocated"
        )
        yield Cause("likely", f"{text}; {missing} are missing{pending}", (command("claims", "wait", claim.spec.name),))
    elif not resources.instance_count:
        text = "it asks for no instances"
        yield Cause("note", text, (modify("claims", claim.spec.name, resources__instance_count="1"),))


def _not_offered(claim: types.CapacityClaim, facts: Facts) -> Iterator[Cause]:
    if facts.claim_parameters is None:
        return
    verdict: Verdict = "note" if State.of(claim) is State.READY else "likely"
    offered = {zone: set(each.instance_ids) for zone, each in facts.claim_parameters.zone_instance_types.items()}
    wanted, zones = claim.spec.resources.instance_id, list(claim.spec.resources.zones)
    unknown = [each for each in zones if each not in offered]
    if unknown:
        text = f"it asks for zones in which no capacity is offered: {listed(unknown)}; offered are {listed(offered)}"
        yield Cause(verdict, text)
    without = [each for each in zones if each in offered and wanted not in offered[each]]
    if without:
        elsewhere = [zone for zone, each in offered.items() if wanted in each]
        text = f"{wanted} is not offered in {listed(without)}; it is in {listed(elsewhere)}"
        commands = (modify("claims", claim.spec.name, resources__zones=sorted(elsewhere)[0]),) if elsewhere else ()
        yield Cause(verdict, text, commands)

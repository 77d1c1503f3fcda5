"""A step and what is needed to perform it, and when in a plan its turn is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from ..following._kinds import Kind
from ._live import LiveResource
from ._plan import FieldChange, PlanStep


class Turn(IntEnum):
    """In which order works are done; those of one turn do not need each other."""

    CLAIMS = 0
    GATEWAYS = 1
    DEPLOYMENTS = 2
    MOVED = 3
    """Deployments that leave a gateway or a model."""
    LESS_TRAFFIC = 4
    """Deployments that get less traffic: when others are there to take it."""
    DELETED_DEPLOYMENTS = 5
    DELETED_GATEWAYS = 6
    DELETED_CLAIMS = 7


@dataclass(frozen=True)
class Work:
    """A step, and what is needed to perform it.

    Attributes:
        step: the step.
        fields: what the stack says, with references to secrets, and names of gateways under `gateways`.
        live: what exists; None for a create.
    """

    step: PlanStep
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])
    live: LiveResource | None = None

    @property
    def key(self) -> tuple[Kind, str]:
        return self.step.kind, self.step.name

    @property
    def turn(self) -> Turn:
        if self.step.action == "delete":
            return _DELETED[self.step.kind]
        if self.step.kind != "deployment" or self.live is None:
            return _MADE[self.step.kind]
        if self.step.action == "replace" or any(map(_lowers_traffic, self.step.changes)):
            return Turn.LESS_TRAFFIC
        leaves = any(each.path in ("model.name", "gateways") for each in self.step.changes)
        return Turn.MOVED if leaves else Turn.DEPLOYMENTS

    @property
    def takes_traffic(self) -> str | None:
        """The model whose traffic goes elsewhere with this work; None if none does."""
        if self.live is None or self.turn not in (Turn.MOVED, Turn.LESS_TRAFFIC, Turn.DELETED_DEPLOYMENTS):
            return None
        return str(self.live.resource.spec.model.name)


_MADE: Mapping[str, Turn] = {
    "capacity_claim": Turn.CLAIMS,
    "gateway": Turn.GATEWAYS,
    "deployment": Turn.DEPLOYMENTS,
}
_DELETED: Mapping[str, Turn] = {
    "capacity_claim": Turn.DELETED_CLAIMS,
    "gateway": Turn.DELETED_GATEWAYS,
    "deployment": Turn.DELETED_DEPLOYMENTS,
}


def _lowers_traffic(change: FieldChange) -> bool:
    return (change.path == "traffic.weight" and change.new < change.old) or (change.path == "disabled" and change.new)

"""What a table shows of a resource beyond the resource itself: names of others, shares of traffic, the time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .. import types
from ..resources._parts import label
from .display import Display


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class TableContext:
    """What tables need in addition to the resources in their rows.

    Attributes:
        display: where they are shown.
        gateway_names: names of gateways by their ids.
        deployment_names: names of deployments by their ids.
        shares: of each deployment by its id, its share of the requests for its model on each of its gateways.
        now: the time from which ages count.
    """

    display: Display
    gateway_names: Mapping[str, str] = field(default_factory=dict[str, str])
    deployment_names: Mapping[str, str] = field(default_factory=dict[str, str])
    shares: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])
    now: datetime = field(default_factory=_now)

    def gateways_of(self, deployment: types.Deployment) -> str:
        """Return the names of a deployment's gateways; an id where the name is unknown."""
        return ", ".join(self.gateway_names.get(each, each) for each in deployment.spec.gateway_ids)


def shares_of(deployments: Iterable[types.Deployment]) -> dict[str, dict[str, float]]:
    """Return the share of each deployment in the requests for its model, by its id and that of the gateway.

    It is its weight relative to the others with the same model name on the gateway. The only one gets everything, and
    a disabled one nothing. Where all weights are 0 there are no shares.
    """
    serving = dict[tuple[str, str], list[types.Deployment]]()
    shares = dict[str, dict[str, float]]()
    for each in deployments:
        shares[each.spec.id] = {}
        for gateway in each.spec.gateway_ids:
            shares[each.spec.id][gateway] = 0.0
            if not each.spec.disabled:
                serving.setdefault((gateway, each.spec.model.name), []).append(each)
    for (gateway, _), rivals in serving.items():
        total = sum(each.spec.traffic.weight for each in rivals)
        for each in rivals:
            if len(rivals) == 1:
                shares[each.spec.id][gateway] = 1.0
            elif total:
                shares[each.spec.id][gateway] = each.spec.traffic.weight / total
            else:
                del shares[each.spec.id][gateway]
    return shares


def share_text(shares: Sequence[float]) -> str:
    """Return shares as `50%`, or `25-50%` where they differ; empty if none is known."""
    if not shares:
        return ""
    low, high = (_percent(each) for each in (min(shares), max(shares)))
    return f"{low}%" if low == high else f"{low}-{high}%"


def _percent(share: float) -> str:
    return f"{share * 100:.1f}".removesuffix(".0")


def enum_text(message: Any, field: str) -> str:
    """Return the name of an enum's value without its prefix; empty if it is not set."""
    value = getattr(message, field)
    return str(label(message.DESCRIPTOR.fields_by_name[field].enum_type, value)) if value else ""

"""The table of kinds of resources that have commands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from ... import types

if TYPE_CHECKING:
    from ..run import Run


@dataclass(frozen=True)
class Kind:
    """A kind of resource.

    Attributes:
        command: the name of its commands.
        one: what texts call one.
        group: the attribute of a client with its methods.
        field: the field that contains one, as watches and stacks call the kind.
        message: its message.
        create_request: what `create` sends; its fields are the options of `create`.
        update_request: what `modify` sends; None if there is no `modify`.
        choices: the oneofs of which one member is required.
    """

    command: str
    one: str
    group: str
    field: str
    message: type[Any]
    create_request: type[Message]
    update_request: type[Message] | None = None
    choices: Sequence[str] = ()

    @property
    def is_stacked(self) -> bool:
        """Whether stacks contain it."""
        return self.update_request is not None

    def methods(self, run: "Run") -> Any:
        """Return the client's methods for it."""
        return getattr(run.client, self.group)


GATEWAYS = Kind(
    "gateways",
    "gateway",
    "gateways",
    "gateway",
    types.Gateway,
    types.CreateGatewayRequest,
    types.UpdateGatewayRequest,
    choices=("auth", "routing"),
)
DEPLOYMENTS = Kind(
    "deployments",
    "deployment",
    "deployments",
    "deployment",
    types.Deployment,
    types.CreateDeploymentRequest,
    types.UpdateDeploymentRequest,
)
CLAIMS = Kind(
    "claims",
    "capacity claim",
    "capacity_claims",
    "capacity_claim",
    types.CapacityClaim,
    types.CreateCapacityClaimRequest,
    types.UpdateCapacityClaimRequest,
)
HOT_LOADS = Kind("hot-loads", "hot-load", "hot_loads", "hot_load", types.HotLoad, types.CreateHotLoadRequest)

KINDS: Mapping[str, Kind] = {each.command: each for each in (GATEWAYS, DEPLOYMENTS, CLAIMS, HOT_LOADS)}
"""The kinds by the names of their commands."""


def kind_of(resource: Any) -> Kind:
    """Return the kind of a resource."""
    return next(each for each in KINDS.values() if isinstance(resource, each.message))


def name_of(resource: Any) -> str:
    """Return the name of a resource; a hot-load has none but its id."""
    if isinstance(resource, types.HotLoad):
        return resource.spec.id
    name: str = resource.spec.name or resource.spec.id
    return name

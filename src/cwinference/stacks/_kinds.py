"""The kinds of resources that a stack contains, in the order in which they need each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from .. import types
from ..following._kinds import Kind


@dataclass(frozen=True)
class Section:
    """One kind, as a stack has it."""

    kind: Kind
    name: str
    """The key of the stack, and the attribute of a client."""
    spec: type[Message]
    delete_request: type[Any]

    @property
    def words(self) -> str:
        """What texts call one: `capacity claim`."""
        return self.kind.replace("_", " ")


SECTIONS: Sequence[Section] = (
    Section("capacity_claim", "capacity_claims", types.CapacityClaimSpec, types.DeleteCapacityClaimRequest),
    Section("gateway", "gateways", types.GatewaySpec, types.DeleteGatewayRequest),
    Section("deployment", "deployments", types.DeploymentSpec, types.DeleteDeploymentRequest),
)
"""Each kind may need those before it."""

BY_KIND: Mapping[str, Section] = {each.kind: each for each in SECTIONS}


def section_of(resource: Any) -> Section:
    """Return the section for a gateway, deployment or capacity claim."""
    return next(each for each in SECTIONS if isinstance(resource.spec, each.spec))

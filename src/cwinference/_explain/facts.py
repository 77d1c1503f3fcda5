"""What an explanation is made from: the resource, and what was read of everything that it depends on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

from .. import types

Resource: TypeAlias = types.Gateway | types.Deployment | types.CapacityClaim | types.HotLoad


@dataclass(frozen=True)
class Facts:
    """What was read. None: it was not read, so nothing is said that would follow from it.

    Args:
        resource: what is to be explained.
        now: when it was read.
        gateways: all gateways of the organization.
        deployments: all deployments.
        claims: all capacity claims.
        hot_loads: the hot-loads of the deployment, newest first.
        replicas: the replicas of a hot-load.
        gateway_parameters: what gateways may be made of.
        deployment_parameters: what deployments on this deployment's gateways may be made of.
        claim_parameters: what capacity claims may be made of.
        unread: what could not be read, and why.
        is_complete: whether resources were read as JSON, which alone shows all of their fields.
    """

    resource: Resource
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    gateways: Sequence[types.Gateway] | None = None
    deployments: Sequence[types.Deployment] | None = None
    claims: Sequence[types.CapacityClaim] | None = None
    hot_loads: Sequence[types.HotLoad] | None = None
    replicas: Sequence[types.HotLoadReplica] | None = None
    gateway_parameters: types.GetGatewayParametersResponse | None = None
    deployment_parameters: types.GetDeploymentParametersResponse | None = None
    claim_parameters: types.GetCapacityClaimParametersResponse | None = None
    unread: Mapping[str, str] = field(default_factory=dict[str, str])
    is_complete: bool = True

    def gateways_of(self, deployment: types.Deployment) -> Sequence[types.Gateway]:
        """Return the gateways that a deployment names, as far as they exist and were read."""
        return [each for each in self.gateways or () if each.spec.id in deployment.spec.gateway_ids]

    def zones_of(self, gateways: Iterable[types.Gateway]) -> set[str]:
        """Return the zones of gateways; one that names none may be in all of them. Empty if they are not known."""
        found: set[str] = set()
        for each in gateways:
            if not each.spec.zones and self.gateway_parameters is None:
                return set()
            found.update(each.spec.zones or (self.gateway_parameters.zones if self.gateway_parameters else ()))
        return found

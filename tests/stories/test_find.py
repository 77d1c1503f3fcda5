"""Finding a resource by its name, which is unique in an organization."""

from typing import Any

import pytest

from cwinference import errors, types
from tests.support.connected_client import connected
from tests.support.scripted_server import ReceivedRequest

KINDS: dict[str, tuple[Any, Any, str, str]] = {
    "gateways": (types.Gateway, types.GatewaySpec, "gateway", "ListGateways"),
    "deployments": (types.Deployment, types.DeploymentSpec, "deployment", "ListDeployments"),
    "capacity_claims": (types.CapacityClaim, types.CapacityClaimSpec, "capacity claim", "ListCapacityClaims"),
}


def respond(received: ReceivedRequest) -> Any:
    made, spec, *_ = next(each for each in KINDS.values() if each[3] == received.method.name)
    field = received.method.response.DESCRIPTOR.fields[0].name
    named: Any = [made(spec=spec(id=f"id of {name}", name=name)) for name in ("a", "Front", "front", "front-2")]
    return received.method.response(**{field: named})


@pytest.mark.parametrize("resource", KINDS)
async def test_a_resource_is_found_by_its_exact_name(kind: str, resource: str) -> None:
    async with connected(kind, respond) as (client, server):
        found = await getattr(client, resource).find("front")
    assert (found.spec.name, found.spec.id) == ("front", "id of front")
    assert [each.method.name for each in server.received] == [KINDS[resource][3]]


@pytest.mark.parametrize("resource", KINDS)
async def test_a_name_that_nothing_has_is_not_found(kind: str, resource: str) -> None:
    async with connected(kind, respond) as (client, _):
        with pytest.raises(errors.NotFound) as caught:
            await getattr(client, resource).find("fron")
    _, _, noun, method = KINDS[resource]
    assert str(caught.value) == f"{method}: no {noun} has the name 'fron' [not_found]"
    assert caught.value.method == method


async def test_an_empty_name_is_refused(kind: str) -> None:
    async with connected(kind, respond) as (client, server):
        with pytest.raises(errors.ConfigurationError, match="^name must not be empty$"):
            await client.gateways.find("")
    assert server.received == []

"""Responses are accepted up to the size limit, and not beyond; requests may have any size."""

from typing import Any

import pytest

from cwinference import Retry, errors, types
from tests.support.connected_client import connected
from tests.support.scripted_server import ReceivedRequest


def big(size: int) -> Any:
    """Return a responder that sends a gateway whose name has so many characters."""
    gateway = types.Gateway(spec=types.GatewaySpec(id="x", name="n" * size))
    return lambda _: types.GetGatewayResponse(gateway=gateway)


async def test_a_response_over_the_limit_is_refused_and_not_requested_again(kind: str) -> None:
    async with connected(kind, big(20_000), max_reply_bytes=10_000, retry=Retry(initial_backoff=0)) as (client, server):
        with pytest.raises(errors.ProtocolError, match="larger than") as caught:
            await client.gateways.get("x")
    assert (caught.value.method, len(server.received)) == ("GetGateway", 1)


async def test_a_response_below_the_limit_is_accepted(kind: str) -> None:
    async with connected(kind, big(9_000), max_reply_bytes=10_000) as (client, _):
        assert len((await client.gateways.get("x")).spec.name) == 9_000


async def test_the_client_keeps_working_after_a_response_that_was_too_large(kind: str) -> None:
    def respond(received: ReceivedRequest) -> Any:
        return big(20_000 if received.request.id == "big" else 1)(received)

    async with connected(kind, respond, max_reply_bytes=10_000) as (client, _):
        with pytest.raises(errors.ProtocolError):
            await client.gateways.get("big")
        assert (await client.gateways.get("small")).spec.name == "n"


async def test_a_list_of_thousands_is_within_the_default_limit(kind: str) -> None:
    claims = [
        types.CapacityClaim(spec=types.CapacityClaimSpec(id=str(number), name="n" * 1000)) for number in range(6000)
    ]
    async with connected(kind, lambda _: types.ListCapacityClaimsResponse(capacity_claims=claims)) as (client, _):
        assert list(await client.capacity_claims.list()) == claims


async def test_a_request_of_megabytes_arrives(kind: str) -> None:
    runtime = types.DeploymentRuntime(engine_config={"key": "x" * 3_000_000})
    parts: Any = {"resources": types.DeploymentResources(), "model": types.DeploymentModel()}
    async with connected(kind, lambda _: types.UpdateDeploymentResponse(deployment=types.Deployment())) as (
        client,
        server,
    ):
        await client.deployments.update(
            "x", name="n", gateway_ids=[], runtime=runtime, autoscaling=types.DeploymentAutoscaling(), **parts
        )
    assert server.received[0].request.runtime == runtime

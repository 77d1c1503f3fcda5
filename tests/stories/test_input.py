"""Arguments that cannot be right are refused before anything is sent; whatever a server might accept is sent."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

import pytest

from cwinference import AsyncClient, errors, types
from tests.support import samples
from tests.support.connected_client import connected
from tests.support.scripted_server import ReceivedRequest

CORE_WEAVE, WANDB = types.CoreWeaveAuth(), types.WeightsAndBiasesAuth()
BODY, PATH = types.BodyBasedRouting(), types.PathBasedRouting()
NAIVE = datetime(2026, 11, 24)


async def all_of(pages: AsyncIterator[Any]) -> list[Any]:
    return [each async for each in pages]


async def async_callback(resource: Any) -> None:
    """Do nothing; a callback that would have to be awaited."""


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "empty name": (lambda client: client.gateways.create(""), "name must not be empty"),
    "missing name": (lambda client: client.gateways.create(None), "name: expected a string, got NoneType"),
    "empty id": (lambda client: client.gateways.get(""), "id must not be empty"),
    "id of the wrong type": (lambda client: client.deployments.delete(5), "id: expected a string, got int"),
    "id that changes the path": (
        lambda client: client.gateways.get(".."),
        "id: '..' would lead to another path over REST",
    ),
    "empty id of the caller": (lambda client: client.gateways.create("x", id=""), "id must not be empty"),
    "empty id in a wait": (lambda client: client.capacity_claims.wait(""), "id must not be empty"),
    "empty id in a wait for deletion": (lambda client: client.deployments.wait_deleted(""), "id must not be empty"),
    "empty id in modify": (lambda client: client.deployments.modify(""), "id must not be empty"),
    "no change": (
        lambda client: client.deployments.modify("x"),
        "modify: nothing to change; give at least one",
    ),
    "no change of a claim": (lambda client: client.capacity_claims.modify("x"), "modify: nothing to change"),
    "no change of a gateway": (lambda client: client.gateways.modify("x", wait=True), "modify: nothing to change"),
    "seconds to wait": (lambda client: client.gateways.create("x", wait=0.5), "wait: expected True or False, got 0.5"),
    "seconds to wait in modify": (lambda client: client.gateways.modify("x", name="y", wait=1), "wait: expected True"),
    "seconds to wait in update": (lambda client: client.gateways.update("x", name="y", wait=1), "wait: expected True"),
    "an update of the wrong type": (
        lambda client: client.gateways.wait("x", after="y"),
        "after: expected the response of an update, got str",
    ),
    "a callback of the wrong type": (
        lambda client: client.gateways.wait("x", on_change=3),
        "on_change: expected a function or None, got int",
    ),
    "a callback that would not be awaited": (
        lambda client: client.hot_loads.wait("x", on_change=async_callback),
        "on_change: expected a plain function",
    ),
    "two kinds of auth": (
        lambda client: client.gateways.create("x", core_weave_auth=CORE_WEAVE, weights_and_biases_auth=WANDB),
        "auth: core_weave_auth and weights_and_biases_auth are mutually exclusive",
    ),
    "two kinds of routing": (
        lambda client: client.gateways.update("x", name="x", body_based_routing=BODY, path_based_routing=PATH),
        "routing: body_based_routing and path_based_routing are mutually exclusive",
    ),
    "two kinds of auth in modify": (
        lambda client: client.gateways.modify("x", core_weave_auth=CORE_WEAVE, weights_and_biases_auth=WANDB),
        "auth: ",
    ),
    "a string for a list": (lambda client: client.gateways.create("x", zones="US-EAST-04A"), "zones: expected a list"),
    "a message of another kind": (
        lambda client: client.gateways.create("x", core_weave_auth=BODY),
        "core_weave_auth: expected a types.CoreWeaveAuth, got BodyBasedRouting",
    ),
    "time without a time zone": (
        lambda client: client.gateways.list(updated_after=NAIVE),
        "updated_after has no time zone",
    ),
    "no time at all": (
        lambda client: client.deployments.list(updated_after="yesterday"),
        "updated_after: expected a datetime",
    ),
    "no time for a response": (
        lambda client: client.gateways.get("x", timeout=0),
        "timeout: expected a positive number of seconds",
    ),
    "no retry": (lambda client: client.gateways.get("x", retry=3), "retry: expected a Retry or None, got int"),
    "empty deployment": (
        lambda client: client.hot_loads.create("", identity="x", type=1),
        "deployment_id must not be empty",
    ),
    "empty gateway to list by": (
        lambda client: client.deployments.list(parent_gateway_id=""),
        "parent_gateway_id must not be empty",
    ),
    "empty deployment to list by": (
        lambda client: all_of(client.hot_loads.list("")),
        "parent_deployment_id must not be empty",
    ),
    "empty identity": (lambda client: client.hot_loads.create("x", identity="", type=1), "identity must not be empty"),
    "unknown type": (
        lambda client: client.hot_loads.create("x", identity="x", type="WHOLE"),
        "type: there is no 'WHOLE'; use one of SNAPSHOT_TYPE_UNSPECIFIED, SNAPSHOT_TYPE_FULL",
    ),
    "a resource instead of its id": (
        lambda client: client.gateways.wait(types.Gateway()),
        "id: expected a string, got Gateway; use its spec.id",
    ),
}


def by_sample(received: ReceivedRequest) -> Any:
    return samples.response_to(received.method)


@pytest.mark.parametrize("case", REFUSED)
async def test_a_wrong_argument_is_refused_before_anything_is_sent(kind: str, case: str) -> None:
    do, problem = REFUSED[case]
    async with connected(kind, by_sample) as (client, server):
        with pytest.raises(errors.ConfigurationError) as caught:
            await do(client)
    assert str(caught.value).startswith(problem)
    assert server.received == []


@pytest.mark.parametrize(
    "do",
    [
        lambda client: client.gateways.create("x", zoness=[]),
        lambda client: client.gateways.get("x", tiemout=5),
        lambda client: client.gateways.get("x", id="y"),
        lambda client: client.gateways.get(),
        lambda client: client.gateways.modify("x", nmae="y"),
        lambda client: client.gateways.wait("x", retry=None),
        lambda client: client.deployments.create("x"),
    ],
)
async def test_an_unknown_or_missing_argument_is_a_type_error(kind: str, do: Callable[[AsyncClient], Any]) -> None:
    async with connected(kind, by_sample) as (client, server):
        with pytest.raises(TypeError, match="argument"):
            await do(client)
    assert server.received == []


async def test_an_unknown_argument_of_a_paged_list_is_a_type_error_too(kind: str) -> None:
    async with connected(kind, by_sample) as (client, server):
        with pytest.raises(TypeError, match="tiemout"):
            _ = [each async for each in client.hot_loads.list(tiemout=5)]  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert server.received == []


async def test_rules_that_a_server_may_have_relaxed_are_left_to_it(kind: str) -> None:
    async with connected(kind, by_sample) as (client, server):
        await client.gateways.create("Not a host label!", id="not a uuid", zones=["nowhere", "nowhere"])
        await client.gateways.get("not a uuid")
        resources = types.CapacityClaimResources(instance_count=0, zones=["A", "B"])
        await client.capacity_claims.create("UPPER", resources=resources)
    assert len(server.received) == 3


async def test_enum_names_and_dicts_are_accepted_where_protobuf_accepts_them(kind: str) -> None:
    routing: Any = {"api_type": "API_TYPE_OPENAI"}
    async with connected(kind, by_sample) as (client, server):
        await client.gateways.create("front", body_based_routing=routing)
    assert server.received[0].request.body_based_routing.api_type == types.BodyBasedRouting.API_TYPE_OPENAI

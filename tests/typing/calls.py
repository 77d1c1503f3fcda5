"""What a type checker sees of the facade: checked by mypy and basedpyright in strict mode, never run."""

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from typing import assert_type

from cwinference import AsyncClient, Client, HotLoadState, State, auth, describe, errors, types


def blocking(client: Client) -> None:
    made = client.gateways.create("front", zones=["US-EAST-04A"], core_weave_auth=types.CoreWeaveAuth(), wait=True)
    assert_type(made, types.Gateway)
    assert_type(client.gateways.get("id", timeout=5), types.Gateway)
    assert_type(client.gateways.list(updated_after=datetime.now(UTC)), Sequence[types.Gateway])
    assert_type(client.gateways.modify("id", zones=[]), types.Gateway)
    assert_type(client.gateways.delete("id"), types.Gateway | None)
    assert_type(client.gateways.parameters(), types.GetGatewayParametersResponse)
    assert_type(client.gateways.wait("id", after=made, on_change=print), types.Gateway)
    assert_type(client.gateways.wait_deleted("id"), None)
    assert_type(client.deployments.get("id"), types.Deployment)
    assert_type(client.deployments.list(parent_gateway_id="id"), Sequence[types.Deployment])
    assert_type(client.capacity_claims.modify("id", instance_count=3), types.CapacityClaim)
    assert_type(client.capacity_claims.parameters(), types.GetCapacityClaimParametersResponse)
    snapshot = types.SnapshotType.SNAPSHOT_TYPE_FULL
    assert_type(client.hot_loads.create("id", identity="step-1", type=snapshot), types.HotLoad)
    assert_type(client.hot_loads.list("id"), Iterator[types.HotLoad])
    assert_type(client.hot_loads.replicas("id"), Iterator[types.HotLoadReplica])
    assert_type(client.with_options(timeout=None, retry=None), Client)
    assert_type(State.of(made), State)
    assert_type(HotLoadState.of(client.hot_loads.wait("id")), HotLoadState)
    assert_type(describe(made), str)


async def awaiting(client: AsyncClient) -> None:
    made = await client.gateways.create("front", core_weave_auth=types.CoreWeaveAuth(), wait=True)
    assert_type(made, types.Gateway)
    assert_type(await client.gateways.list(), Sequence[types.Gateway])
    assert_type(await client.gateways.delete("id"), types.Gateway | None)
    assert_type(await client.gateways.wait_deleted("id"), None)
    assert_type(await client.deployments.wait("id", timeout=None), types.Deployment)
    resources = types.CapacityClaimResources()
    assert_type(await client.capacity_claims.update("id", resources=resources), types.CapacityClaim)
    assert_type(client.hot_loads.list(), AsyncIterator[types.HotLoad])
    assert_type(await client.hot_loads.cancel("id"), types.HotLoad)
    assert_type(client.with_options(timeout=1), AsyncClient)


async def ask_vault() -> str:
    return "token"


def tokens() -> None:
    Client("token")
    Client(lambda: "token")
    Client(auth.from_file("token"), timeout=None)
    AsyncClient(auth.from_command(["vault", "token"]))
    AsyncClient(ask_vault)


def mistakes(client: Client) -> None:
    client.gateways.get()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.gateways.get("id", tiemout=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.gateways.get(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.deployments.create("name")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Client("token", transport="soap")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def failures(error: errors.ApiError) -> None:
    assert_type(error.code, str)
    assert_type(error.attempts, int)
    assert_type(error.http_status, int | None)

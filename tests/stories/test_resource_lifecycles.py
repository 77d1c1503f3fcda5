"""What users do with resources from create to delete, against the emulator, over every transport and both clients."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from cwinference import AsyncClient, HotLoadState, State, describe, errors, types
from cwinference.emulator import Emulator, Fate
from tests.support.client_kinds import open_client

AUTH = types.CoreWeaveAuth()
ROUTING = types.BodyBasedRouting(api_type=types.BodyBasedRouting.API_TYPE_OPENAI)
SNAPSHOTS = types.DeploymentHotLoad(bucket="snapshots", transition_mode=types.TransitionMode.TRANSITION_MODE_ASYNC)
SERVED: dict[str, Any] = {
    "runtime": types.DeploymentRuntime(engine="dynamo-vllm", version="0.22.0"),
    "resources": types.DeploymentResources(instance_type="gd-8xh100ib-i128", gpu_count=8),
    "model": types.DeploymentModel(name="org/llama", bucket="models", path="llama"),
    "autoscaling": types.DeploymentAutoscaling(min=2, max=2),
}


@pytest.fixture
def emulator() -> Generator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
async def client(kind: str, emulator: Emulator) -> AsyncGenerator[AsyncClient]:
    async with open_client(kind, emulator.endpoint, emulator.token) as opened:
        yield opened


async def create_gateway(client: AsyncClient, name: str = "front") -> types.Gateway:
    zones = (await client.gateways.parameters()).zones
    return await client.gateways.create(
        name, zones=zones[:1], core_weave_auth=AUTH, body_based_routing=ROUTING, wait=True
    )


async def test_a_deployment_is_created_modified_disabled_and_deleted(client: AsyncClient) -> None:
    gateway = await create_gateway(client)
    assert (await client.deployments.parameters(gateway_ids=[gateway.spec.id])).resource_parameters.instance_types
    chat = await client.deployments.create("chat", gateway_ids=[gateway.spec.id], **SERVED)
    assert State.of(chat) is State.CREATING
    ready = await client.deployments.wait(chat.spec.id)
    assert describe(ready).startswith("Deployment chat: READY")
    assert await client.deployments.list(parent_gateway_id=gateway.spec.id) == [ready]
    assert await client.deployments.list(updated_after=ready.status.updated_at) == []

    changed = await client.deployments.modify(chat.spec.id, traffic=types.DeploymentTraffic(weight=7), wait=True)
    assert (State.of(changed), changed.spec.traffic.weight) == (State.READY, 7)
    assert changed.spec.model == chat.spec.model
    assert await client.deployments.list(updated_after=ready.status.updated_at) == [changed]

    disabled = await client.deployments.modify(chat.spec.id, disabled=True, wait=True)
    assert (State.of(disabled), disabled.spec.disabled) == (State.UPDATING, True)

    with pytest.raises(errors.FailedPrecondition) as caught:
        await client.gateways.delete(gateway.spec.id)
    assert caught.value.details
    await client.deployments.delete(chat.spec.id)
    await client.deployments.wait_deleted(chat.spec.id)
    await client.gateways.delete(gateway.spec.id)
    await client.gateways.wait_deleted(gateway.spec.id)
    with pytest.raises(errors.NotFound):
        await client.gateways.get(gateway.spec.id)


async def test_a_wait_for_a_deployment_that_is_created_disabled_ends(client: AsyncClient) -> None:
    gateway = await create_gateway(client)
    disabled = await client.deployments.create(
        "chat", gateway_ids=[gateway.spec.id], disabled=True, wait=True, **SERVED
    )
    assert State.of(disabled) is State.CREATING


async def test_weights_are_loaded_into_running_replicas(client: AsyncClient) -> None:
    gateway = await create_gateway(client)
    chat = await client.deployments.create(
        "chat", gateway_ids=[gateway.spec.id], hot_load=SNAPSHOTS, wait=True, **SERVED
    )
    for step in ("step-1", "step-2"):
        started = await client.hot_loads.create(chat.spec.id, identity=step, type=types.SnapshotType.SNAPSHOT_TYPE_FULL)
        done = await client.hot_loads.wait(started.spec.id)
        assert HotLoadState.of(done) is HotLoadState.COMPLETED
    replicas = [each async for each in client.hot_loads.replicas(done.spec.id)]
    assert [each.current_snapshot_identity for each in replicas] == ["step-2", "step-2"]
    found = [each.spec.identity async for each in client.hot_loads.list(chat.spec.id)]
    assert found == ["step-2", "step-1"]
    with pytest.raises(errors.Unimplemented):
        await client.hot_loads.cancel(done.spec.id)
    disabled = await client.deployments.modify(chat.spec.id, disabled=True)
    assert disabled.spec.hot_load == SNAPSHOTS


async def test_a_capacity_claim_is_created_resized_and_deleted(client: AsyncClient) -> None:
    ((zone, kinds), *_) = (await client.capacity_claims.parameters()).zone_instance_types.items()
    resources = types.CapacityClaimResources(
        instance_id=kinds.instance_ids[0], instance_count=2, zones=[zone],
        capacity_type=types.CapacityType.CAPACITY_TYPE_MANAGED,
    )  # fmt: skip
    claim = await client.capacity_claims.create("claim", resources=resources, wait=True)
    assert claim.status.allocated_instances == 2
    grown = await client.capacity_claims.modify(claim.spec.id, instance_count=3, wait=True)
    assert (grown.status.allocated_instances, list(grown.spec.resources.zones)) == (3, [zone])
    resources.instance_count = 1
    shrunk = await client.capacity_claims.update(claim.spec.id, resources=resources, wait=True)
    assert (shrunk.status.allocated_instances, await client.capacity_claims.list()) == (1, [shrunk])
    assert await client.capacity_claims.delete(claim.spec.id)
    await client.capacity_claims.wait_deleted(claim.spec.id)


async def test_updated_after_lists_only_what_changed_since(client: AsyncClient) -> None:
    first, second = await create_gateway(client, "first"), await create_gateway(client, "second")
    moments = sorted(each.status.updated_at.ToNanoseconds() for each in (first, second))
    between = types.Timestamp()
    between.FromNanoseconds(moments[0])
    assert [each.spec.name for each in await client.gateways.list(updated_after=between)] == ["second"]
    long_ago, later = (datetime.now(UTC) + timedelta(minutes=minutes) for minutes in (-5, 5))
    assert len(await client.gateways.list(updated_after=long_ago)) == 2
    assert len(await client.gateways.list(updated_after=later)) == 0


async def test_a_viewer_may_read_and_not_write(kind: str, emulator: Emulator) -> None:
    async with open_client(kind, emulator.endpoint, emulator.viewer_token) as viewer:
        assert list(await viewer.gateways.list()) == []
        for write in (
            viewer.gateways.create("front", core_weave_auth=AUTH, body_based_routing=ROUTING),
            viewer.gateways.delete(str(uuid4())),
            viewer.hot_loads.cancel(str(uuid4())),
        ):
            with pytest.raises(errors.PermissionDenied):
                await write


async def test_an_unknown_token_is_unauthenticated(kind: str, emulator: Emulator) -> None:
    async with open_client(kind, emulator.endpoint, "CW-SECRET-unknown") as unknown:
        for read in (unknown.gateways.list(), unknown.hot_loads.get(str(uuid4()))):
            with pytest.raises(errors.Unauthenticated):
                await read


async def test_a_missing_resource_is_not_found_and_a_malformed_id_is_invalid(client: AsyncClient) -> None:
    with pytest.raises(errors.NotFound):
        await client.deployments.get(str(uuid4()))
    with pytest.raises(errors.InvalidArgument) as caught:
        await client.deployments.get("not a uuid")
    detail: Any = caught.value.details[0]
    assert [each.field for each in detail.field_violations] == ["id"]


async def test_a_name_can_be_used_only_once(client: AsyncClient) -> None:
    await create_gateway(client)
    with pytest.raises(errors.AlreadyExists) as caught:
        await create_gateway(client)
    assert caught.value.attempts == 1


async def test_a_failed_create_is_reported_with_its_reason(client: AsyncClient, emulator: Emulator) -> None:
    emulator.fates["front"] = Fate("FAILED", reason="NoCapacity", message="the zone is full")
    with pytest.raises(errors.ResourceFailed, match="FAILED .*NoCapacity.*the zone is full"):
        await create_gateway(client)


async def test_concurrent_reads_return_the_same(client: AsyncClient) -> None:
    gateway = await create_gateway(client)
    found = await asyncio.gather(*(client.gateways.get(gateway.spec.id) for _ in range(100)))
    assert all(each == gateway for each in found)

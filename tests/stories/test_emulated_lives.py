"""All that a client does with the four services, against the emulator, over every transport."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from cwinference import AsyncClient, HotLoadState, State, errors, types
from cwinference.emulator import Emulator
from tests.support.clients import open_client

ZONE = "US-EAST-04A"


@pytest.fixture
async def client(kind: str) -> AsyncGenerator[AsyncClient]:
    with Emulator() as emulator:
        async with open_client(kind, emulator.endpoint, emulator.token) as client:
            yield client


async def make_gateway(client: AsyncClient, name: str = "front") -> types.Gateway:
    routing = types.BodyBasedRouting(api_type=types.BodyBasedRouting.API_TYPE_OPENAI)
    return await client.gateways.create(
        name, zones=[ZONE], core_weave_auth=types.CoreWeaveAuth(), body_based_routing=routing, wait=True
    )


async def make_deployment(client: AsyncClient, gateway_id: str, **more: Any) -> types.Deployment:
    return await client.deployments.create(
        "llama",
        gateway_ids=[gateway_id],
        runtime=types.DeploymentRuntime(engine="dynamo-vllm", version="0.22.0"),
        resources=types.DeploymentResources(instance_type="gd-8xh100ib-i128", gpu_count=8),
        model=types.DeploymentModel(name="org/llama", bucket="models", path="llama"),
        autoscaling=types.DeploymentAutoscaling(min=1, max=2),
        traffic=types.DeploymentTraffic(weight=100),
        wait=True,
        **more,
    )


async def test_a_gateway_with_its_deployment(client: AsyncClient) -> None:
    gateway = await make_gateway(client)
    assert (await client.deployments.parameters(gateway_ids=[gateway.spec.id])).resource_parameters.instance_types
    deployment = await make_deployment(client, gateway.spec.id)

    assert await client.deployments.list(parent_gateway_id=gateway.spec.id) == [deployment]
    seen = deployment.status.updated_at
    assert await client.deployments.list(updated_after=seen) == []
    deployment = await client.deployments.modify(
        deployment.spec.id, traffic=types.DeploymentTraffic(weight=5), wait=True
    )
    assert deployment.spec.traffic.weight == 5
    assert deployment.spec.autoscaling.max == 2
    assert await client.deployments.list(updated_after=seen) == [deployment]

    with pytest.raises(errors.FailedPrecondition) as caught:
        await client.gateways.delete(gateway.spec.id)
    assert caught.value.details
    await client.deployments.delete(deployment.spec.id)
    await client.deployments.wait_deleted(deployment.spec.id)
    await client.gateways.delete(gateway.spec.id)
    await client.gateways.wait_deleted(gateway.spec.id)
    with pytest.raises(errors.NotFound):
        await client.gateways.get(gateway.spec.id)


async def test_a_capacity_claim(client: AsyncClient) -> None:
    offered = (await client.capacity_claims.parameters()).zone_instance_types[ZONE].instance_ids
    resources = types.CapacityClaimResources(
        instance_id=offered[0],
        instance_count=1,
        capacity_type=types.CapacityType.CAPACITY_TYPE_MANAGED,
        zones=[ZONE],
    )
    claim = await client.capacity_claims.create("nodes", resources=resources, wait=True)
    resources.instance_count = 3
    claim = await client.capacity_claims.update(claim.spec.id, resources=resources, wait=True)
    assert (claim.spec.resources, claim.status.allocated_instances) == (resources, 3)
    assert await client.capacity_claims.list() == [claim]
    await client.capacity_claims.delete(claim.spec.id)
    await client.capacity_claims.wait_deleted(claim.spec.id)


async def test_new_weights_by_hot_load(client: AsyncClient) -> None:
    gateway = await make_gateway(client)
    weights = types.DeploymentHotLoad(bucket="weights", transition_mode=types.TransitionMode.TRANSITION_MODE_ASYNC)
    deployment = await make_deployment(client, gateway.spec.id, hot_load=weights)
    full = types.SnapshotType.SNAPSHOT_TYPE_FULL
    made = await client.hot_loads.create(deployment.spec.id, identity="step-1", type=full)
    done = await client.hot_loads.wait(made.spec.id)
    assert HotLoadState.of(done) is HotLoadState.COMPLETED
    assert [each.spec.id async for each in client.hot_loads.list(deployment.spec.id)] == [done.spec.id]
    replicas = [each.current_snapshot_identity async for each in client.hot_loads.replicas(done.spec.id)]
    assert set(replicas) == {"step-1"}
    with pytest.raises(errors.Unimplemented):
        await client.hot_loads.cancel(done.spec.id)


async def test_a_disabled_deployment_is_awaited_by_its_condition(client: AsyncClient) -> None:
    gateway = await make_gateway(client)
    deployment = await make_deployment(client, gateway.spec.id, disabled=True)
    assert State.of(deployment) is not State.READY


async def test_a_name_that_is_taken(client: AsyncClient) -> None:
    await make_gateway(client)
    with pytest.raises(errors.AlreadyExists):
        await make_gateway(client)

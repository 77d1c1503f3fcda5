"""Modifying parts of a spec: nothing is reset that was not named, by whichever of the three ways."""

from typing import Any

import pytest

from cwinference import errors, types
from tests.support.connected_client import connected
from tests.support.scripted_server import ReceivedRequest

RESERVED = types.DeploymentAutoscaling.CAPACITY_CLASS_RESERVED


def spec() -> types.DeploymentSpec:
    return types.DeploymentSpec(
        id="d",
        organization_id="org",
        name="chat",
        gateway_ids=["g"],
        runtime=types.DeploymentRuntime(
            engine="vllm", version="0.21.0", engine_config={"max-model-len": "4096", "tp": "8"}, engine_env={"A": "1"}
        ),
        resources=types.DeploymentResources(instance_type="gd-8xh100ib-i128", gpu_count=8),
        model=types.DeploymentModel(name="org/model", bucket="models", path="model"),
        autoscaling=types.DeploymentAutoscaling(min=1, max=4, concurrency=16, capacity_classes=[RESERVED]),
        traffic=types.DeploymentTraffic(weight=50),
        hot_load=types.DeploymentHotLoad(bucket="b"),
    )


CLAIM = types.CapacityClaimSpec(
    id="c",
    name="claim",
    resources=types.CapacityClaimResources(instance_id="gb200-4x", instance_count=2, zones=["A"]),
)
WANDB = types.GatewaySpec(
    id="g",
    name="front",
    zones=["A"],
    weights_and_biases_auth=types.WeightsAndBiasesAuth(enable_usage_reports=True),
    endpoint_configuration=types.EndpointConfiguration(
        additional_dns=["x.example"], allowed_source_ip_ranges=["10.0.0.0/8"]
    ),
    path_based_routing=types.PathBasedRouting(),
)


def resource(name: str) -> Any:
    """Return the resource that a method with this name is about."""
    if name.endswith("Gateway"):
        return types.Gateway(spec=WANDB)
    return types.Deployment(spec=spec()) if name.endswith("Deployment") else types.CapacityClaim(spec=CLAIM)


def respond(received: ReceivedRequest) -> Any:
    field = received.method.response.DESCRIPTOR.fields[0].name
    return received.method.response(**{field: resource(received.method.name)})


async def modified(kind: str, **changes: Any) -> Any:
    """Return the update request that a modification of the deployment sends."""
    async with connected(kind, respond) as (client, server):
        await client.deployments.modify("d", **changes)
    assert [each.method.name for each in server.received] == ["GetDeployment", "UpdateDeployment"]
    return server.received[1].request


async def refusal(kind: str, resource: str = "deployments", *, sent: int = 1, **changes: Any) -> str:
    """Return the error of a modification, which must not have written anything."""
    async with connected(kind, respond) as (client, server):
        with pytest.raises(errors.ConfigurationError) as caught:
            await getattr(client, resource).modify("d", **changes)
    assert len(server.received) == sent
    return str(caught.value)


def expected(change: Any) -> types.UpdateDeploymentRequest:
    """Return the update request of the whole spec, changed by a function."""
    fields: dict[str, Any] = {each.name: value for each, value in spec().ListFields() if each.name != "organization_id"}
    request = types.UpdateDeploymentRequest(**fields)
    change(request)
    return request


async def test_a_mapping_bumps_a_version_and_keeps_the_rest(kind: str) -> None:
    def bumped(request: types.UpdateDeploymentRequest) -> None:
        request.runtime.version = "0.22.0"

    assert await modified(kind, runtime={"version": "0.22.0"}) == expected(bumped)


async def test_zero_and_empty_values_are_changes_too(kind: str) -> None:
    def emptied(request: types.UpdateDeploymentRequest) -> None:
        request.traffic.weight = request.autoscaling.concurrency = 0
        request.autoscaling.ClearField("capacity_classes")
        request.runtime.engine_config.clear()

    changes = {
        "traffic": {"weight": 0},
        "autoscaling": {"concurrency": 0, "capacity_classes": []},
        "runtime": {"engine_config": {}},
    }
    assert await modified(kind, **changes) == expected(emptied)


async def test_a_mapping_for_a_map_changes_just_its_keys_too(kind: str) -> None:
    def changed(request: types.UpdateDeploymentRequest) -> None:
        request.runtime.engine_config["max-model-len"] = "8192"

    assert await modified(kind, runtime={"engine_config": {"max-model-len": "8192"}}) == expected(changed)


async def test_iterators_inside_a_mapping_are_read_once(kind: str) -> None:
    request = await modified(kind, autoscaling={"capacity_classes": iter(["ON_DEMAND"])}, gateway_ids=iter(["h"]))
    assert request.autoscaling.capacity_classes == [types.DeploymentAutoscaling.CAPACITY_CLASS_ON_DEMAND]
    assert request.gateway_ids == ["h"]


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        ({"runtime": types.DeploymentRuntime(engine="vllm", version="0.22.0")}, "engine_config, engine_env"),
        ({"autoscaling": types.DeploymentAutoscaling(min=1, max=8)}, "capacity_classes, concurrency"),
        ({"autoscaling": types.DeploymentAutoscaling()}, "min, max, capacity_classes, concurrency"),
    ],
)
async def test_a_message_that_would_reset_something_is_refused_and_names_it(
    kind: str, change: dict[str, Any], lost: str
) -> None:
    (name,) = change
    problem = await refusal(kind, **change)
    assert problem.startswith(f"{name}: this message would reset {lost}, which the resource has now; give a mapping")


async def test_a_message_with_everything_replaces_the_part(kind: str) -> None:
    runtime = types.DeploymentRuntime(engine="vllm", version="1", engine_config={"tp": "4"}, engine_env={"B": "2"})

    def replaced(request: types.UpdateDeploymentRequest) -> None:
        request.runtime.CopyFrom(runtime)

    assert await modified(kind, runtime=runtime) == expected(replaced)


@pytest.mark.parametrize("weight", [0, 10])
async def test_a_message_of_a_single_field_is_just_that_field(kind: str, weight: int) -> None:
    assert (await modified(kind, traffic=types.DeploymentTraffic(weight=weight))).traffic.weight == weight


async def test_edit_changes_a_copy_of_the_spec_in_place(kind: str) -> None:
    def edit(spec: types.DeploymentSpec) -> str:
        spec.autoscaling.max = 8
        spec.traffic.weight = 0
        return spec.runtime.engine_config.pop("tp")

    def changed(request: types.UpdateDeploymentRequest) -> None:
        request.autoscaling.max = 8
        request.traffic.weight = 0
        del request.runtime.engine_config["tp"]

    assert await modified(kind, edit=edit) == expected(changed)


async def edit_async(spec: types.DeploymentSpec) -> None:
    spec.disabled = True


def rename(spec: Any) -> None:
    spec.id = "other"


@pytest.mark.parametrize(
    ("changes", "problem", "sent"),
    [
        ({"edit": 3}, "edit: expected a function or None, got int", 0),
        ({"edit": edit_async}, "edit: expected a plain function; an async one would never be awaited", 0),
        ({"edit": lambda spec: edit_async(spec)}, "edit: expected a plain function; an async one", 1),
        ({"edit": rename, "disabled": True}, "edit cannot be combined with disabled", 0),
        ({"edit": lambda _: spec()}, "edit returned another spec", 1),
        ({"edit": rename}, "edit: id cannot be changed by an update", 1),
        ({"runtime": {}}, "modify: nothing to change; give at least one of name, ", 0),
        ({"runtime": {"enigne": "x"}}, "runtime.enigne: there is no such field; did you mean 'engine'?", 0),
        ({"autoscaling": {"max": -1}}, "autoscaling.max: expected a whole number from 0", 0),
        ({"model": types.DeploymentRuntime()}, "model: expected a types.DeploymentModel, got DeploymentRuntime", 0),
    ],
)  # fmt: skip
async def test_a_change_that_cannot_be_right_is_refused(
    kind: str, changes: dict[str, Any], problem: str, sent: int
) -> None:
    assert (await refusal(kind, sent=sent, **changes)).startswith(problem)


async def test_what_edit_raises_ends_the_modification_unwritten(kind: str) -> None:
    async with connected(kind, respond) as (client, server):
        with pytest.raises(ZeroDivisionError):
            await client.deployments.modify("d", edit=lambda _: 1 / 0)
    assert len(server.received) == 1


async def test_a_claim_can_be_modified_by_mapping_field_and_edit(kind: str) -> None:
    def edit(spec: types.CapacityClaimSpec) -> None:
        spec.resources.instance_count = 5

    async with connected(kind, respond) as (client, server):
        await client.capacity_claims.modify("c", resources={"instance_count": 3}, zones=[])
        await client.capacity_claims.modify("c", instance_count=4)
        await client.capacity_claims.modify("c", edit=edit)
    sent: list[Any] = [each.request for each in server.received[1::2]]
    assert [(each.resources.instance_count, list(each.resources.zones)) for each in sent] == [
        (3, []), (4, ["A"]), (5, ["A"]),
    ]  # fmt: skip
    assert {each.resources.instance_id for each in sent} == {"gb200-4x"}


async def test_the_name_of_a_claim_cannot_be_edited(kind: str) -> None:
    def edit(spec: types.CapacityClaimSpec) -> None:
        spec.name = "other"

    assert await refusal(kind, "capacity_claims", edit=edit) == "edit: name cannot be changed by an update"


async def test_a_write_only_key_is_not_lost_by_an_edit(kind: str) -> None:
    def edit(spec: types.GatewaySpec) -> None:
        spec.zones.append("B")

    def edit_auth(spec: types.GatewaySpec) -> None:
        spec.core_weave_auth.SetInParent()

    assert "write-only" in await refusal(kind, "gateways", edit=edit)
    async with connected(kind, respond) as (client, server):
        await client.gateways.modify("g", edit=edit_auth)
        await client.gateways.modify("g", zones=["B"], weights_and_biases_auth={"api_key": "key"})
    first, second = (each.request for each in server.received[1::2])
    assert first.WhichOneof("auth") == "core_weave_auth"
    assert second.weights_and_biases_auth == types.WeightsAndBiasesAuth(api_key="key", enable_usage_reports=True)


async def test_another_member_of_a_oneof_replaces_the_current_one(kind: str) -> None:
    async with connected(kind, respond) as (client, server):
        await client.gateways.modify("g", core_weave_auth={}, header_based_routing={"header_name": "x-model"})
    request: Any = server.received[1].request
    assert (request.WhichOneof("auth"), request.WhichOneof("routing")) == ("core_weave_auth", "header_based_routing")
    assert request.endpoint_configuration == WANDB.endpoint_configuration


async def test_an_empty_mapping_alone_chooses_a_member_of_a_oneof(kind: str) -> None:
    async with connected(kind, respond) as (client, server):
        await client.gateways.modify("g", core_weave_auth={})
        await client.gateways.modify("g", weights_and_biases_auth={})
    chosen = [each.request.WhichOneof("auth") for each in server.received[1::2]]
    assert chosen == ["core_weave_auth", "weights_and_biases_auth"]

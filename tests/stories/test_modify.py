"""Modifying a part of a spec: everything else is kept, or the modification is refused."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from cwinference import errors, types
from tests.support import samples
from tests.support.connected_client import connected
from tests.support.fake_clock import FakeClock
from tests.support.scripted_server import Raw, ReceivedRequest, Responder, http_response

UPDATED = {"Gateway": types.UpdateGatewayRequest, "Deployment": types.UpdateDeploymentRequest}


def by_sample(variant: str = "") -> Responder:
    """Return a responder that sends samples: to reads the given variant, to writes the plain one."""

    def respond(received: ReceivedRequest) -> Message:
        service = received.method.service.rpartition(".")[2]
        read = received.method.name.startswith("Get")
        return samples.response(f"{service}.{received.method.name}.response{variant if read else ''}.json")

    return respond


def changed_by(change: Any) -> Responder:
    """Return a responder that sends samples in JSON, changed by a function."""

    def respond(received: ReceivedRequest) -> Raw:
        value = MessageToDict(samples.response_to(received.method))
        change(value)
        return Raw(
            http_response(200, json.dumps(value).encode(), {"content-type": "application/json", "connection": "close"})
        )

    return respond


def whole_update(kind: str, variant: str = "") -> Any:
    """Return the update request that would change nothing."""
    read: Any = samples.response(f"{kind}Service.Get{kind}.response{variant}.json")
    spec = getattr(read, kind.lower()).spec
    fields = {each.name: value for each, value in spec.ListFields() if each.name != "organization_id"}
    return UPDATED[kind](**fields)


async def test_all_fields_that_are_not_named_are_kept(kind: str) -> None:
    async with connected(kind, by_sample()) as (client, server):
        await client.gateways.modify("some-id", name="other")
    expected = whole_update("Gateway")
    expected.id, expected.name = "some-id", "other"
    assert server.received[1].request == expected


async def test_a_deployment_keeps_its_hot_load(kind: str) -> None:
    async with connected(kind, by_sample(".newer")) as (client, server):
        await client.deployments.modify("some-id", disabled=True)
    expected = whole_update("Deployment", ".newer")
    expected.id, expected.disabled = "some-id", True
    assert expected.HasField("hot_load")
    assert server.received[1].request == expected


async def test_what_was_waited_for_after_a_modification_shows_its_hot_load(kind: str) -> None:
    async with connected(kind, by_sample(".newer")) as (client, _):
        found = await client.deployments.modify("some-id", disabled=True, wait=True, timeout=20)
    assert found.spec.HasField("hot_load")


async def test_single_fields_of_a_claims_resources_can_be_changed(kind: str) -> None:
    async with connected(kind, by_sample()) as (client, server):
        await client.capacity_claims.modify("some-id", instance_count=7)
    read: Any = samples.response("CapacityClaimService.GetCapacityClaim.response.json")
    expected = types.UpdateCapacityClaimRequest(id="some-id", resources=read.capacity_claim.spec.resources)
    expected.resources.instance_count = 7
    assert server.received[1].request == expected


async def test_modify_reads_and_writes_as_json_on_every_transport(kind: str) -> None:
    async with connected(kind, by_sample()) as (client, server):
        await client.gateways.modify("some-id", name="other")
    assert [each.path for each in server.received] == ["/v1alpha1/inference/gateways/some-id"] * 2


@pytest.mark.parametrize(
    ("where", "named"),
    [
        (("gateway", "spec"), "gateway.spec.newer"),
        (("gateway", "spec", "endpointConfiguration"), "gateway.spec.endpoint_configuration.newer"),
    ],
)
async def test_modify_is_refused_if_it_would_reset_an_unknown_field(
    kind: str, where: tuple[str, ...], named: str
) -> None:
    def add(value: Any) -> None:
        for key in where:
            value = value[key]
        value["newer"] = {"depth": 2}

    async with connected(kind, changed_by(add)) as (client, server):
        with pytest.raises(errors.ConfigurationError, match=named):
            await client.gateways.modify("some-id", name="other")
    assert [each.method.name for each in server.received] == ["GetGateway"]


async def test_modify_is_refused_if_it_would_reset_an_unknown_enum_value(kind: str) -> None:
    def newer(value: Any) -> None:
        value["deployment"]["spec"]["autoscaling"]["capacityClasses"] = ["CAPACITY_CLASS_SPOT"]

    async with connected(kind, changed_by(newer)) as (client, server):
        with pytest.raises(errors.ConfigurationError, match="autoscaling.*CAPACITY_CLASS_SPOT"):
            await client.deployments.modify("some-id", disabled=True)
    assert len(server.received) == 1


async def test_unknown_fields_outside_the_spec_do_not_matter(kind: str) -> None:
    def newer(value: Any) -> None:
        value["gateway"]["status"]["newer"] = value["newer"] = 1

    async with connected(kind, changed_by(newer)) as (client, server):
        await client.gateways.modify("some-id", name="other")
    assert len(server.received) == 2


def with_wandb(value: Mapping[str, Any]) -> None:
    """Turn a response into that of a gateway with Weights & Biases auth."""
    spec = value["gateway"]["spec"]
    del spec["coreWeaveAuth"]
    spec["weightsAndBiasesAuth"] = {"enableUsageReports": True}


async def test_a_write_only_key_has_to_be_given_again(kind: str) -> None:
    async with connected(kind, changed_by(with_wandb)) as (client, server):
        with pytest.raises(errors.ConfigurationError, match="^weights_and_biases_auth: .*write-only"):
            await client.gateways.modify("some-id", name="other")
    assert len(server.received) == 1


@pytest.mark.parametrize(
    "auth",
    [
        {"weights_and_biases_auth": types.WeightsAndBiasesAuth(api_key="key", enable_usage_reports=True)},
        {"core_weave_auth": types.CoreWeaveAuth()},
    ],
)
async def test_a_gateway_with_a_write_only_key_can_be_modified_if_auth_is_given(
    kind: str, auth: dict[str, Any]
) -> None:
    async with connected(kind, changed_by(with_wandb)) as (client, server):
        await client.gateways.modify("some-id", **auth)
    ((name, value),) = auth.items()
    assert server.received[1].request.WhichOneof("auth") == name
    assert getattr(server.received[1].request, name) == value


async def test_the_write_is_not_retried(kind: str) -> None:
    def respond(received: ReceivedRequest) -> Any:
        return (
            by_sample()(received)
            if received.method.name == "GetGateway"
            else Raw(http_response(503, b"", {"connection": "close"}))
        )

    async with connected(kind, respond, clock=FakeClock().clock) as (client, server):
        with pytest.raises(errors.Unavailable):
            await client.gateways.modify("some-id", name="other")
    assert [each.method.name for each in server.received] == ["GetGateway", "UpdateGateway"]


@pytest.mark.parametrize(("default", "options"), [(30, {"timeout": 20}), (20, {})])
async def test_read_and_write_share_one_timeout(kind: str, default: float, options: dict[str, Any]) -> None:
    clock = FakeClock()

    def respond(received: ReceivedRequest) -> Any:
        clock.now += 20
        return by_sample()(received)

    async with connected(kind, respond, clock=clock.clock, timeout=default) as (client, server):
        with pytest.raises(errors.DeadlineExceeded):
            await client.gateways.modify("some-id", name="other", **options)
    assert [each.method.name for each in server.received][:1] == ["GetGateway"]
    assert len(server.received) <= 2

"""Changing a part of a spec: everything else stays, or the change is refused."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from cwinference import errors, types
from tests.support import samples
from tests.support.connected_client import told
from tests.support.fake_clock import FakeClock
from tests.support.scripted_server import Answer, Raw, Received, http

UPDATED = {"Gateway": types.UpdateGatewayRequest, "Deployment": types.UpdateDeploymentRequest}


def by_sample(variant: str = "") -> Answer:
    """Answer reads by a variant of the golden samples, and writes by their own."""

    def answer(received: Received) -> Message:
        service = received.method.service.rpartition(".")[2]
        read = received.method.name.startswith("Get")
        return samples.response(f"{service}.{received.method.name}.response{variant if read else ''}.json")

    return answer


def reading(change: Any) -> Answer:
    """Answer by JSON in which a function has changed something."""

    def answer(received: Received) -> Raw:
        value = MessageToDict(samples.response_to(received.method))
        change(value)
        return Raw(http(200, json.dumps(value).encode(), {"content-type": "application/json", "connection": "close"}))

    return answer


def whole_update(kind: str, variant: str = "") -> Any:
    """The update that would change nothing."""
    read: Any = samples.response(f"{kind}Service.Get{kind}.response{variant}.json")
    spec = getattr(read, kind.lower()).spec
    fields = {each.name: value for each, value in spec.ListFields() if each.name != "organization_id"}
    return UPDATED[kind](**fields)


async def test_everything_that_is_not_named_stays(kind: str) -> None:
    async with told(kind, by_sample()) as (client, peer):
        await client.gateways.modify("some-id", name="other")
    expected = whole_update("Gateway")
    expected.id, expected.name = "some-id", "other"
    assert peer.received[1].request == expected


async def test_a_deployment_keeps_its_hot_load(kind: str) -> None:
    async with told(kind, by_sample(".newer")) as (client, peer):
        await client.deployments.modify("some-id", disabled=True)
    expected = whole_update("Deployment", ".newer")
    expected.id, expected.disabled = "some-id", True
    assert expected.HasField("hot_load")
    assert peer.received[1].request == expected


async def test_single_fields_of_a_claims_resources_can_be_changed(kind: str) -> None:
    async with told(kind, by_sample()) as (client, peer):
        await client.capacity_claims.modify("some-id", instance_count=7)
    read: Any = samples.response("CapacityClaimService.GetCapacityClaim.response.json")
    expected = types.UpdateCapacityClaimRequest(id="some-id", resources=read.capacity_claim.spec.resources)
    expected.resources.instance_count = 7
    assert peer.received[1].request == expected


async def test_it_reads_and_writes_as_json_on_every_transport(kind: str) -> None:
    async with told(kind, by_sample()) as (client, peer):
        await client.gateways.modify("some-id", name="other")
    assert [each.path for each in peer.received] == ["/v1alpha1/inference/gateways/some-id"] * 2


@pytest.mark.parametrize(
    ("where", "named"),
    [
        (("gateway", "spec"), "gateway.spec.newer"),
        (("gateway", "spec", "endpointConfiguration"), "gateway.spec.endpoint_configuration.newer"),
    ],
)
async def test_it_is_refused_by_name_when_something_would_be_lost(
    kind: str, where: tuple[str, ...], named: str
) -> None:
    def add(value: Any) -> None:
        for key in where:
            value = value[key]
        value["newer"] = {"depth": 2}

    async with told(kind, reading(add)) as (client, peer):
        with pytest.raises(errors.ConfigurationError, match=named):
            await client.gateways.modify("some-id", name="other")
    assert [each.method.name for each in peer.received] == ["GetGateway"]


async def test_a_name_of_an_enum_that_would_be_lost_is_named_too(kind: str) -> None:
    def newer(value: Any) -> None:
        value["deployment"]["spec"]["autoscaling"]["capacityClasses"] = ["CAPACITY_CLASS_SPOT"]

    async with told(kind, reading(newer)) as (client, peer):
        with pytest.raises(errors.ConfigurationError, match="autoscaling.*CAPACITY_CLASS_SPOT"):
            await client.deployments.modify("some-id", disabled=True)
    assert len(peer.received) == 1


async def test_news_outside_the_spec_do_no_harm(kind: str) -> None:
    def newer(value: Any) -> None:
        value["gateway"]["status"]["newer"] = value["newer"] = 1

    async with told(kind, reading(newer)) as (client, peer):
        await client.gateways.modify("some-id", name="other")
    assert len(peer.received) == 2


def with_wandb(value: Mapping[str, Any]) -> None:
    spec = value["gateway"]["spec"]
    del spec["coreWeaveAuth"]
    spec["weightsAndBiasesAuth"] = {"enableUsageReports": True}


async def test_a_key_that_a_read_cannot_tell_has_to_be_given_again(kind: str) -> None:
    async with told(kind, reading(with_wandb)) as (client, peer):
        with pytest.raises(errors.ConfigurationError, match="^weights_and_biases_auth: .*write-only"):
            await client.gateways.modify("some-id", name="other")
    assert len(peer.received) == 1


@pytest.mark.parametrize(
    "auth",
    [
        {"weights_and_biases_auth": types.WeightsAndBiasesAuth(api_key="key", server_url="https://wandb.example")},
        {"core_weave_auth": types.CoreWeaveAuth()},
    ],
)
async def test_a_gateway_with_a_key_can_be_changed_when_its_auth_is_given(kind: str, auth: dict[str, Any]) -> None:
    async with told(kind, reading(with_wandb)) as (client, peer):
        await client.gateways.modify("some-id", **auth)
    ((name, value),) = auth.items()
    assert peer.received[1].request.WhichOneof("auth") == name
    assert getattr(peer.received[1].request, name) == value


async def test_the_write_is_not_repeated(kind: str) -> None:
    def answer(received: Received) -> Any:
        return (
            by_sample()(received)
            if received.method.name == "GetGateway"
            else Raw(http(503, b"", {"connection": "close"}))
        )

    async with told(kind, answer, clock=FakeClock().clock) as (client, peer):
        with pytest.raises(errors.Unavailable):
            await client.gateways.modify("some-id", name="other")
    assert [each.method.name for each in peer.received] == ["GetGateway", "UpdateGateway"]


async def test_read_and_write_share_one_timeout(kind: str) -> None:
    clock = FakeClock()

    def answer(received: Received) -> Any:
        clock.now += 20
        return by_sample()(received)

    async with told(kind, answer, clock=clock.clock) as (client, peer):
        with pytest.raises(errors.DeadlineExceeded):
            await client.gateways.modify("some-id", name="other", timeout=20)
    assert [each.method.name for each in peer.received][:1] == ["GetGateway"]
    assert len(peer.received) <= 2

"""What arrives at the server is what was asked for, and what comes back is the resource."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from cwinference import types
from cwinference._wire.methods import Method
from tests.support import samples
from tests.support.connected_client import told
from tests.support.scripted_server import Received

RESOURCES = {"Gateway": "gateways", "Deployment": "deployments", "CapacityClaim": "capacity_claims"}
LISTS = ("gateways", "deployments", "capacity_claims")
BINARY = [
    name for name in samples.names("request") if not samples.method_of(name).travels_as_json(samples.request(name))
]


def answer_by_sample(received: Received) -> Message:
    return samples.response_to(received.method)


def called_by(method: Method) -> tuple[str, str]:
    """Resource and name of the facade's method: `ListGateways` is `gateways.list`."""
    resource = next(key for key in RESOURCES if method.service.endswith(f"{key}Service"))
    rest = method.name.replace(f"{resource}s", "").replace(resource, "")
    return RESOURCES[resource], {"GetParameters": "parameters"}.get(rest, rest.lower())


def fields(message: Message) -> dict[str, Any]:
    return {descriptor.name: value for descriptor, value in message.ListFields()}


def only_resource(response: Message) -> object:
    """The resource inside its wrapper; parameters as they are; lists as lists."""
    values: list[Any] = list(fields(response).values())
    return values[0] if len(values) == 1 and not response.DESCRIPTOR.name.endswith("ParametersResponse") else response


@pytest.mark.parametrize("name", BINARY)
async def test_every_method_sends_its_request_and_gives_the_resource(kind: str, name: str) -> None:
    method, request = samples.method_of(name), samples.request(name)
    resource, call = called_by(method)
    async with told(kind, answer_by_sample) as (client, peer):
        result = await getattr(getattr(client, resource), call)(**fields(request))
    assert peer.received[0].method is method
    assert peer.received[0].request == request
    assert result == only_resource(samples.response_to(method))


@pytest.mark.parametrize("resource", LISTS)
async def test_updated_after_keeps_its_nanoseconds(kind: str, resource: str) -> None:
    moment = Timestamp(seconds=1_790_000_000, nanos=123_456_789)
    async with told(kind, answer_by_sample) as (client, peer):
        await getattr(client, resource).list(updated_after=moment)
    assert peer.received[0].request.updated_after == moment


async def test_updated_after_is_the_same_moment_in_every_time_zone(kind: str) -> None:
    moment = datetime(2026, 11, 24, 15, 30, 0, 250_000, tzinfo=UTC)
    async with told(kind, answer_by_sample) as (client, peer):
        await client.gateways.list(updated_after=moment)
        await client.gateways.list(updated_after=moment.astimezone(timezone(timedelta(hours=-7))))
    first, second = (each.request.updated_after for each in peer.received)
    assert first == second
    assert first.ToDatetime(UTC) == moment


async def test_a_list_without_a_filter_sends_none(kind: str) -> None:
    async with told(kind, answer_by_sample) as (client, peer):
        await client.deployments.list()
    assert peer.received[0].request == types.ListDeploymentsRequest()


async def test_an_id_with_odd_characters_arrives_as_it_was(kind: str) -> None:
    odd = "a/b c%2F?x=1&y#ü"
    async with told(kind, answer_by_sample) as (client, peer):
        await client.gateways.get(odd)
    assert peer.received[0].request.id == odd


async def test_a_create_carries_an_id_of_its_own_each_time(kind: str) -> None:
    async with told(kind, answer_by_sample) as (client, peer):
        for _ in range(2):
            await client.gateways.create("front", core_weave_auth=types.CoreWeaveAuth())
    first, second = (each.request.id for each in peer.received)
    assert first
    assert first != second


async def test_an_empty_member_of_a_oneof_arrives_as_set(kind: str) -> None:
    async with told(kind, answer_by_sample) as (client, peer):
        await client.gateways.create("front", core_weave_auth=types.CoreWeaveAuth())
    assert peer.received[0].request.HasField("core_weave_auth")


async def test_an_empty_list_is_an_empty_sequence(kind: str) -> None:
    async with told(kind, lambda received: received.method.response()) as (client, _):
        assert list(await client.gateways.list()) == []


async def test_the_token_and_the_library_are_named_in_every_request(kind: str) -> None:
    async with told(kind, answer_by_sample) as (client, peer):
        await client.gateways.parameters()
    headers = peer.received[0].headers
    assert headers["authorization"] == "Bearer CW-SECRET-of-the-tests"
    assert headers["user-agent"].startswith("cwinference/")


@pytest.mark.parametrize("limit", [5.0, None])
async def test_the_time_left_is_told_to_the_server_where_the_protocol_can(kind: str, limit: float | None) -> None:
    async with told(kind, answer_by_sample) as (client, peer):
        await client.gateways.get("x", timeout=limit)
    told_limit = peer.received[0].limit
    if limit is None or kind.startswith("rest"):
        assert told_limit is None
    else:
        assert told_limit == pytest.approx(limit, abs=1)

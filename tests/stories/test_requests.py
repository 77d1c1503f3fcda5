"""The server receives the arguments of a call, and the call returns the resource of the response."""

import inspect
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from cwinference import types
from tests.support import samples
from tests.support.connected_client import connected
from tests.support.scripted_server import ReceivedRequest
from tools.docs.declarations import groups, sender_of

LISTS = ("gateways", "deployments", "capacity_claims")
BINARY = [
    name for name in samples.names("request") if not samples.method_of(name).travels_as_json(samples.request(name))
]


def by_sample(received: ReceivedRequest) -> Message:
    return samples.response_to(received.method)


def fields(message: Message) -> dict[str, Any]:
    return {descriptor.name: value for descriptor, value in message.ListFields()}


def result_of(call: Any, response: Message) -> object:
    """Return what a method declares to return: the response itself, or the resource or the list that it contains."""
    if type(response).__name__ in str(inspect.signature(call).return_annotation):
        return response
    [value] = fields(response).values()
    return value


@pytest.mark.parametrize("name", BINARY)
async def test_every_method_sends_its_request_and_returns_the_resource(kind: str, name: str) -> None:
    method, request = samples.method_of(name), samples.request(name)
    group, sender = sender_of(method)
    async with connected(kind, by_sample) as (client, server):
        result = await getattr(getattr(client, group), sender)(**fields(request))
    assert server.received[0].method is method
    assert server.received[0].request == request
    assert result == result_of(getattr(groups()[group], sender), samples.response_to(method))


@pytest.mark.parametrize("resource", LISTS)
async def test_updated_after_keeps_its_nanoseconds(kind: str, resource: str) -> None:
    moment = Timestamp(seconds=1_790_000_000, nanos=123_456_789)
    async with connected(kind, by_sample) as (client, server):
        await getattr(client, resource).list(updated_after=moment)
    assert server.received[0].request.updated_after == moment


async def test_updated_after_is_the_same_moment_in_every_time_zone(kind: str) -> None:
    moment = datetime(2026, 11, 24, 15, 30, 0, 250_000, tzinfo=UTC)
    async with connected(kind, by_sample) as (client, server):
        await client.gateways.list(updated_after=moment)
        await client.gateways.list(updated_after=moment.astimezone(timezone(timedelta(hours=-7))))
    first, second = (each.request.updated_after for each in server.received)
    assert first == second
    assert first.ToDatetime(UTC) == moment


async def test_a_list_without_a_filter_sends_none(kind: str) -> None:
    async with connected(kind, by_sample) as (client, server):
        await client.deployments.list()
    assert server.received[0].request == types.ListDeploymentsRequest()


async def test_an_id_with_odd_characters_is_received_unchanged(kind: str) -> None:
    odd = "a/b c%2F?x=1&y#ü"
    async with connected(kind, by_sample) as (client, server):
        await client.gateways.get(odd)
    assert server.received[0].request.id == odd


async def test_each_create_has_a_new_id(kind: str) -> None:
    async with connected(kind, by_sample) as (client, server):
        for _ in range(2):
            await client.gateways.create("front", core_weave_auth=types.CoreWeaveAuth())
    first, second = (each.request.id for each in server.received)
    assert first
    assert first != second


async def test_an_empty_member_of_a_oneof_is_received_as_set(kind: str) -> None:
    async with connected(kind, by_sample) as (client, server):
        await client.gateways.create("front", core_weave_auth=types.CoreWeaveAuth())
    assert server.received[0].request.HasField("core_weave_auth")


async def test_an_empty_list_is_an_empty_sequence(kind: str) -> None:
    async with connected(kind, lambda received: received.method.response()) as (client, _):
        assert list(await client.gateways.list()) == []


async def test_every_request_has_the_token_and_names_the_library(kind: str) -> None:
    async with connected(kind, by_sample) as (client, server):
        await client.gateways.parameters()
    headers = server.received[0].headers
    assert headers["authorization"] == "Bearer CW-SECRET-of-the-tests"
    assert headers["user-agent"].startswith("cwinference/")


@pytest.mark.parametrize("timeout", [5.0, None])
async def test_the_timeout_is_sent_to_the_server_if_the_protocol_can(kind: str, timeout: float | None) -> None:
    async with connected(kind, by_sample) as (client, server):
        await client.gateways.get("x", timeout=timeout)
    sent = server.received[0].timeout
    if timeout is None or kind.startswith("rest"):
        assert sent is None
    else:
        assert sent == pytest.approx(timeout, abs=1)


async def test_the_server_gets_the_timeout_of_each_call(kind: str) -> None:
    timeouts = [400.0, 200.0, 200.0, None, 400.0]
    async with connected(kind, by_sample) as (client, server):
        for timeout in timeouts:
            await client.gateways.get("some-id", timeout=timeout)
    sent = [each.timeout and round(each.timeout, -2) for each in server.received]  # what is left of it, over gRPC
    assert sent == ([None] * 5 if kind.startswith("rest") else timeouts)

"""What is retried and what is not, seen from the server."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2

from cwinference import AsyncClient, Retry, errors, types
from cwinference._calls.clock import Clock
from tests.support import samples
from tests.support.connected_client import connected
from tests.support.scripted_server import Failure, ReceivedRequest, Responder

AT_ONCE = Retry(initial_backoff=0)
DOWN = Failure("unavailable", "down")
Do = Callable[[AsyncClient], Any]


def failing_first(times: int, failure: Failure = DOWN) -> Responder:
    """Return a responder that sends so many failures, then the samples."""
    remaining = [failure] * times

    def respond(received: ReceivedRequest) -> Message | Failure:
        return remaining.pop() if remaining else samples.response_to(received.method)

    return respond


def get(client: AsyncClient) -> Any:
    return client.gateways.get("x")


def create(client: AsyncClient) -> Any:
    return client.gateways.create("primary-gateway", core_weave_auth=types.CoreWeaveAuth())


def update(client: AsyncClient) -> Any:
    return client.gateways.update("x", name="front")


def delete(client: AsyncClient) -> Any:
    return client.gateways.delete("x")


@pytest.mark.parametrize("do", [get, create, delete])
async def test_reads_creates_and_deletes_are_retried(kind: str, do: Do) -> None:
    async with connected(kind, failing_first(2), retry=AT_ONCE) as (client, server):
        await do(client)
    assert len(server.received) == 3
    assert server.received[0].request == server.received[2].request


async def test_an_update_is_not_retried(kind: str) -> None:
    async with connected(kind, failing_first(1), retry=AT_ONCE) as (client, server):
        with pytest.raises(errors.Unavailable) as caught:
            await update(client)
    assert len(server.received) == 1
    assert caught.value.attempts == 1


async def test_the_last_error_says_how_many_times_the_call_was_sent(kind: str) -> None:
    async with connected(kind, failing_first(9), retry=Retry(max_attempts=3, initial_backoff=0)) as (client, server):
        with pytest.raises(errors.Unavailable) as caught:
            await get(client)
    assert caught.value.attempts == len(server.received) == 3
    assert "after 3 attempts" in str(caught.value)


async def test_without_retry_settings_a_call_is_sent_once(kind: str) -> None:
    async with connected(kind, failing_first(1), retry=None) as (client, server):
        with pytest.raises(errors.Unavailable):
            await get(client)
    assert len(server.received) == 1


async def test_a_call_may_have_its_own_retry_settings(kind: str) -> None:
    async with connected(kind, failing_first(1), retry=None) as (client, server):
        await client.gateways.get("x", retry=AT_ONCE)
        assert len(server.received) == 2


async def test_a_create_whose_response_was_lost_returns_the_created_resource(kind: str) -> None:
    created: list[types.Gateway] = []

    def respond(received: ReceivedRequest) -> Message | Failure:
        if received.method.name == "GetGateway":
            return types.GetGatewayResponse(gateway=created[0])
        if created:
            return Failure("already_exists", "the id is taken")
        created.append(types.Gateway(spec=types.GatewaySpec(id=received.request.id, name=received.request.name)))
        return DOWN

    async with connected(kind, respond, retry=AT_ONCE) as (client, _):
        assert await create(client) == created[0]


async def test_a_taken_name_is_not_mistaken_for_a_lost_response(kind: str) -> None:
    async with connected(kind, lambda _: Failure("already_exists", "the name is taken"), retry=AT_ONCE) as (
        client,
        server,
    ):
        with pytest.raises(errors.AlreadyExists):
            await create(client)
    assert len(server.received) == 1


async def test_not_found_is_a_success_of_a_retried_delete(kind: str) -> None:
    failures = [Failure("not_found", "gone"), DOWN]
    async with connected(kind, lambda _: failures.pop(), retry=AT_ONCE) as (client, _):
        assert await delete(client) is None


async def test_a_delete_whose_response_has_no_resource_is_a_success(kind: str) -> None:
    empty: list[Message] = [
        types.DeleteGatewayResponse(), types.DeleteDeploymentResponse(), types.DeleteCapacityClaimResponse()
    ]  # fmt: skip
    async with connected(kind, lambda _: empty.pop(0)) as (client, _):
        for resources in (client.gateways, client.deployments, client.capacity_claims):
            assert await resources.delete("x") is None


async def test_a_delete_of_something_that_never_existed_is_not_found(kind: str) -> None:
    async with connected(kind, lambda _: Failure("not_found", "no such gateway"), retry=AT_ONCE) as (client, _):
        with pytest.raises(errors.NotFound):
            await delete(client)


PUSHBACK = {"grpc-retry-pushback-ms": "3000"}
AFTER = {"retry-after": "3"}
AT = {"retry-after": "Wed, 21 Oct 2026 07:28:03 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}


@pytest.mark.parametrize("form", ["details", "header", "date"])
async def test_a_delay_requested_by_the_server_is_honored(kind: str, form: str) -> None:
    delay = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=3))
    header = PUSHBACK if kind.startswith("grpc") else AT if form == "date" else AFTER
    how: dict[str, Any] = {"details": [delay]} if form == "details" else {"headers": header}
    failure = Failure("resource_exhausted", "slow down", **how)
    slept: list[float] = []
    async with connected(kind, failing_first(1, failure), clock=recording(slept)) as (client, _):
        await get(client)
    assert slept == [3.0]


async def test_a_delay_above_the_maximum_ends_the_call(kind: str) -> None:
    delay = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=31))
    failure = Failure("unavailable", "later", [delay])
    async with connected(kind, failing_first(1, failure), timeout=None) as (client, server):
        with pytest.raises(errors.Unavailable):
            await get(client)
    assert len(server.received) == 1


@pytest.mark.parametrize("pushback", ["-1", "-9999", "never"])
async def test_a_grpc_server_may_forbid_retries(pushback: str) -> None:
    for kind in ("grpc-sync", "grpc-async"):
        failure = Failure("unavailable", "enough", headers={"grpc-retry-pushback-ms": pushback})
        async with connected(kind, failing_first(1, failure), retry=AT_ONCE) as (client, server):
            with pytest.raises(errors.Unavailable):
                await get(client)
        assert len(server.received) == 1


async def test_an_exhausted_resource_is_not_retried_without_a_requested_delay(kind: str) -> None:
    async with connected(kind, failing_first(1, Failure("resource_exhausted", "quota")), retry=AT_ONCE) as (
        client,
        server,
    ):
        with pytest.raises(errors.ResourceExhausted):
            await get(client)
    assert len(server.received) == 1


async def test_a_refused_token_is_replaced_once(kind: str) -> None:
    tokens = iter(["old", "new"])
    old = "Bearer old"

    def respond(received: ReceivedRequest) -> Message | Failure:
        refused = received.headers["authorization"] == old
        return Failure("unauthenticated", "expired") if refused else samples.response_to(received.method)

    async with connected(kind, respond, token=lambda: next(tokens)) as (client, server):
        await update(client)
    assert [each.headers["authorization"] for each in server.received] == [old, "Bearer new"]


async def test_a_call_fails_if_the_refreshed_token_is_the_refused_one(kind: str) -> None:
    async with connected(kind, lambda _: Failure("unauthenticated", "no"), token=lambda: "same") as (client, server):
        with pytest.raises(errors.Unauthenticated):
            await get(client)
    assert len(server.received) == 1


async def test_every_call_is_reported_to_on_call_once(kind: str) -> None:
    calls: list[tuple[str, str, int, float]] = []
    async with connected(kind, failing_first(1), retry=AT_ONCE, on_call=lambda *call: calls.append(call)) as (
        client,
        _,
    ):
        await get(client)
        with pytest.raises(errors.ConfigurationError):
            await client.gateways.get("")
    assert [call[:3] for call in calls] == [("GetGateway", "ok", 2)]


def recording(slept: list[float]) -> Clock:
    """Return a clock whose sleep only records for how long."""

    async def sleep_async(seconds: float) -> None:
        slept.append(seconds)

    return Clock(sleep=slept.append, sleep_async=sleep_async)

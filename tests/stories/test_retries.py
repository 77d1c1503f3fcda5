"""What is repeated and what is not, seen from the server."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2

from cwinference import AsyncClient, Retry, errors, types
from cwinference._calls.flow import Clock
from tests.support import samples
from tests.support.connected_client import told
from tests.support.scripted_server import Answer, Failure, Received

AT_ONCE = Retry(initial_backoff=0)
DOWN = Failure("unavailable", "down")
Do = Callable[[AsyncClient], Any]


def failing_first(times: int, failure: Failure = DOWN) -> Answer:
    """Fail so many times, then answer by the samples."""
    left = [failure] * times

    def answer(received: Received) -> Message | Failure:
        return left.pop() if left else samples.response_to(received.method)

    return answer


def get(client: AsyncClient) -> Any:
    return client.gateways.get("x")


def create(client: AsyncClient) -> Any:
    return client.gateways.create("primary-gateway", core_weave_auth=types.CoreWeaveAuth())


def update(client: AsyncClient) -> Any:
    return client.gateways.update("x", name="front")


def delete(client: AsyncClient) -> Any:
    return client.gateways.delete("x")


@pytest.mark.parametrize("do", [get, create, delete])
async def test_reads_creates_and_deletes_are_repeated(kind: str, do: Do) -> None:
    async with told(kind, failing_first(2), retry=AT_ONCE) as (client, peer):
        await do(client)
    assert len(peer.received) == 3
    assert peer.received[0].request == peer.received[2].request


async def test_an_update_is_sent_once(kind: str) -> None:
    async with told(kind, failing_first(1), retry=AT_ONCE) as (client, peer):
        with pytest.raises(errors.Unavailable) as caught:
            await update(client)
    assert len(peer.received) == 1
    assert caught.value.attempts == 1


async def test_the_last_error_tells_how_often_it_was_sent(kind: str) -> None:
    async with told(kind, failing_first(9), retry=Retry(max_attempts=3, initial_backoff=0)) as (client, peer):
        with pytest.raises(errors.Unavailable) as caught:
            await get(client)
    assert caught.value.attempts == len(peer.received) == 3
    assert "after 3 attempts" in str(caught.value)


async def test_no_retry_means_once(kind: str) -> None:
    async with told(kind, failing_first(1), retry=None) as (client, peer):
        with pytest.raises(errors.Unavailable):
            await get(client)
    assert len(peer.received) == 1


async def test_a_call_may_have_its_own_retry(kind: str) -> None:
    async with told(kind, failing_first(1), retry=None) as (client, peer):
        await client.gateways.get("x", retry=AT_ONCE)
        assert len(peer.received) == 2


async def test_a_create_that_was_lost_after_it_was_done_is_found_again(kind: str) -> None:
    made: list[types.Gateway] = []

    def answer(received: Received) -> Message | Failure:
        if received.method.name == "GetGateway":
            return types.GetGatewayResponse(gateway=made[0])
        if made:
            return Failure("already_exists", "the id is taken")
        made.append(types.Gateway(spec=types.GatewaySpec(id=received.request.id, name=received.request.name)))
        return DOWN

    async with told(kind, answer, retry=AT_ONCE) as (client, _):
        assert await create(client) == made[0]


async def test_a_name_that_is_taken_is_not_mistaken_for_a_lost_create(kind: str) -> None:
    async with told(kind, lambda _: Failure("already_exists", "the name is taken"), retry=AT_ONCE) as (client, peer):
        with pytest.raises(errors.AlreadyExists):
            await create(client)
    assert len(peer.received) == 1


async def test_a_repeated_delete_that_finds_nothing_left_is_a_success(kind: str) -> None:
    answers = [Failure("not_found", "gone"), DOWN]
    async with told(kind, lambda _: answers.pop(), retry=AT_ONCE) as (client, _):
        assert await delete(client) is None


async def test_a_delete_that_tells_no_last_state_is_a_success(kind: str) -> None:
    empty: list[Message] = [
        types.DeleteGatewayResponse(), types.DeleteDeploymentResponse(), types.DeleteCapacityClaimResponse()
    ]  # fmt: skip
    async with told(kind, lambda _: empty.pop(0)) as (client, _):
        for resources in (client.gateways, client.deployments, client.capacity_claims):
            assert await resources.delete("x") is None


async def test_a_delete_of_what_never_was_is_not_found(kind: str) -> None:
    async with told(kind, lambda _: Failure("not_found", "no such gateway"), retry=AT_ONCE) as (client, _):
        with pytest.raises(errors.NotFound):
            await delete(client)


PUSHBACK = {"grpc-retry-pushback-ms": "3000"}
AFTER = {"retry-after": "3"}
AT = {"retry-after": "Wed, 21 Oct 2026 07:28:03 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}


@pytest.mark.parametrize("hint", ["details", "header", "date"])
async def test_a_servers_delay_is_obeyed(kind: str, hint: str) -> None:
    delay = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=3))
    header = PUSHBACK if kind.startswith("grpc") else AT if hint == "date" else AFTER
    hinted: dict[str, Any] = {"details": [delay]} if hint == "details" else {"headers": header}
    failure = Failure("resource_exhausted", "slow down", **hinted)
    slept: list[float] = []
    async with told(kind, failing_first(1, failure), clock=noting(slept)) as (client, _):
        await get(client)
    assert slept == [3.0]


async def test_a_delay_beyond_the_ceiling_ends_the_call(kind: str) -> None:
    delay = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=31))
    failure = Failure("unavailable", "later", [delay])
    async with told(kind, failing_first(1, failure), timeout=None) as (client, peer):
        with pytest.raises(errors.Unavailable):
            await get(client)
    assert len(peer.received) == 1


@pytest.mark.parametrize("veto", ["-1", "-9999", "never"])
async def test_a_server_of_grpc_may_forbid_repeats(veto: str) -> None:
    for kind in ("grpc-sync", "grpc-async"):
        failure = Failure("unavailable", "enough", headers={"grpc-retry-pushback-ms": veto})
        async with told(kind, failing_first(1, failure), retry=AT_ONCE) as (client, peer):
            with pytest.raises(errors.Unavailable):
                await get(client)
        assert len(peer.received) == 1


async def test_a_quota_without_a_delay_is_not_asked_again(kind: str) -> None:
    async with told(kind, failing_first(1, Failure("resource_exhausted", "quota")), retry=AT_ONCE) as (client, peer):
        with pytest.raises(errors.ResourceExhausted):
            await get(client)
    assert len(peer.received) == 1


async def test_a_refused_token_is_replaced_once(kind: str) -> None:
    tokens = iter(["old", "new"])
    old = "Bearer old"

    def answer(received: Received) -> Message | Failure:
        refused = received.headers["authorization"] == old
        return Failure("unauthenticated", "expired") if refused else samples.response_to(received.method)

    async with told(kind, answer, token=lambda: next(tokens)) as (client, peer):
        await update(client)
    assert [each.headers["authorization"] for each in peer.received] == [old, "Bearer new"]


async def test_a_token_that_stays_refused_is_unauthenticated(kind: str) -> None:
    async with told(kind, lambda _: Failure("unauthenticated", "no"), token=lambda: "same") as (client, peer):
        with pytest.raises(errors.Unauthenticated):
            await get(client)
    assert len(peer.received) == 1


async def test_every_call_is_counted_once_for_metrics(kind: str) -> None:
    calls: list[tuple[str, str, int, float]] = []
    async with told(kind, failing_first(1), retry=AT_ONCE, on_call=lambda *call: calls.append(call)) as (client, _):
        await get(client)
        with pytest.raises(errors.ConfigurationError):
            await client.gateways.get("")
    assert [call[:3] for call in calls] == [("GetGateway", "ok", 2)]


def noting(slept: list[float]) -> Clock:
    """A clock whose sleep only notes for how long."""

    async def sleep_async(seconds: float) -> None:
        slept.append(seconds)

    return Clock(sleep=slept.append, sleep_async=sleep_async)

"""Waiting for a resource, as the caller sees it; the flows themselves are tested in `unit/test_waits.py`."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from cwinference import AsyncClient, State, errors, types
from tests.support.connected_client import connected
from tests.support.fake_clock import FakeClock
from tests.support.scripted_server import Failure, ReceivedRequest, Responder, containing

DOWN = Failure("unavailable", "down")
GONE = Failure("not_found", "gone")


def status(state: str, updated: int = 100, **more: Any) -> dict[str, Any]:
    return {"status": f"STATUS_{state}", "updated_at": Timestamp(seconds=updated), **more}


def gateway(state: str, updated: int = 100, **more: Any) -> types.Gateway:
    reported: Any = status(state, updated, **more)
    return types.Gateway(spec=types.GatewaySpec(id="some-id", name="front"), status=reported)


def deployment(state: str, applied: bool, *, disabled: bool) -> types.Deployment:
    condition = {"type": "ResourcesApplied", "status": "STATUS_TRUE" if applied else "STATUS_FALSE"}
    reported: Any = status(state, conditions=[condition])
    return types.Deployment(spec=types.DeploymentSpec(id="some-id", disabled=disabled), status=reported)


def claim(state: str) -> types.CapacityClaim:
    reported: Any = status(state)
    return types.CapacityClaim(spec=types.CapacityClaimSpec(id="some-id", name="claim"), status=reported)


def returning(*resources: Message | Failure) -> Responder:
    """Return a responder that sends these one after the other, then always the last one."""
    remaining = list(resources)

    def respond(received: ReceivedRequest) -> Message | Failure:
        found = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        return found if isinstance(found, Failure) else containing(received.method, found)

    return respond


async def wait(client: AsyncClient, resource: Message, **how: Any) -> Any:
    kind = {"Gateway": "gateways", "Deployment": "deployments", "CapacityClaim": "capacity_claims"}
    return await getattr(client, kind[resource.DESCRIPTOR.name]).wait("some-id", **how)


def patient(kind: str, *resources: Message | Failure, **settings: Any) -> Any:
    """Open a client whose waits take no time, and a server that returns these resources one after the other."""
    return connected(kind, returning(*resources), clock=FakeClock().clock, **settings)


@pytest.mark.parametrize("made", [gateway, claim])
async def test_a_wait_ends_when_the_resource_is_ready(kind: str, made: Callable[[str], Message]) -> None:
    async with patient(kind, made("CREATING"), made("UPDATING"), made("READY")) as (client, server):
        found = await wait(client, made("READY"))
    assert State.of(found) is State.READY
    assert len(server.received) == 3


async def test_a_failed_resource_ends_the_wait_with_its_unmet_conditions(kind: str) -> None:
    unmet = {"type": "Ready", "status": "STATUS_FALSE", "reason": "NoCapacity", "message": "zone is full"}
    failed = gateway("FAILED", conditions=[unmet])
    async with patient(kind, gateway("CREATING"), failed) as (client, _):
        with pytest.raises(
            errors.ResourceFailed, match=r"Gateway front is FAILED .*NoCapacity.*zone is full"
        ) as caught:
            await client.gateways.wait("some-id")
    assert caught.value.resource == failed


async def test_a_resource_that_is_being_deleted_ends_the_wait(kind: str) -> None:
    async with patient(kind, gateway("READY"), gateway("DELETING")) as (client, _):
        with pytest.raises(errors.ResourceFailed, match="DELETING"):
            await client.gateways.wait("some-id", after=gateway("UPDATING"))


async def test_a_wait_continues_through_transient_errors(kind: str) -> None:
    polled: list[Any] = [
        gateway("CREATING"),
        gateway("ERROR"),
        DOWN,
        Failure("resource_exhausted", "busy"),
        gateway("READY"),
    ]
    async with patient(kind, *polled, retry=None) as (client, server):
        assert State.of(await client.gateways.wait("some-id")) is State.READY
    assert len(server.received) == 5


async def test_waiting_for_a_missing_resource_raises_not_found(kind: str) -> None:
    async with patient(kind, GONE) as (client, _):
        with pytest.raises(errors.NotFound):
            await client.gateways.wait("some-id")


async def test_a_wait_times_out(kind: str) -> None:
    async with patient(kind, gateway("CREATING")) as (client, server):
        with pytest.raises(errors.WaitTimeout, match="not ready after 5 s; Gateway front: CREATING") as caught:
            await client.gateways.wait("some-id", timeout=5)
    assert caught.value.resource == gateway("CREATING")
    assert len(server.received) > 5


@pytest.mark.parametrize("verb", ["create", "update", "modify"])
async def test_a_timeout_given_with_wait_covers_the_wait_too(kind: str, verb: str) -> None:
    clock = FakeClock()
    arguments: dict[str, Any] = {"name": "front", "wait": True, "timeout": 5}
    if verb != "create":
        arguments["id"] = "some-id"
    async with connected(kind, returning(gateway("CREATING")), clock=clock.clock) as (client, _):
        with pytest.raises(errors.WaitTimeout, match="Gateway front: CREATING"):
            await getattr(client.gateways, verb)(**arguments)
    assert sum(clock.slept) <= 5


async def test_ready_from_before_an_update_does_not_count(kind: str) -> None:
    stale, fresh = gateway("READY", updated=100), gateway("READY", updated=101)
    async with patient(kind, stale, stale, fresh) as (client, server):
        assert await client.gateways.wait("some-id", after=stale) == fresh
    assert len(server.received) == 3


async def test_changes_are_passed_to_the_callback(kind: str) -> None:
    seen: list[str] = []
    polled = [gateway("CREATING"), gateway("CREATING"), gateway("ERROR"), gateway("READY")]
    async with patient(kind, *polled) as (client, _):
        await client.gateways.wait("some-id", on_change=lambda each: seen.append(State.of(each).name))
    assert seen == ["CREATING", "ERROR", "READY"]


async def test_a_wait_for_a_disabled_deployment_ends_by_its_condition(kind: str) -> None:
    last = deployment("UPDATING", applied=True, disabled=True)
    async with patient(kind, deployment("UPDATING", applied=False, disabled=True), last) as (client, server):
        assert await client.deployments.wait("some-id") == last
    assert len(server.received) == 2


async def test_a_wait_for_an_enabled_deployment_ends_by_its_status(kind: str) -> None:
    ready = deployment("READY", applied=True, disabled=False)
    async with patient(kind, deployment("CREATING", applied=True, disabled=False), ready) as (client, _):
        assert await client.deployments.wait("some-id") == ready


async def test_a_wait_for_deletion_ends_when_the_resource_is_not_found(kind: str) -> None:
    async with patient(kind, gateway("READY"), gateway("DELETING"), DOWN, GONE, retry=None) as (client, server):
        assert await client.gateways.wait_deleted("some-id") is None
    assert len(server.received) == 4


async def test_a_wait_for_deletion_times_out(kind: str) -> None:
    async with patient(kind, claim("DELETING")) as (client, _):
        with pytest.raises(TimeoutError, match="not gone after 5 s; CapacityClaim claim: DELETING"):
            await client.capacity_claims.wait_deleted("some-id", timeout=5)


async def test_a_create_can_wait(kind: str) -> None:
    async with patient(kind, gateway("CREATING"), gateway("CREATING"), gateway("READY")) as (client, server):
        made = await client.gateways.create("front", core_weave_auth=types.CoreWeaveAuth(), wait=True)
    assert State.of(made) is State.READY
    assert [each.method.name for each in server.received] == ["CreateGateway", "GetGateway", "GetGateway"]
    assert server.received[1].request.id == "some-id"


async def test_an_update_can_wait_for_the_new_spec(kind: str) -> None:
    stale, fresh = gateway("READY", updated=100), gateway("READY", updated=101)
    async with patient(kind, gateway("UPDATING", updated=100), stale, fresh) as (client, _):
        assert await client.gateways.update("some-id", name="front", wait=True) == fresh


@pytest.mark.parametrize("timeout", [0, -1])
async def test_a_wrong_timeout_is_refused_before_anything_is_sent(kind: str, timeout: float) -> None:
    async with patient(kind, gateway("READY")) as (client, server):
        with pytest.raises(errors.ConfigurationError, match="^timeout:"):
            await client.gateways.wait("some-id", timeout=timeout)
    assert server.received == []


@pytest.mark.parametrize("reading", [None, Failure("permission_denied", "no")])
async def test_an_error_of_the_wait_after_a_create_says_that_the_create_may_have_succeeded(
    kind: str, reading: Failure | None
) -> None:
    clock = FakeClock()

    def respond(received: ReceivedRequest) -> Message | Failure:
        if received.method.name == "GetGateway" and reading is not None:
            return reading
        clock.now += 0 if reading is not None else 20  # the create uses up the timeout
        return types.CreateGatewayResponse(gateway=gateway("CREATING"))

    async with connected(kind, respond, clock=clock.clock) as (client, _):
        with pytest.raises(errors.ApiError) as caught:
            await client.gateways.create(
                "front",
                core_weave_auth=types.CoreWeaveAuth(),
                path_based_routing=types.PathBasedRouting(),
                wait=True,
                timeout=10,
            )
    assert type(caught.value) is (errors.DeadlineExceeded if reading is None else errors.PermissionDenied)
    assert caught.value.may_have_succeeded

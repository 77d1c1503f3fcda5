"""Waiting for what was asked for, seen from the caller; the flows themselves are proved in `unit/test_waits.py`."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from cwinference import AsyncClient, State, errors, types
from tests.support.connected_client import told
from tests.support.fake_clock import FakeClock
from tests.support.scripted_server import Answer, Failure, Received

DOWN = Failure("unavailable", "down")
GONE = Failure("not_found", "gone")


def status(state: str, updated: int = 100, **more: Any) -> dict[str, Any]:
    return {"status": f"STATUS_{state}", "updated_at": Timestamp(seconds=updated), **more}


def gateway(state: str, updated: int = 100, **more: Any) -> types.Gateway:
    known: Any = status(state, updated, **more)
    return types.Gateway(spec=types.GatewaySpec(id="some-id", name="front"), status=known)


def deployment(state: str, applied: bool, *, disabled: bool) -> types.Deployment:
    condition = {"type": "ResourcesApplied", "status": "STATUS_TRUE" if applied else "STATUS_FALSE"}
    known: Any = status(state, conditions=[condition])
    return types.Deployment(spec=types.DeploymentSpec(id="some-id", disabled=disabled), status=known)


def claim(state: str) -> types.CapacityClaim:
    known: Any = status(state)
    return types.CapacityClaim(spec=types.CapacityClaimSpec(id="some-id", name="claim"), status=known)


def showing(*resources: Message | Failure) -> Answer:
    """Show these one after the other; the last one for ever. Writes are answered by the first."""
    left = list(resources)

    def answer(received: Received) -> Message | Failure:
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, Failure):
            return found
        field = received.method.response.DESCRIPTOR.fields[0].name
        reply: Message = received.method.response(**{field: found})
        return reply

    return answer


async def wait(client: AsyncClient, resource: Message, **how: Any) -> Any:
    kind = {"Gateway": "gateways", "Deployment": "deployments", "CapacityClaim": "capacity_claims"}
    return await getattr(client, kind[resource.DESCRIPTOR.name]).wait("some-id", **how)


def patient(kind: str, *resources: Message | Failure, **settings: Any) -> Any:
    """A client whose waits take no time, at a server that shows these resources one after the other."""
    return told(kind, showing(*resources), clock=FakeClock().clock, **settings)


@pytest.mark.parametrize("made", [gateway, claim])
async def test_a_wait_ends_when_ready(kind: str, made: Callable[[str], Message]) -> None:
    async with patient(kind, made("CREATING"), made("UPDATING"), made("READY")) as (client, peer):
        found = await wait(client, made("READY"))
    assert State.of(found) is State.READY
    assert len(peer.received) == 3


async def test_a_failed_one_ends_the_wait_with_its_conditions(kind: str) -> None:
    unmet = {"type": "Ready", "status": "STATUS_FALSE", "reason": "NoCapacity", "message": "zone is full"}
    failed = gateway("FAILED", conditions=[unmet])
    async with patient(kind, gateway("CREATING"), failed) as (client, _):
        with pytest.raises(
            errors.ResourceFailed, match=r"Gateway front is FAILED .*NoCapacity.*zone is full"
        ) as caught:
            await client.gateways.wait("some-id")
    assert caught.value.resource == failed


async def test_one_that_is_being_deleted_ends_the_wait(kind: str) -> None:
    async with patient(kind, gateway("READY"), gateway("DELETING")) as (client, _):
        with pytest.raises(errors.ResourceFailed, match="DELETING"):
            await client.gateways.wait("some-id", after=gateway("UPDATING"))


async def test_errors_that_pass_are_waited_through(kind: str) -> None:
    story: list[Any] = [
        gateway("CREATING"),
        gateway("ERROR"),
        DOWN,
        Failure("resource_exhausted", "busy"),
        gateway("READY"),
    ]
    async with patient(kind, *story, retry=None) as (client, peer):
        assert State.of(await client.gateways.wait("some-id")) is State.READY
    assert len(peer.received) == 5


async def test_one_that_is_not_there_is_not_found(kind: str) -> None:
    async with patient(kind, GONE) as (client, _):
        with pytest.raises(errors.NotFound):
            await client.gateways.wait("some-id")


async def test_a_wait_has_an_end(kind: str) -> None:
    async with patient(kind, gateway("CREATING")) as (client, peer):
        with pytest.raises(errors.WaitTimeout, match="not ready after 5 s; Gateway front: CREATING") as caught:
            await client.gateways.wait("some-id", timeout=5)
    assert caught.value.resource == gateway("CREATING")
    assert len(peer.received) > 5


@pytest.mark.parametrize("verb", ["create", "update", "modify"])
async def test_a_timeout_beside_wait_holds_for_the_wait_too(kind: str, verb: str) -> None:
    clock = FakeClock()
    arguments: dict[str, Any] = {"name": "front", "wait": True, "timeout": 5}
    if verb != "create":
        arguments["id"] = "some-id"
    async with told(kind, showing(gateway("CREATING")), clock=clock.clock) as (client, _):
        with pytest.raises(errors.WaitTimeout, match="Gateway front: CREATING"):
            await getattr(client.gateways, verb)(**arguments)
    assert sum(clock.slept) <= 5


async def test_after_an_update_an_old_ready_does_not_count(kind: str) -> None:
    stale, fresh = gateway("READY", updated=100), gateway("READY", updated=101)
    async with patient(kind, stale, stale, fresh) as (client, peer):
        assert await client.gateways.wait("some-id", after=stale) == fresh
    assert len(peer.received) == 3


async def test_changes_are_told(kind: str) -> None:
    seen: list[str] = []
    story = [gateway("CREATING"), gateway("CREATING"), gateway("ERROR"), gateway("READY")]
    async with patient(kind, *story) as (client, _):
        await client.gateways.wait("some-id", on_change=lambda each: seen.append(State.of(each).name))
    assert seen == ["CREATING", "ERROR", "READY"]


async def test_a_disabled_deployment_is_awaited_by_its_condition(kind: str) -> None:
    last = deployment("UPDATING", applied=True, disabled=True)
    async with patient(kind, deployment("UPDATING", applied=False, disabled=True), last) as (client, peer):
        assert await client.deployments.wait("some-id") == last
    assert len(peer.received) == 2


async def test_an_enabled_deployment_is_awaited_by_its_status(kind: str) -> None:
    ready = deployment("READY", applied=True, disabled=False)
    async with patient(kind, deployment("CREATING", applied=True, disabled=False), ready) as (client, _):
        assert await client.deployments.wait("some-id") == ready


async def test_a_wait_for_the_end_ends_when_nothing_is_left(kind: str) -> None:
    async with patient(kind, gateway("READY"), gateway("DELETING"), DOWN, GONE, retry=None) as (client, peer):
        assert await client.gateways.wait_deleted("some-id") is None
    assert len(peer.received) == 4


async def test_a_wait_for_the_end_has_an_end_too(kind: str) -> None:
    async with patient(kind, claim("DELETING")) as (client, _):
        with pytest.raises(TimeoutError, match="not gone after 5 s; CapacityClaim claim: DELETING"):
            await client.capacity_claims.wait_deleted("some-id", timeout=5)


async def test_a_create_can_wait(kind: str) -> None:
    async with patient(kind, gateway("CREATING"), gateway("CREATING"), gateway("READY")) as (client, peer):
        made = await client.gateways.create("front", core_weave_auth=types.CoreWeaveAuth(), wait=True)
    assert State.of(made) is State.READY
    assert [each.method.name for each in peer.received] == ["CreateGateway", "GetGateway", "GetGateway"]
    assert peer.received[1].request.id == "some-id"


async def test_an_update_can_wait_for_the_new_spec(kind: str) -> None:
    stale, fresh = gateway("READY", updated=100), gateway("READY", updated=101)
    async with patient(kind, gateway("UPDATING", updated=100), stale, fresh) as (client, _):
        assert await client.gateways.update("some-id", name="front", wait=True) == fresh


@pytest.mark.parametrize("timeout", [0, -1])
async def test_a_wrong_timeout_is_refused_before_a_byte_is_sent(kind: str, timeout: float) -> None:
    async with patient(kind, gateway("READY")) as (client, peer):
        with pytest.raises(errors.ConfigurationError, match="^timeout:"):
            await client.gateways.wait("some-id", timeout=timeout)
    assert peer.received == []

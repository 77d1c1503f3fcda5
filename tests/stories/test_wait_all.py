"""Waiting for several resources at once, at the cost of one list per poll."""

from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from cwinference import Client, State, errors, types
from cwinference.emulator import Emulator, EmulatorClock, Fate
from tests.support.client_kinds import open_client
from tests.support.connected_client import connected
from tests.support.fake_clock import FakeClock
from tests.support.scripted_server import Failure, ReceivedRequest, containing
from tests.support.specs import FRONT


async def test_each_is_returned_or_what_went_wrong_with_it(kind: str) -> None:
    with Emulator(ready_after=5, clock=EmulatorClock(running=False)) as emulator:
        clock = FakeClock(on_sleep=emulator.clock.advance).clock
        calls: list[str] = []
        emulator.fates["bad"] = Fate("FAILED", reason="NoCapacity")

        def note(method: str, code: str, attempts: int, seconds: float) -> None:
            calls.append(method)

        async with open_client(kind, emulator.endpoint, emulator.token, clock=clock, on_call=note) as client:
            made = {name: await client.gateways.create(name, **FRONT) for name in ("good", "bad", "other")}
            ids = [made["bad"].spec.id, made["good"].spec.id, "no-such-id", made["other"].spec.id]
            calls.clear()
            seen: list[str] = []
            found = await client.gateways.wait_all(iter(ids), on_change=lambda each: seen.append(each.spec.name))
    assert [*found] == ids
    bad, good, missing, other = found.values()
    assert isinstance(bad, errors.ResourceFailed)
    assert "NoCapacity" in str(bad)
    assert isinstance(missing, errors.NotFound)
    assert (bad.resource_id, missing.resource_id) == (ids[0], "no-such-id")
    assert isinstance(good, types.Gateway)
    assert isinstance(other, types.Gateway)
    assert State.of(good) is State.of(other) is State.READY
    assert set(calls) == {"ListGateways"}
    assert {*seen} == {"good", "bad", "other"}


def gateway(name: str, state: str, updated: int = 100) -> types.Gateway:
    status = types.GatewayStatus(status=types.Status.Value(f"STATUS_{state}"), updated_at=Timestamp(seconds=updated))
    return types.Gateway(spec=types.GatewaySpec(id=name, name=name), status=status)


class Lists:
    """A responder to lists: each gets the next of some responses, further ones the last. Reads find nothing."""

    def __init__(self, *responses: Any) -> None:
        self._responses = [*responses]
        self.calls: list[str] = []

    def __call__(self, received: ReceivedRequest) -> Message | Failure:
        self.calls.append(received.method.name)
        if not received.method.name.startswith("List"):
            return Failure("not_found", "gone")
        found = self._responses.pop(0) if len(self._responses) > 1 else self._responses[0]
        return found if isinstance(found, Failure) else containing(received.method, found)


async def waited(kind: str, lists: Lists, *ids: str, **how: Any) -> list[Any]:
    async with connected(kind, lists, clock=FakeClock().clock, retry=None) as (client, _):
        return [*(await client.gateways.wait_all(ids, **how)).values()]


async def test_there_is_one_list_per_poll_and_failures_that_pass_are_survived(kind: str) -> None:
    ready = [gateway("a", "READY", 101), gateway("b", "READY", 101)]
    lists = Lists([gateway("a", "CREATING"), gateway("b", "CREATING")], Failure("unavailable", "down"), [], ready)
    assert await waited(kind, lists, "a", "b", "a") == ready
    assert lists.calls == ["ListGateways"] * 4


async def test_what_is_not_ready_in_time_has_a_timeout_of_its_own(kind: str) -> None:
    lists = Lists([gateway("a", "READY"), gateway("b", "CREATING")], [])
    ready, late = await waited(kind, lists, "a", "b", timeout=5)
    assert ready == gateway("a", "READY")
    assert isinstance(late, errors.WaitTimeout)
    assert str(late) == "not ready after 5 s; Gateway b: CREATING"


async def test_what_is_created_late_is_awaited_and_what_vanishes_is_not_found(kind: str) -> None:
    a, b = gateway("a", "CREATING"), gateway("b", "READY", 101)
    found = await waited(kind, Lists([a], [a, b], []), "a", "b")
    assert found[1] == b
    assert isinstance(found[0], errors.NotFound)
    assert str(found[0]) == "a is gone [not_found]"


async def test_too_long_in_error_ends_the_wait_for_that_one(kind: str) -> None:
    lists = Lists([gateway("a", "ERROR"), gateway("b", "READY")], [])
    error, ready = await waited(kind, lists, "a", "b", error_after=3)
    assert isinstance(error, errors.ResourceFailed)
    assert ready == gateway("b", "READY")


async def test_failures_of_the_list_that_do_not_pass_are_raised(kind: str) -> None:
    with pytest.raises(errors.PermissionDenied):
        await waited(kind, Lists(Failure("permission_denied", "no")), "a")


async def test_nothing_is_sent_for_no_ids_or_for_wrong_ones(kind: str) -> None:
    lists = Lists([])
    assert await waited(kind, lists) == []
    for wrong in ("an-id", 5, [""], [gateway("a", "READY")]):
        with pytest.raises(errors.ConfigurationError, match=r"^ids"):
            Client("token").deployments.wait_all(wrong)  # type: ignore[arg-type]  # pyright: ignore
    assert lists.calls == []

"""Watching resources change, against the emulator and against servers that misbehave."""

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from cwinference import AsyncClient, Change, Client, State, errors, types
from cwinference.emulator import Behavior, Emulator, EmulatorClock
from tests.support.client_kinds import open_client
from tests.support.connected_client import connected
from tests.support.fake_clock import FakeClock
from tests.support.scripted_server import Failure, ReceivedRequest, containing
from tests.support.specs import FRONT, LLAMA


@pytest.fixture
def emulator() -> Generator[Emulator]:
    """Return an emulator whose time passes only when the client sleeps."""
    with Emulator(behavior=Behavior(ready_after=5), clock=EmulatorClock(running=False)) as running:
        yield running


@pytest.fixture
async def client(kind: str, emulator: Emulator) -> AsyncGenerator[AsyncClient]:
    clock = FakeClock(on_sleep=emulator.clock.advance).clock
    async with open_client(kind, emulator.endpoint, emulator.token, clock=clock) as opened:
        yield opened


@asynccontextmanager
async def watching(watch: Any) -> AsyncGenerator[AsyncIterator[Change[Any]]]:
    """Give the iterator of a watch, of either client, and leave it in good order."""
    changes = aiter(watch)
    yield changes
    close = getattr(changes, "aclose", None) or changes.close
    await close()


async def reported(changes: AsyncIterator[Change[Any]], count: int) -> list[tuple[str, str, str]]:
    """Return kind, type and state of the next changes."""
    found = [await anext(changes) for _ in range(count)]
    return [(each.kind, each.type, State.of(each.resource).name if each.resource else "") for each in found]


async def test_a_watch_shows_what_is_there_then_what_changes(client: AsyncClient) -> None:
    front = await client.gateways.create("front", **FRONT, wait=True)
    async with watching(client.gateways.watch()) as changes:
        first = await anext(changes)
        assert first == Change("gateway", "added", front)
        assert await anext(changes) == Change("gateway", "synced")
        back = await client.gateways.create("back", **FRONT)
        assert await reported(changes, 1) == [("gateway", "added", "CREATING")]
        changed = await anext(changes)
        assert changed.type == "changed"
        assert changed.before == back
        while changed.resource is None or State.of(changed.resource) is not State.READY:
            changed = await anext(changes)
        await client.gateways.delete(back.spec.id)
        assert await reported(changes, 2) == [("gateway", "changed", "DELETING"), ("gateway", "removed", "DELETING")]


async def test_a_watch_of_all_kinds_syncs_each_once(client: AsyncClient) -> None:
    front = await client.gateways.create("front", **FRONT, wait=True)
    await client.deployments.create("llama", gateway_ids=[front.spec.id], **LLAMA, wait=True)
    async with watching(client.watch()) as changes:
        assert await reported(changes, 5) == [
            ("gateway", "added", "READY"),
            ("gateway", "synced", ""),
            ("deployment", "added", "READY"),
            ("deployment", "synced", ""),
            ("capacity_claim", "synced", ""),
        ]
    async with watching(client.watch(kinds=["deployment"])) as changes:
        assert [each[0] for each in await reported(changes, 2)] == ["deployment"] * 2


async def test_a_watch_of_one_gateway_shows_what_comes_and_what_leaves(client: AsyncClient) -> None:
    front, back = [await client.gateways.create(name, **FRONT, wait=True) for name in ("front", "back")]
    llama = await client.deployments.create("llama", gateway_ids=[front.spec.id], **LLAMA, wait=True)
    await client.deployments.create("other", gateway_ids=[back.spec.id], **LLAMA, wait=True)
    async with watching(client.deployments.watch(parent_gateway_id=front.spec.id)) as changes:
        assert [each[1] for each in await reported(changes, 2)] == ["added", "synced"]
        await client.deployments.modify(llama.spec.id, gateway_ids=[back.spec.id])
        gone = await anext(changes)
        assert (gone.type, gone.resource) == ("removed", llama)
        await client.deployments.modify(llama.spec.id, gateway_ids=[front.spec.id, back.spec.id], wait=True)
        assert await reported(changes, 1) == [("deployment", "added", "READY")]


async def test_a_removal_that_nothing_shows_is_found_by_a_full_list(kind: str) -> None:
    with Emulator(clock=EmulatorClock(running=False)) as emulator:  # what is deleted is gone at once
        clock = FakeClock(on_sleep=emulator.clock.advance)
        async with open_client(kind, emulator.endpoint, emulator.token, clock=clock.clock) as client:
            front = await client.gateways.create("front", **FRONT, wait=True)
            async with watching(client.gateways.watch()) as changes:
                assert len(await reported(changes, 2)) == 2
                await client.gateways.delete(front.spec.id)
                await client.gateways.wait_deleted(front.spec.id)
                began = clock.now
                assert await reported(changes, 1) == [("gateway", "removed", "READY")]
                assert clock.now - began < 400


async def test_a_slow_receiver_gets_the_newest_state(client: AsyncClient, emulator: Emulator) -> None:
    made = [await client.gateways.create(name, **FRONT) for name in ("one", "two")]
    async with watching(client.gateways.watch()) as changes:
        assert await reported(changes, 1) == [("gateway", "added", "CREATING")]
        for each in made:
            await client.gateways.wait(each.spec.id)
        assert await reported(changes, 3) == [
            ("gateway", "added", "READY"),
            ("gateway", "synced", ""),
            ("gateway", "changed", "READY"),
        ]


async def test_changes_are_logged_a_line_for_each(client: AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    await client.gateways.create("front", **FRONT, wait=True)
    with caplog.at_level(logging.INFO, "cwinference"):
        async with watching(client.gateways.watch()) as changes:
            await reported(changes, 2)
            back = await client.gateways.create("back", **FRONT)
            await reported(changes, 1)
            await client.gateways.update(back.spec.id, name="back", core_weave_auth={}, path_based_routing={})
            await reported(changes, 1)
            await client.gateways.delete(back.spec.id)
            await reported(changes, 2)
    assert [each.getMessage() for each in caplog.records] == [
        "gateway: 1 found",
        "Gateway back: added, CREATING",
        "Gateway back: CREATING -> UPDATING, spec changed",
        "Gateway back: UPDATING -> DELETING",
        "Gateway back: removed, DELETING",
    ]


async def test_over_an_api_that_fails_at_random_the_view_ends_equal_to_the_servers(
    client: AsyncClient, emulator: Emulator
) -> None:
    for method in ("ListGateways", "GetGateway"):
        emulator.faults.add("error", method=method, code="unavailable", probability=0.4)
    view = dict[str, Any]()
    async with watching(client.gateways.watch(relist=60)) as changes:

        async def follow(count: int) -> None:
            for _ in range(count):
                change = await anext(changes)
                if change.resource is not None:
                    before = view.pop(change.resource.spec.id, None)
                    assert before == change.before
                    assert (before == change.resource) is (change.type == "removed")
                    if change.type != "removed":
                        view[change.resource.spec.id] = change.resource

        await follow(1)
        made = [await client.gateways.create(f"gateway-{number}", **FRONT) for number in range(6)]
        await follow(6)
        for each in made[:3]:
            await client.gateways.delete(each.spec.id)
        while len(view) > 3 or any(State.of(each) is not State.READY for each in view.values()):
            await follow(1)
    emulator.faults.clear()
    assert view == {each.spec.id: each for each in await client.gateways.list()}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"interval": 5}, "interval: expected a pair of positive numbers of seconds"),
        ({"interval": (1,)}, "interval: expected a pair"),
        ({"interval": (0, 5)}, "interval: expected a pair of positive"),
        ({"interval": (1.0, float("nan"))}, "interval: expected a pair of positive"),
        ({"interval": (1.0, float("inf"))}, "interval: expected a pair of positive"),
        ({"interval": ("1", "5")}, "interval: expected a pair of positive"),
        ({"interval": (5, 1)}, "interval: expected the shorter one first"),
        ({"relist": 0}, "relist: expected a positive number"),
        ({"relist": None}, "relist: expected a positive number"),
        ({"relist": float("nan")}, "relist: expected a positive number"),
        ({"on_error": 5}, "on_error: expected a function or None"),
    ],
)
async def test_wrong_arguments_are_refused_at_once(arguments: dict[str, Any], text: str) -> None:
    for client in (Client("token"), AsyncClient("token")):
        for watch in (client.watch, client.gateways.watch, client.deployments.watch, client.capacity_claims.watch):
            with pytest.raises(errors.ConfigurationError, match=text):
                watch(**arguments)


@pytest.mark.parametrize("kinds", ["gateway", ["gateways"], [], None, [3]])
async def test_unknown_kinds_are_refused_at_once(kinds: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match=r"kinds: .*gateway, deployment, capacity_claim"):
        Client("token").watch(kinds=kinds)


async def test_a_misspelled_keyword_is_refused_by_name() -> None:
    with pytest.raises(
        TypeError, match=r"gateways.watch: unexpected keyword argument 'intervall'; did you mean 'inter"
    ):
        Client("token").gateways.watch(intervall=(1, 2))  # type: ignore[call-arg]  # pyright: ignore
    with pytest.raises(errors.ConfigurationError, match="parent_gateway_id must not be empty"):
        Client("token").deployments.watch(parent_gateway_id="")


async def test_a_closed_client_is_refused_at_once() -> None:
    client, async_client = Client("token"), AsyncClient("token")
    client.close()
    await async_client.close()
    for each in (client.watch, client.gateways.watch, async_client.watch, async_client.deployments.watch):
        with pytest.raises(errors.ConfigurationError, match="the client is closed"):
            each()


def gateway(state: str = "READY", updated: int = 100) -> types.Gateway:
    status = types.GatewayStatus(status=types.Status.Value(f"STATUS_{state}"), updated_at=Timestamp(seconds=updated))
    return types.Gateway(spec=types.GatewaySpec(id="some-id", name="front"), status=status)


class Lists:
    """A responder to lists of gateways: each gets the next of some responses, further ones always the last."""

    def __init__(self, *responses: Any) -> None:
        self._responses = [*responses]
        self.after: list[int] = []
        """The `updated_after` of each list, in seconds; 0 for those of everything."""

    def __call__(self, received: ReceivedRequest) -> Message | Failure:
        self.after.append(received.request.updated_after.seconds)
        found = self._responses.pop(0) if len(self._responses) > 1 else self._responses[0]
        return found if isinstance(found, Failure) else containing(received.method, found)


DOWN = Failure("unavailable", "down")


async def test_failures_that_pass_are_reported_to_a_callback_and_survived(kind: str) -> None:
    seen: list[Any] = []

    def note(error: Exception) -> None:
        seen.append(error)
        raise ValueError("a callback that fails")

    clock = FakeClock()
    lists = Lists(DOWN, DOWN, [gateway()], DOWN, [gateway("ERROR", 101)])
    async with (
        connected(kind, lists, clock=clock.clock, retry=None) as (client, _),
        watching(client.gateways.watch(on_error=note)) as changes,
    ):
        assert [each[1] for each in await reported(changes, 3)] == ["added", "synced", "changed"]
    assert [type(each) for each in seen] == [errors.Unavailable] * 3
    assert clock.slept[1] > clock.slept[0]


async def test_other_failures_are_raised(kind: str) -> None:
    async with connected(kind, Lists(Failure("permission_denied", "no")), clock=FakeClock().clock) as (client, _):
        with pytest.raises(errors.PermissionDenied):
            await anext(aiter(client.gateways.watch()))


async def test_the_cursor_is_the_newest_time_of_the_server_less_an_overlap(kind: str) -> None:
    lists = Lists([gateway(updated=5000)], [], [gateway("ERROR", 5003)], [gateway("READY", 5004)])
    async with (
        connected(kind, lists, clock=FakeClock().clock) as (client, _),
        watching(client.gateways.watch()) as changes,
    ):
        await reported(changes, 4)
    assert lists.after == [0, 4990, 4990, 4993]


async def test_it_polls_often_while_something_moves_and_seldom_at_rest(kind: str) -> None:
    clock = FakeClock(chance=0.0)
    lists = Lists([gateway("CREATING")], [], [], [gateway("READY", 101)], *[[]] * 9, [gateway("ERROR", 102)])
    async with (
        connected(kind, lists, clock=clock.clock) as (client, _),
        watching(client.gateways.watch(interval=(1, 8))) as changes,
    ):
        await reported(changes, 4)
    assert clock.slept == [1, 1, 1, 1, 1.5, 2.25, 3.375, 5.0625, 7.59375, 8, 8, 8, 8]


@pytest.mark.parametrize("transport", ["grpc", "connect", "rest"])
async def test_a_watch_goes_on_after_it_was_canceled_in_mid_poll(transport: str) -> None:
    received_first, release = threading.Event(), threading.Event()
    lists = Lists([gateway()])

    def respond(received: ReceivedRequest) -> Message | Failure:
        if not received_first.is_set():
            received_first.set()
            release.wait(10)
        return lists(received)

    async with connected(f"{transport}-async", respond) as (client, _):
        changes = client.gateways.watch()
        poll = asyncio.create_task(reported(changes, 1))
        await asyncio.to_thread(received_first.wait)
        poll.cancel()
        with pytest.raises(asyncio.CancelledError):
            await poll
        release.set()
        assert [each[1] for each in await reported(changes, 2)] == ["added", "synced"]
        await changes.close()
        with pytest.raises(StopAsyncIteration):
            await anext(changes)


async def test_a_watch_ends_with_an_error_when_its_client_is_closed(kind: str) -> None:
    async with connected(kind, Lists([gateway()]), clock=FakeClock().clock) as (client, _):
        changes = aiter(client.gateways.watch())
        await reported(changes, 2)
        await client.close()
        with pytest.raises(errors.ConfigurationError, match="the client is closed"):
            await anext(changes)


def test_leaving_the_loop_ends_a_watch_and_so_does_closing_it() -> None:
    with Emulator() as emulator, Client(emulator.token, endpoint=emulator.endpoint) as client:
        for change in client.watch(kinds=["gateway"]):
            assert change.type == "synced"
            break
        with client.gateways.watch() as changes:
            assert next(changes).type == "synced"
        assert list(changes) == []

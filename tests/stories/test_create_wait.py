"""What happens between a side effect and the end of a wait: the handle is never lost, and passing faults pass."""

import asyncio
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cwinference import AsyncClient, Client, Clock, HotLoadState, State, errors, types
from tests.support.client_kinds import TOKEN, TRANSPORTS
from tests.support.connected_client import connected
from tests.support.fake_clock import FakeClock
from tests.support.scripted_server import Failure, Raw, ReceivedRequest, Responder, ScriptedServer, http_response

FULL = types.SnapshotType.SNAPSHOT_TYPE_FULL
WRITES = ("Create", "Update")


def gateway(state: str, updated: int = 100) -> types.Gateway:
    status = types.GatewayStatus(
        status=types.Status.Value(f"STATUS_{state}"),
        updated_at=Timestamp(seconds=updated),
        conditions=[types.Condition(type="Ready", status=types.Condition.STATUS_FALSE, reason="NoCapacity")],
    )
    return types.Gateway(spec=types.GatewaySpec(id="g", name="front"), status=status)


def hot_load(state: str) -> types.HotLoad:
    number = types.HotLoadState.Value(f"HOT_LOAD_STATE_{state}")
    return types.HotLoad(spec=types.HotLoadSpec(id="h", identity="x"), status=types.HotLoadStatus(state=number))


@dataclass
class Page:
    """A response that is not the API's, over whatever the request came."""

    status: int
    body: bytes = b"<html>a proxy's page</html>"
    content_type: str = "text/html"

    def response_to(self, kind: str, received: ReceivedRequest) -> Raw | Failure:
        """Return it as HTTP, or for gRPC as grpcio reports it."""
        if kind.startswith("grpc") and received.path == received.method.path:
            code = {400: "internal", 401: "unauthenticated", 403: "permission_denied", 404: "unimplemented"}.get(
                self.status, "unavailable" if self.status in (429, 502, 503, 504) else "unknown"
            )
            return Failure(code, f"Received http2 header with status: {self.status}")
        headers = {"content-type": self.content_type, "connection": "close"}
        return Raw(http_response(self.status, self.body, headers))


def polled(kind: str, *responses: Any, write: Any = None) -> Responder:
    """Return a responder that sends these to polls one after the other, then always the last one."""
    remaining = list(responses)

    def respond(received: ReceivedRequest) -> Any:
        if not received.method.name.startswith(WRITES):
            found = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        elif write is not None:
            found = write
        else:
            found = hot_load("PENDING") if "HotLoad" in received.method.name else gateway("CREATING")
        if isinstance(found, Page):
            return found.response_to(kind, received)
        if isinstance(found, types.Gateway | types.HotLoad):
            field = received.method.response.DESCRIPTOR.fields[0].name
            return received.method.response(**{field: found})
        return found

    return respond


def patient(kind: str, *responses: Any, write: Any = None, **settings: Any) -> Any:
    """Open a client whose waits take no time, and which retries nothing, and a server with these responses to polls."""
    respond = polled(kind, *responses, write=write)
    return connected(kind, respond, **{"clock": FakeClock().clock, "retry": None, **settings})


async def create(client: AsyncClient, **how: Any) -> types.Gateway:
    return await client.gateways.create("front", wait=True, **how)


async def update(client: AsyncClient, **how: Any) -> types.Gateway:
    return await client.gateways.update("g", name="front", wait=True, **how)


async def modify(client: AsyncClient, **how: Any) -> types.Gateway:
    return await client.gateways.modify("g", name="front", wait=True, **how)


async def wait(client: AsyncClient, **how: Any) -> types.Gateway:
    return await client.gateways.wait("g", **how)


WAITS = [create, update, modify, wait]
Waits = Callable[..., Any]
READY, LATER = gateway("READY"), gateway("READY", updated=101)
"""After an update, READY counts once `updated_at` is later."""

PASSING: dict[str, Any] = {
    "internal": Failure("internal", "oops"),
    "unknown": Failure("unknown", "what"),
    "unavailable": Failure("unavailable", "down"),
    "data loss": Failure("data_loss", "gone"),
    "too slow": Failure("deadline_exceeded", "slow"),
    "too many": Failure("resource_exhausted", "busy"),
    **{f"page {status}": Page(status) for status in (400, 401, 403, 404, 429, 500, 502, 503, 504, 520)},
    "text": Page(500, b"no upstream", "text/plain"),
    "empty": Page(502, b""),
}


@pytest.mark.parametrize("fault", PASSING)
async def test_a_passing_fault_does_not_end_a_create_that_waits(kind: str, fault: str) -> None:
    async with patient(kind, PASSING[fault], gateway("CREATING"), PASSING[fault], READY) as (client, server):
        assert await create(client) == READY
    assert len(server.received) == 5


@pytest.mark.parametrize("perform", WAITS)
async def test_a_passing_fault_does_not_end_any_wait(kind: str, perform: Waits) -> None:
    first = [gateway("READY")] if perform is modify else []  # the read of the spec
    async with patient(kind, *first, Failure("internal", "oops"), gateway("UPDATING", 101), Page(404), LATER) as opened:
        assert await perform(opened[0]) == LATER


@pytest.mark.parametrize("kind", ["rest-sync", "rest-async"])
@pytest.mark.parametrize("body", [b"<html>maintenance</html>", b'{"status": "maintenance"', b""])
async def test_a_page_that_says_200_does_not_end_a_wait(kind: str, body: bytes) -> None:
    async with patient(kind, Page(200, body), READY) as (client, _):
        assert await create(client) == READY


async def test_a_passing_fault_does_not_end_a_wait_for_deletion(kind: str) -> None:
    gone = Failure("not_found", "gone")
    faults = [Failure("internal", "oops"), Page(404), Page(500)]
    async with patient(kind, *faults, gateway("DELETING"), *faults, gone) as (client, server):
        await client.gateways.wait_deleted("g")
    assert len(server.received) == 8


async def test_a_passing_fault_does_not_end_a_wait_for_a_hot_load(kind: str) -> None:
    missing = Failure("not_found", "nothing yet")
    async with patient(kind, missing, Failure("internal", "oops"), Page(502), hot_load("COMPLETED")) as (client, _):
        assert HotLoadState.of(await client.hot_loads.wait("h")) is HotLoadState.COMPLETED


@pytest.mark.parametrize("times", [1, 5])
async def test_not_found_just_after_a_create_passes(kind: str, times: int) -> None:
    missing = Failure("not_found", "nothing yet")
    async with patient(kind, *[missing] * times, gateway("CREATING"), missing, READY) as (client, _):
        assert await create(client) == READY


async def test_not_found_long_after_a_create_ends_the_wait(kind: str) -> None:
    clock = FakeClock()
    async with patient(kind, Failure("not_found", "gone"), clock=clock.clock) as (client, _):
        with pytest.raises(errors.NotFound) as caught:
            await create(client)
    assert 10 <= sum(clock.slept) < 20
    assert caught.value.resource_id == "g"


async def test_one_not_found_before_anything_was_read_passes_in_a_wait_of_its_own(kind: str) -> None:
    missing = Failure("not_found", "nothing yet")
    async with patient(kind, missing, READY) as (client, _):
        assert await wait(client) == READY
    for polls in ([missing, missing, READY], [gateway("CREATING"), missing, READY]):
        async with patient(kind, *polls) as (client, server):
            with pytest.raises(errors.NotFound) as caught:
                await wait(client)
        assert caught.value.resource_id == "g"
        assert len(server.received) == 2


ENDS: dict[str, tuple[Any, type[Exception]]] = {
    "failed": (gateway("FAILED", updated=101), errors.ResourceFailed),
    "deleting": (gateway("DELETING"), errors.ResourceFailed),
    "forbidden": (Failure("permission_denied", "no"), errors.PermissionDenied),
    "unimplemented": (Failure("unimplemented", "no"), errors.Unimplemented),
    "timeout": (gateway("CREATING"), errors.WaitTimeout),
    "outage": (Failure("unavailable", "down"), errors.WaitTimeout),
}


@pytest.mark.parametrize("perform", [create, update, wait])
@pytest.mark.parametrize("end", ENDS)
async def test_whatever_ends_a_wait_has_the_id(kind: str, perform: Waits, end: str) -> None:
    response, error = ENDS[end]
    async with patient(kind, response) as (client, _):
        with pytest.raises(error) as caught:
            await perform(client)
    assert isinstance(caught.value, errors.InferenceError)
    assert caught.value.resource_id == "g"
    assert pickle.loads(pickle.dumps(caught.value)).resource_id == "g"  # noqa: S301 - our own


async def test_an_error_of_on_change_has_the_id_too(kind: str) -> None:
    async with patient(kind, gateway("CREATING")) as (client, _):
        with pytest.raises(ZeroDivisionError) as caught:
            await create(client, on_change=lambda _: 1 / 0)
    assert getattr(caught.value, "resource_id", None) == "g"


@pytest.mark.parametrize("kind", ["grpc-sync", "connect-sync", "rest-sync"])
async def test_a_ctrl_c_during_the_wait_has_the_id_too(kind: str) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    fake = FakeClock()
    clock = Clock(lambda: fake.now, interrupt)
    with ScriptedServer(kind.partition("-")[0], polled(kind, gateway("CREATING"))) as server:
        settings: dict[str, Any] = {**TRANSPORTS[kind.removesuffix("-sync")], **server.settings}
        with (
            Client(TOKEN, endpoint=server.endpoint, clock=clock, **settings) as client,
            pytest.raises(KeyboardInterrupt) as caught,
        ):
            client.gateways.create("front", wait=True)
    assert getattr(caught.value, "resource_id", None) == "g"


@pytest.mark.parametrize("kind", ["grpc-async", "connect-async", "rest-async"])
async def test_a_cancellation_of_the_wait_has_the_id_too(kind: str) -> None:
    clock = FakeClock()

    async def cancel(_: float) -> None:
        raise asyncio.CancelledError

    awaited = Clock(lambda: clock.now, clock.sleep, cancel)
    async with patient(kind, gateway("CREATING"), clock=awaited) as (client, _):
        with pytest.raises(asyncio.CancelledError) as caught:
            await create(client)
    assert getattr(caught.value, "resource_id", None) == "g"


async def test_a_timeout_that_ends_between_create_and_wait_has_the_id(kind: str) -> None:
    clock = FakeClock()

    def respond(received: ReceivedRequest) -> Any:
        clock.now += 20
        return types.CreateGatewayResponse(gateway=gateway("CREATING"))

    async with connected(kind, respond, clock=clock.clock) as (client, _):
        with pytest.raises(errors.InferenceError) as caught:
            await create(client, timeout=10)
    assert caught.value.resource_id == "g"


LOST: dict[str, Any] = {
    "lost": Failure("unavailable", "lost"),
    "internal": Failure("internal", "oops"),
    "page": Page(502),
}


@pytest.mark.parametrize("fault", LOST)
async def test_a_create_that_may_have_succeeded_has_the_id_that_was_sent(kind: str, fault: str) -> None:
    async with patient(kind, READY, write=LOST[fault]) as (client, server):
        with pytest.raises(errors.ApiError) as caught:
            await client.gateways.create("front")
        with pytest.raises(errors.ApiError) as caught_hot_load:
            await client.hot_loads.create("d", identity="x", type=FULL)
    sent: list[Any] = [each.request for each in server.received]
    assert caught.value.resource_id == sent[0].id
    assert caught_hot_load.value.resource_id == sent[1].hot_load_id


async def test_a_create_with_an_unreadable_response_has_the_id_that_was_sent(kind: str) -> None:
    async with patient(kind, READY, write=types.CreateGatewayResponse()) as (client, server):
        with pytest.raises(errors.ProtocolError) as caught:
            await client.gateways.create("front")
    assert caught.value.resource_id == server.received[0].request.id


@pytest.mark.parametrize("code", ["invalid_argument", "already_exists", "permission_denied"])
async def test_a_create_that_certainly_did_nothing_has_no_id(kind: str, code: str) -> None:
    async with patient(kind, READY, write=Failure(code, "no")) as (client, _):
        with pytest.raises(errors.ApiError) as caught:
            await create(client)
    assert caught.value.resource_id is None


@pytest.mark.parametrize("perform", [update, modify])
async def test_a_write_that_may_have_succeeded_has_the_id(kind: str, perform: Waits) -> None:
    async with patient(kind, READY, write=Failure("unavailable", "lost")) as (client, _):
        with pytest.raises(errors.Unavailable) as caught:
            await perform(client)
    assert caught.value.resource_id == "g"


async def test_the_wait_for_a_hot_load_that_ends_has_the_id(kind: str) -> None:
    async with patient(kind, hot_load("FAILED")) as (client, _):
        with pytest.raises(errors.ResourceFailed) as caught:
            await client.hot_loads.wait("h")
    assert caught.value.resource_id == "h"


async def test_a_wait_for_deletion_that_ends_has_the_id(kind: str) -> None:
    async with patient(kind, gateway("DELETING")) as (client, _):
        with pytest.raises(errors.WaitTimeout) as caught:
            await client.gateways.wait_deleted("g", timeout=5)
    assert caught.value.resource_id == "g"


@pytest.mark.parametrize("perform", WAITS)
async def test_on_change_sees_every_change(kind: str, perform: Waits) -> None:
    seen: list[str] = []
    first = [gateway("READY")] if perform is modify else []
    polls = [gateway("UPDATING"), gateway("UPDATING"), gateway("ERROR"), LATER]
    async with patient(kind, *first, *polls) as (client, _):
        await perform(client, on_change=lambda each: seen.append(State.of(each).name))
    assert seen == ["UPDATING", "ERROR", "READY"]


@pytest.mark.parametrize("perform", WAITS)
async def test_error_after_ends_a_wait_in_error(kind: str, perform: Waits) -> None:
    clock = FakeClock()
    first = [gateway("READY")] if perform is modify else []
    polls = [gateway("ERROR", 101), gateway("UPDATING", 101), gateway("ERROR", 101), Failure("internal", "oops")]
    async with patient(kind, *first, *polls, gateway("ERROR", 101), clock=clock.clock) as (client, _):
        with pytest.raises(errors.ResourceFailed, match="Gateway front has been in ERROR for 30 s: .*NoCap") as caught:
            await perform(client, error_after=30)
    assert caught.value.resource_id == "g"
    assert caught.value.resource == gateway("ERROR", 101)
    assert 30 < sum(clock.slept) < 33  # it began anew after UPDATING, and the last poll is at its end


@pytest.mark.parametrize("timeout", [None, 600])
async def test_an_outage_at_the_end_of_error_after_does_not_end_the_wait(kind: str, timeout: float | None) -> None:
    clock = FakeClock()
    outage = [Failure("unavailable", "down")] * 20
    async with patient(kind, gateway("ERROR"), *outage, READY, clock=clock.clock) as (client, _):
        assert await create(client, error_after=5, timeout=timeout) == READY
    assert all(each > 0 for each in clock.slept)
    assert len(clock.slept) == 21


async def test_error_after_zero_ends_a_wait_at_the_first_error(kind: str) -> None:
    async with patient(kind, gateway("CREATING"), gateway("ERROR")) as (client, server):
        with pytest.raises(errors.ResourceFailed):
            await create(client, error_after=0)
    assert len(server.received) == 3


async def test_without_error_after_a_wait_goes_on_through_error(kind: str) -> None:
    async with patient(kind, *[gateway("ERROR")] * 20, READY) as (client, _):
        assert await create(client) == READY


async def async_callback(resource: Any) -> None:
    """Do nothing; a callback that would have to be awaited."""


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ({"on_change": 3}, "on_change: expected a function or None, got int"),
        ({"on_change": async_callback}, "on_change: expected a plain function"),
        ({"error_after": -1}, "error_after: expected a number of at least 0, got -1"),
        ({"error_after": "30"}, "error_after: expected a number of at least 0, got '30'"),
        ({"error_after": True}, "error_after: expected a number of at least 0, got True"),
    ],
)
@pytest.mark.parametrize("perform", WAITS)
async def test_a_wrong_option_of_a_wait_is_refused_before_anything_is_written(
    kind: str, perform: Waits, how: dict[str, Any], problem: str
) -> None:
    async with patient(kind, READY) as (client, server):
        with pytest.raises(errors.ConfigurationError) as caught:
            await perform(client, **how)
    assert str(caught.value).startswith(problem)
    assert server.received == []


async def test_an_endless_error_after_waits_through_error(kind: str) -> None:
    async with patient(kind, *[gateway("ERROR")] * 5, READY) as (client, _):
        assert await create(client, error_after=10**5000, timeout=None) == READY


@pytest.mark.parametrize("how", [{"on_change": print}, {"error_after": 5}])
async def test_an_option_of_a_wait_without_a_wait_is_refused(kind: str, how: dict[str, Any]) -> None:
    async with patient(kind, READY) as (client, server):
        for call in (
            client.gateways.create("front", **how),
            client.gateways.update("g", name="front", **how),
            client.gateways.modify("g", name="front", **how),
        ):
            with pytest.raises(errors.ConfigurationError, match=" has an effect only with wait=True"):
                await call
    assert server.received == []

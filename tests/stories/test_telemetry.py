"""What OpenTelemetry gets of calls of the management API, and what the server learns of the trace."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message
from opentelemetry import baggage, context
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode, TraceFlags

from cwinference import AsyncClient, Client, Retry, errors, types
from tests.support import samples
from tests.support.client_kinds import TOKEN
from tests.support.connected_client import connected
from tests.support.fake_clock import FakeClock
from tests.support.recorded_telemetry import RecordedTelemetry, attempts_of, attributes_of, id_of, traceparent
from tests.support.scripted_server import Failure, ReceivedRequest, Responder, ScriptedServer, containing

AT_ONCE = Retry(initial_backoff=0)
DOWN = Failure("unavailable", "SECRET-TEXT of the server")
GET = "coreweave.inference.v1alpha1.GatewayService/GetGateway"
SYSTEMS = {"grpc": "grpc", "connect": "connectrpc", "connect-json": "connectrpc"}


def failing_first(times: int) -> Responder:
    """Return a responder that sends so many failures, then the samples."""
    remaining = [DOWN] * times

    def respond(received: ReceivedRequest) -> Message | Failure:
        return remaining.pop() if remaining else samples.response_to(received.method)

    return respond


def of_system(kind: str) -> dict[str, Any]:
    """What says by which protocol a call of GetGateway was made."""
    system = SYSTEMS.get(kind.rpartition("-")[0])
    if system is not None:
        return {"rpc.system.name": system}
    return {"http.request.method": "GET", "url.template": "/v1alpha1/inference/gateways/{id}"}


async def test_a_call_is_one_span_over_all_its_attempts(kind: str) -> None:
    recorded = RecordedTelemetry()
    async with connected(kind, failing_first(2), retry=AT_ONCE, telemetry=recorded.telemetry) as (client, server):
        await client.gateways.get("x")

    span = recorded.span
    assert (span.name, span.kind, span.status.status_code, span.parent) == (
        GET, SpanKind.CLIENT, StatusCode.UNSET, None,
    )  # fmt: skip
    assert attempts_of(span) == ["UNAVAILABLE", "UNAVAILABLE", "OK"]
    host, port = "127.0.0.1", int(server.endpoint.rpartition(":")[2])
    assert attributes_of(span) == {
        "rpc.method": GET,
        "rpc.response.status_code": "OK",
        "server.address": host,
        "server.port": port,
        "cwinference.attempts": 3,
        **of_system(kind),
    }
    scope: Any = span.instrumentation_scope
    assert (scope.name, scope.schema_url) == ("cwinference", "https://opentelemetry.io/schemas/1.44.0")


async def test_every_attempt_carries_the_context_of_the_span(kind: str) -> None:
    recorded = RecordedTelemetry()
    token = context.attach(baggage.set_baggage("team", "a"))
    try:
        async with connected(kind, failing_first(1), retry=AT_ONCE, telemetry=recorded.telemetry) as (client, server):
            await client.gateways.get("x")
    finally:
        context.detach(token)

    assert [each.headers["traceparent"] for each in server.received] == [traceparent(recorded.span)] * 2
    assert [each.headers["baggage"] for each in server.received] == ["team=a"] * 2
    assert {each.headers["authorization"] for each in server.received} == {f"Bearer {TOKEN}"}


async def test_what_travels_as_json_only_is_reported_as_http(kind: str) -> None:
    recorded = RecordedTelemetry()
    async with connected(kind, failing_first(0), telemetry=recorded.telemetry) as (client, server):
        await client.hot_loads.get("x")

    found = attributes_of(recorded.span)
    assert found["url.template"] == "/v1alpha1/inference/hotLoads/{id}"
    assert "rpc.system.name" not in found
    assert server.received[0].headers["traceparent"] == traceparent(recorded.span)


async def test_a_failed_call_has_its_code_and_no_text_of_the_server(kind: str) -> None:
    recorded = RecordedTelemetry()
    async with connected(kind, failing_first(9), retry=None, telemetry=recorded.telemetry) as (client, _):
        with pytest.raises(errors.Unavailable):
            await client.gateways.get("x")

    span, found = recorded.span, attributes_of(recorded.span)
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert found["rpc.response.status_code"] == found["error.type"] == "UNAVAILABLE"
    assert found.get("http.response.status_code") == (503 if kind.startswith("rest") else None)
    assert "SECRET" not in recorded.all_text()


async def test_with_content_the_span_has_the_message_of_the_error(kind: str) -> None:
    recorded = RecordedTelemetry(content=True)
    async with connected(kind, failing_first(9), retry=None, telemetry=recorded.telemetry) as (client, _):
        with pytest.raises(errors.Unavailable):
            await client.gateways.get("x")

    assert "SECRET-TEXT of the server" in str(recorded.span.status.description)
    assert TOKEN not in recorded.all_text()


async def test_one_metric_counts_the_calls_of_all_transports_alike(kind: str) -> None:
    recorded = RecordedTelemetry()
    async with connected(kind, failing_first(1), retry=None, telemetry=recorded.telemetry) as (client, server):
        with pytest.raises(errors.Unavailable):
            await client.gateways.get("x")
        await client.gateways.get("x")
        await client.gateways.get("y")

    port = int(server.endpoint.rpartition(":")[2])
    labels = {"rpc.method": GET, "server.address": "127.0.0.1", "server.port": port}
    if not kind.startswith("rest"):
        labels |= of_system(kind)
    points = recorded.points("rpc.client.call.duration")
    assert [(found, count) for found, count, _ in points] == [
        ({**labels, "rpc.response.status_code": "UNAVAILABLE", "error.type": "UNAVAILABLE"}, 1),
        ({**labels, "rpc.response.status_code": "OK"}, 2),
    ]
    assert all(0 < seconds < 60 for _, _, seconds in points)


async def test_every_call_of_a_wait_is_a_child_of_the_span_that_is_current(kind: str) -> None:
    recorded = RecordedTelemetry()
    states = ["STATUS_CREATING", "STATUS_CREATING", "STATUS_READY"]

    def respond(received: ReceivedRequest) -> Message:
        status: Any = {"status": states[len(server.received) - 1]}
        return containing(received.method, types.Gateway(spec=types.GatewaySpec(id="x"), status=status))

    async with connected(kind, respond, clock=FakeClock().clock, telemetry=recorded.telemetry) as (client, server):
        with recorded.tracer.start_as_current_span("deploy") as parent:
            await client.gateways.wait("x", timeout=30)

    *calls, deploy = recorded.spans
    assert deploy.name == "deploy"
    assert len(calls) == len(server.received) == 3
    assert {call.name for call in calls} == {GET}
    assert {call.parent and call.parent.span_id for call in calls} == {id_of(parent)}


async def test_a_call_of_the_token_source_is_a_child_of_the_call_that_needs_it(kind: str) -> None:
    recorded = RecordedTelemetry()

    def token() -> str:
        with recorded.tracer.start_as_current_span("token"):
            return TOKEN

    async with connected(kind, failing_first(0), token=token, telemetry=recorded.telemetry) as (client, _):
        await client.gateways.get("x")

    of_token, call = recorded.spans
    assert of_token.parent is not None
    assert of_token.parent.span_id == id_of(call)


async def test_a_refused_token_is_replaced_as_without_telemetry(kind: str) -> None:
    recorded = RecordedTelemetry()
    tokens = iter(["CW-SECRET-old", "CW-SECRET-new"])

    def respond(received: ReceivedRequest) -> Message | Failure:
        if received.headers["authorization"] != "Bearer CW-SECRET-new":
            return Failure("unauthenticated", "no")
        return samples.response_to(received.method)

    async with connected(kind, respond, token=lambda: next(tokens), telemetry=recorded.telemetry) as (client, _):
        await client.gateways.get("x")

    assert attempts_of(recorded.span) == ["UNAUTHENTICATED", "OK"]
    assert "CW-SECRET" not in recorded.all_text()


async def test_a_span_that_is_not_sampled_still_passes_its_context_on(kind: str) -> None:
    recorded = RecordedTelemetry(sampler=ALWAYS_OFF)
    async with connected(kind, failing_first(0), telemetry=recorded.telemetry) as (client, server):
        await client.gateways.get("x")

    assert recorded.spans == ()
    flags = int(server.received[0].headers["traceparent"][-2:], 16)
    assert not flags & TraceFlags.SAMPLED
    assert [count for _, count, _ in recorded.points("rpc.client.call.duration")] == [1]


async def test_copies_of_a_client_report_too(kind: str) -> None:
    recorded = RecordedTelemetry()
    async with connected(kind, failing_first(0), telemetry=recorded.telemetry) as (client, _):
        await client.with_options(timeout=5).gateways.get("x")

    assert recorded.span.name == GET


async def test_a_call_that_fails_before_it_is_sent_has_a_span_without_attempts(kind: str) -> None:
    recorded = RecordedTelemetry()

    def token() -> str:
        raise RuntimeError("SECRET-TEXT")

    async with connected(kind, failing_first(0), token=token, telemetry=recorded.telemetry) as (client, _):
        with pytest.raises(RuntimeError):
            await client.gateways.get("x")

    found = attributes_of(recorded.span)
    assert found["error.type"] == "RuntimeError"
    assert "rpc.response.status_code" not in found
    assert recorded.span.events == ()
    assert "SECRET" not in recorded.all_text()


async def test_a_canceled_task_ends_its_span(kind: str) -> None:
    if kind.endswith("-sync"):
        pytest.skip("only tasks can be canceled")
    recorded = RecordedTelemetry()
    arrived, release = threading.Event(), threading.Event()

    def respond(received: ReceivedRequest) -> Message:
        arrived.set()
        release.wait(30)
        return samples.response_to(received.method)

    async with connected(kind, respond, telemetry=recorded.telemetry) as (client, _):
        task = asyncio.ensure_future(client.gateways.get("x"))
        await asyncio.to_thread(arrived.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()

    assert attempts_of(recorded.span) == ["CANCELLED"]
    assert attributes_of(recorded.span)["error.type"] == "CANCELLED"


async def test_tasks_that_run_at_once_do_not_mix_up_their_spans() -> None:
    recorded = RecordedTelemetry()

    async def one(client: AsyncClient, name: str) -> str:
        with recorded.tracer.start_as_current_span(name) as span:
            await client.gateways.get(name)
            return f"{id_of(span):x}"

    async with connected("grpc-async", failing_first(0), telemetry=recorded.telemetry) as (client, _):
        parents = await asyncio.gather(*(one(client, f"n{number}") for number in range(20)))

    calls = [span for span in recorded.spans if span.name == GET]
    assert sorted(f"{call.parent.span_id:x}" for call in calls if call.parent) == sorted(parents)
    assert context.get_current() == {}


def test_threads_that_run_at_once_do_not_mix_up_their_spans() -> None:
    recorded = RecordedTelemetry()
    parents = list[int]()

    with (
        ScriptedServer("grpc", failing_first(0)) as server,
        Client(TOKEN, endpoint=server.endpoint, telemetry=recorded.telemetry) as client,
    ):

        def one() -> None:
            with recorded.tracer.start_as_current_span("thread") as span:
                client.gateways.get("x")
                parents.append(id_of(span))

        threads = [threading.Thread(target=one) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    calls = [span for span in recorded.spans if span.name == GET]
    assert sorted(call.parent.span_id for call in calls if call.parent) == sorted(parents)


@pytest.mark.parametrize("make", [AsyncClient, Client], ids=["async", "sync"])
def test_what_is_no_telemetry_is_refused(make: Callable[..., object]) -> None:
    with pytest.raises(errors.ConfigurationError, match="telemetry: expected a Telemetry or None, got bool"):
        make("token", telemetry=True)

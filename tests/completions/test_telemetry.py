"""What OpenTelemetry gets of completions and streams, however they end, and what the model server learns."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from cwinference import AsyncClient, Client, Clock, Inference, Retry, errors, types
from cwinference.emulator import Emulator
from tests.completions.test_gateways import gateway, open_setup
from tests.support.batch_runs import run_batch
from tests.support.inference_kinds import MESSAGES, AnyInference, connected
from tests.support.recorded_telemetry import RecordedTelemetry, attempts_of, attributes_of, id_of, traceparent
from tests.support.scripted_model_server import (
    DONE,
    MODEL,
    HttpRequest,
    RequestHandler,
    ScriptedModelServer,
    ScriptedResponse,
    chunk_event,
    completion,
    endless_silence,
    event,
    json_response,
    stream_response,
)

TWICE = Retry(max_attempts=2, initial_backoff=0)
PROMPT = str(MESSAGES[0]["content"])
USAGE = {
    "prompt_tokens": 3,
    "completion_tokens": 2,
    "total_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
SERVER = {"server.address": "127.0.0.1"}
OF_MODEL = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "coreweave", "gen_ai.request.model": MODEL}


def failing_first(times: int, then: RequestHandler) -> RequestHandler:
    remaining = [json_response({"error": {"message": "SECRET-TEXT"}}, 503)] * times

    def respond(request: HttpRequest) -> ScriptedResponse:
        return remaining.pop() if remaining else then(request)

    return respond


def whole(_: HttpRequest) -> ScriptedResponse:
    return json_response(completion("Paris", usage=USAGE))


def streamed(_: HttpRequest) -> ScriptedResponse:
    return stream_response(chunk_event("Pa"), chunk_event("ris", "stop"), event({"choices": [], "usage": USAGE}), DONE)


def without_port(labels: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in labels.items() if name != "server.port"}


async def test_a_completion_is_one_span_with_its_model_usage_and_attempts(kind: str) -> None:
    recorded = RecordedTelemetry()
    handler = failing_first(1, whole)
    async with connected(kind, handler, retry=TWICE, telemetry=recorded.telemetry) as (inference, server):
        await inference.chat(temperature=0.5, max_tokens=9, stop=["SECRET-STOP"], user="SECRET-USER")

    span = recorded.span
    assert (span.name, span.kind, span.status.status_code) == (f"chat {MODEL}", SpanKind.CLIENT, StatusCode.UNSET)
    assert attempts_of(span) == ["UNAVAILABLE", "OK"]
    assert without_port(attributes_of(span)) == {
        **OF_MODEL,
        **SERVER,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": MODEL,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.cache_read.input_tokens": 1,
        "gen_ai.usage.reasoning.output_tokens": 0,
        "cwinference.attempts": 2,
    }
    assert [request.headers["traceparent"] for request in server.requests] == [traceparent(span)] * 2
    text = recorded.all_text()
    assert "SECRET" not in text
    assert PROMPT not in text
    assert "Paris" not in text


async def test_metrics_of_a_completion_have_no_ids(kind: str) -> None:
    recorded = RecordedTelemetry()
    async with connected(kind, whole, telemetry=recorded.telemetry) as (inference, _):
        await inference.chat()

    labels = {**OF_MODEL, **SERVER, "gen_ai.response.model": MODEL}
    ((found, count, seconds),) = recorded.points("gen_ai.client.operation.duration")
    assert (without_port(found), count) == (labels, 1)
    assert 0 < seconds < 60
    assert [(without_port(found), total) for found, _, total in recorded.points("gen_ai.client.token.usage")] == [
        ({**labels, "gen_ai.token.type": "input"}, 3),
        ({**labels, "gen_ai.token.type": "output"}, 2),
    ]
    assert "chatcmpl" not in repr([recorded.points(metric.name) for metric in recorded.metrics()])


async def test_a_stream_is_a_span_until_its_end(kind: str) -> None:
    recorded = RecordedTelemetry()
    async with connected(kind, failing_first(1, streamed), retry=TWICE, telemetry=recorded.telemetry) as (
        inference,
        server,
    ):
        await inference.read(inference.stream(stream_options={"include_usage": True}))

    span, found = recorded.span, attributes_of(recorded.span)
    first = found.pop("gen_ai.response.time_to_first_chunk")
    assert 0 < first < 60
    assert without_port(found) == {
        **OF_MODEL,
        **SERVER,
        "gen_ai.request.stream": True,
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": MODEL,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.cache_read.input_tokens": 1,
        "gen_ai.usage.reasoning.output_tokens": 0,
        "cwinference.attempts": 2,
    }
    assert attempts_of(span) == ["UNAVAILABLE", "OK"]
    assert [request.headers["traceparent"] for request in server.requests] == [traceparent(span)] * 2
    assert [count for _, count, _ in recorded.points("gen_ai.client.operation.time_to_first_chunk")] == [1]
    assert [count for _, count, _ in recorded.points("gen_ai.client.operation.time_per_output_chunk")] == [2]
    assert [total for _, _, total in recorded.points("gen_ai.client.token.usage")] == [3, 2]
    assert "ris" not in recorded.all_text().replace("coreweave", "")


async def test_the_span_of_a_stream_is_the_current_one_only_while_it_is_opened(kind: str) -> None:
    recorded = RecordedTelemetry()
    async with connected(kind, streamed, telemetry=recorded.telemetry) as (inference, _):

        def read(stream: Any) -> None:
            with stream:
                for _ in stream:
                    recorded.tracer.start_span("mine").end()

        if inference.is_async:
            async with inference.stream() as stream:
                async for _ in stream:
                    recorded.tracer.start_span("mine").end()
        else:
            await asyncio.to_thread(read, inference.stream())

    assert {span.parent for span in recorded.spans} == {None}


async def leave(inference: AnyInference) -> None:
    await inference.read(inference.stream(), max_chunks=1)


async def read(inference: AnyInference, **arguments: Any) -> None:
    await inference.read(inference.stream(**arguments))


@pytest.mark.parametrize(
    ("response", "do", "error", "failure"),
    [
        (lambda: stream_response(chunk_event("a"), after=endless_silence()), leave, None, "CANCELLED"),
        (lambda: stream_response(chunk_event("a"), cut=True), read, errors.StreamInterrupted, "UNAVAILABLE"),
        (lambda: stream_response(chunk_event("a"), b"data: 1\n\n"), read, errors.ProtocolError, "ProtocolError"),
        (lambda: json_response({"error": {"message": "no"}}, 400), read, errors.InvalidArgument, "INVALID_ARGUMENT"),
    ],
    ids=["left", "cut", "unreadable", "refused"],
)
async def test_a_stream_that_does_not_end_well_has_an_error_type(
    kind: str, response: Any, do: Any, error: Any, failure: str
) -> None:
    recorded = RecordedTelemetry()
    async with connected(kind, lambda _: response(), retry=None, telemetry=recorded.telemetry) as (inference, _):
        if error is None:
            await do(inference)
        else:
            with pytest.raises(error):
                await do(inference)

    assert attributes_of(recorded.span)["error.type"] == failure
    assert recorded.span.status.status_code is StatusCode.ERROR
    ((labels, count, _),) = recorded.points("gen_ai.client.operation.duration")
    assert (labels["error.type"], count) == (failure, 1)


async def test_with_content_prompts_and_responses_are_recorded(kind: str) -> None:
    recorded = RecordedTelemetry(content=True)
    handler: RequestHandler = lambda request: (streamed if request.body.get("stream") else whole)(request)  # noqa: E731
    async with connected(kind, handler, telemetry=recorded.telemetry) as (inference, _):
        await inference.chat()
        await inference.read(inference.stream())
        await inference.complete()

    answer = {"role": "assistant", "parts": [{"type": "text", "content": "Paris"}], "finish_reason": "stop"}
    whole_span, stream_span, text_span = (attributes_of(span) for span in recorded.spans)
    for span in (whole_span, stream_span):
        prompt = {"role": "user", "parts": [{"type": "text", "content": PROMPT}]}
        assert json.loads(span["gen_ai.input.messages"]) == [prompt]
        assert json.loads(span["gen_ai.output.messages"]) == [answer]
    assert text_span["gen_ai.operation.name"] == "text_completion"
    assert "The capital of France is" in text_span["gen_ai.input.messages"]


async def test_headers_of_the_caller_win_over_those_of_the_propagator(kind: str) -> None:
    recorded = RecordedTelemetry()
    async with connected(kind, whole, telemetry=recorded.telemetry) as (inference, server):
        await inference.chat(headers={"Traceparent": "mine"})

    assert server.requests[0].headers["traceparent"] == "mine"


async def test_a_list_of_models_is_a_span_of_plain_http(kind: str) -> None:
    recorded = RecordedTelemetry()
    async with connected(kind, lambda _: json_response({"data": [{"id": MODEL}]}), telemetry=recorded.telemetry) as (
        inference,
        server,
    ):
        await inference.run(lambda wrapped: wrapped.models.list())

    assert recorded.span.name == "GET /v1/models"
    assert attributes_of(recorded.span)["url.template"] == "/v1/models"
    assert server.requests[0].headers["traceparent"] == traceparent(recorded.span)
    assert recorded.metrics() == []


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_each_request_of_a_batch_is_a_child_of_the_span_that_is_current(mode: str, tmp_path: Path) -> None:
    recorded = RecordedTelemetry()
    requests = [{"model": MODEL, "messages": MESSAGES} for _ in range(20)]
    with ScriptedModelServer(whole) as server, recorded.tracer.start_as_current_span("nightly") as parent:
        settings = {"telemetry": recorded.telemetry}
        await run_batch(mode, server.url, requests, tmp_path / "out.jsonl", settings=settings, concurrency=4)

    *calls, _ = recorded.spans
    assert len(calls) == 20
    assert {call.parent and call.parent.span_id for call in calls} == {id_of(parent)}
    assert {attributes_of(call)["gen_ai.usage.output_tokens"] for call in calls} == {2}
    assert [total for _, _, total in recorded.points("gen_ai.client.token.usage")] == [60, 40]


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("streams", [False, True])
async def test_a_gateway_that_is_read_first_is_part_of_the_same_span(mode: str, streams: bool) -> None:
    recorded = RecordedTelemetry()
    with Emulator() as emulator, Client(emulator.token, endpoint=emulator.endpoint) as client:
        zones, auth = client.gateways.parameters().zones[:1], types.CoreWeaveAuth()
        routing = types.BodyBasedRouting(api_type=types.BodyBasedRouting.API_TYPE_OPENAI)
        made = client.gateways.create("front", zones=zones, core_weave_auth=auth, body_based_routing=routing, wait=True)
        kind: Any = AsyncClient if mode == "async" else Client
        seen = kind(emulator.token, endpoint=emulator.endpoint, telemetry=recorded.telemetry)
        inference = AnyInference(seen.inference(made.spec.id))
        calls = read(inference, model="no-such-model") if streams else inference.chat(model="no-such-model")
        with pytest.raises(errors.NotFound):
            await calls
        await inference.close()
        await seen.close() if mode == "async" else seen.close()

    get, *_, chat = recorded.spans
    assert chat.name == "chat no-such-model"
    assert get.name.endswith("GetGateway")
    assert get.parent is not None
    assert get.parent.span_id == id_of(chat)
    assert attributes_of(chat)["server.address"] == "127.0.0.1"


def late(_: HttpRequest) -> ScriptedResponse:
    return ScriptedResponse(endless_silence())


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    ("first", "hedge_after", "attempts"),
    [(failing_first(100, whole), None, ["UNAVAILABLE", "OK"]), (late, 0.05, ["CANCELLED", "OK"])],
    ids=["moved", "hedged"],
)
async def test_of_several_gateways_a_span_names_the_one_that_responded(
    mode: str, streams: bool, first: RequestHandler, hedge_after: float | None, attempts: list[str]
) -> None:
    recorded = RecordedTelemetry()
    settings: dict[str, Any] = {"telemetry": recorded.telemetry, "clock": Clock(random=lambda: 0.0)}
    with ScriptedModelServer(streamed if streams else whole) as other:
        async with open_setup(mode, first, **settings) as setup:
            second = gateway(other)
            second.spec.id = "g-2"
            inference = setup.inference([setup.gateway, second], hedge_after=hedge_after)
            await (read(inference) if streams else inference.chat())
            await inference.close()

    span = recorded.span
    assert (span.name, attempts_of(span)) == (f"chat {MODEL}", attempts)
    assert attributes_of(span)["server.port"] == urlsplit(other.url).port
    assert attributes_of(span)["gen_ai.usage.output_tokens"] == 2
    for server in (setup.server, other):
        assert [request.headers["traceparent"] for request in server.requests] == [traceparent(span)]
    points = [recorded.points(metric.name) for metric in recorded.metrics()]
    assert {labels["server.port"] for metric in points for labels, _, _ in metric} == {urlsplit(other.url).port}


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("streams", [False, True])
async def test_reading_several_gateways_is_part_of_the_span_of_the_first_call(mode: str, streams: bool) -> None:
    recorded = RecordedTelemetry()
    async with open_setup(mode, streamed if streams else whole, telemetry=recorded.telemetry) as setup:
        inference = setup.inference([setup.gateway, "g-2"])
        await (read(inference) if streams else inference.chat())
        await inference.close()

    get, chat = recorded.spans
    assert (get.name.rpartition("/")[2], chat.name) == ("GetGateway", f"chat {MODEL}")
    assert get.parent is not None
    assert get.parent.span_id == id_of(chat)


async def test_odd_responses_are_reported_as_far_as_they_make_sense(kind: str) -> None:
    recorded = RecordedTelemetry()
    odd = completion(model=["x"], id=7, usage={"prompt_tokens": -1, "completion_tokens": "2"}, choices=[3, {}])
    async with connected(kind, lambda _: json_response(odd), telemetry=recorded.telemetry) as (inference, _):
        await inference.chat(temperature="warm", n=True)

    found = without_port(attributes_of(recorded.span))
    assert found == {**OF_MODEL, **SERVER, "gen_ai.response.finish_reasons": ()}


def test_a_stream_that_is_read_on_another_thread_ends_its_span() -> None:
    recorded = RecordedTelemetry()

    with (
        ScriptedModelServer(streamed) as server,
        Inference(server.url, telemetry=recorded.telemetry) as inference,
    ):
        stream = inference.chat.completions.stream(model=MODEL, messages=MESSAGES)
        stream.__enter__()
        reading = threading.Thread(target=lambda: list(stream))
        reading.start()
        reading.join()

    assert attributes_of(recorded.span)["gen_ai.usage.output_tokens"] == 2

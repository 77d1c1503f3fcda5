"""Completions that succeed: what is sent, and what is returned."""

import json
from typing import Any

import pytest

from cwinference import Retry, errors, types
from tests.support.inference_kinds import MESSAGES, connected, open_inference
from tests.support.scripted_model_server import (
    DONE,
    MODEL,
    HttpRequest,
    ScriptedResponse,
    chunk_event,
    completion,
    event,
    json_response,
    stream_response,
)

FAST = Retry(initial_backoff=0)


def respond_paris(_: HttpRequest) -> ScriptedResponse:
    return json_response(completion())


def stream_paris(_: HttpRequest) -> ScriptedResponse:
    return stream_response(
        chunk_event("Par"),
        chunk_event("is"),
        chunk_event("", "stop"),
        event({"choices": [], "usage": {"total_tokens": 7}}),
        DONE,
    )


async def test_a_completion_has_text_and_usage(kind: str) -> None:
    async with connected(kind, respond_paris) as (inference, _):
        result = await inference.chat()
    assert (result.text, result.finish_reason, result.id, result.model) == ("Paris", "stop", "chatcmpl-1", MODEL)
    assert result.usage is not None
    assert (result.usage.prompt_tokens, result.usage.completion_tokens, result.usage.total_tokens) == (3, 2, 5)


async def test_arguments_and_headers_reach_the_server(kind: str) -> None:
    async with connected(kind, respond_paris) as (inference, server):
        await inference.chat(temperature=0.5, tools=[{"type": "function"}], headers={"x-trace": "7"})
    (request,) = server.requests
    assert (request.verb, request.path) == ("POST", "/v1/chat/completions")
    assert request.body == {
        "model": MODEL, "messages": MESSAGES, "temperature": 0.5, "tools": [{"type": "function"}],
    }  # fmt: skip
    assert request.headers["authorization"] == "Bearer CW-SECRET-of-the-tests"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-trace"] == "7"
    assert "accept-encoding" not in request.headers


async def test_a_text_completion_has_its_own_path_and_shape(kind: str) -> None:
    body = {"choices": [{"index": 0, "text": " Paris", "finish_reason": "length", "logprobs": {"tokens": [" Paris"]}}]}
    async with connected(kind, lambda _: json_response(body)) as (inference, server):
        result = await inference.complete(prompt=[1, 2, 3], logprobs=1)
    assert server.requests[0].path == "/v1/completions"
    assert server.requests[0].body["prompt"] == [1, 2, 3]
    assert (result.text, result.finish_reason) == (" Paris", "length")
    assert result.raw == body
    assert not result.usage


async def test_a_stream_yields_chunks_and_keeps_the_usage(kind: str) -> None:
    async with connected(kind, stream_paris) as (inference, server):
        stream = inference.stream(stream_options={"include_usage": True})
        chunks = await inference.read(stream)
    assert [chunk.text for chunk in chunks] == ["Par", "is", "", ""]
    assert chunks[2].finish_reason == "stop"
    assert (stream.text, stream.usage.total_tokens) == ("Paris", 7)
    assert server.requests[0].body["stream"] is True
    assert server.requests[0].body["stream_options"] == {"include_usage": True}
    assert server.requests[0].headers["accept"] == "text/event-stream"


async def test_a_connection_is_reused_after_a_stream(kind: str) -> None:
    async with connected(kind, stream_paris) as (inference, server):
        for _ in range(6):
            await inference.read(inference.stream())
    assert server.connections < 4  # one, if pyqwest has returned it to its pool before the next request
    assert not server.hung_up.is_set()


async def test_unknown_fields_pass_through_unchanged(kind: str) -> None:
    choice = {
        "message": {"content": None, "tool_calls": [{"id": "c", "function": {"arguments": "{"}}]},
        "token_ids": [1, 2**60],
        "logprobs": {"content": [{"logprob": -1e-9, "bytes": None}]},
    }
    odd = {"choices": [choice], "kv_transfer_params": {"é\u2028": [None, True, 1.5]}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    messages = [{"role": "user", "content": [image, {"type": "text", "text": "é\n\u2028"}]}]
    sent = {"messages": messages, "logit_bias": {"50256": -100}, "vendor": {"x": [0, None]}}
    async with connected(kind, lambda _: json_response(odd)) as (inference, server):
        result = await inference.chat(**sent)
    assert server.requests[0].body == {"model": MODEL, **sent}
    assert (result.raw, result.text, result.finish_reason) == (odd, "", None)


async def test_chunks_without_text_pass_through_a_stream(kind: str) -> None:
    call = {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}}], "x": 1}
    async with connected(kind, lambda _: stream_response(event(call), DONE)) as (inference, _):
        (chunk,) = await inference.read(inference.stream())
    assert (chunk.raw, chunk.text) == (call, "")


async def test_text_split_into_parts_or_within_a_character_is_joined(kind: str) -> None:
    parts = chunk_event("日本語 🗼")
    cut = [parts[i : i + 1] for i in range(len(parts))]
    async with connected(kind, lambda _: stream_response(*cut, DONE)) as (inference, _):
        (chunk,) = await inference.read(inference.stream())
    assert chunk.text == "日本語 🗼"
    listed = completion()
    listed["choices"][0]["message"]["content"] = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    async with connected(kind, lambda _: json_response(listed)) as (inference, _):
        assert (await inference.chat()).text == "ab"


async def test_models_are_listed(kind: str) -> None:
    body = {"data": [{"id": "a"}, {"id": "b", "root": "x"}]}
    async with connected(kind, lambda _: json_response(body)) as (inference, server):
        models = await inference.run(lambda inference: inference.models.list())
    assert [model.id for model in models] == ["a", "b"]
    assert models[1].raw["root"] == "x"
    assert (server.requests[0].verb, server.requests[0].path, server.requests[0].body) == ("GET", "/v1/models", None)


ROUTINGS: list[tuple[Any, str, dict[str, str]]] = [
    (None, "/v1", {}),
    (types.BodyBasedRouting(), "/v1", {}),
    (types.HeaderBasedRouting(header_name="X-Model"), "/v1", {"x-model": MODEL}),
    (types.PathBasedRouting(), "/org%2Fmodel/v1", {}),
]


@pytest.mark.parametrize(("routing", "prefix", "headers"), ROUTINGS)
async def test_each_routing_reaches_the_model(kind: str, routing: Any, prefix: str, headers: dict[str, str]) -> None:
    def respond(request: HttpRequest) -> ScriptedResponse:
        if request.body and request.body.get("stream"):
            return stream_paris(request)
        return json_response({**completion(), "data": []})

    async with connected(kind, respond, routing=routing) as (inference, server):
        await inference.chat()
        await inference.read(inference.stream())
        await inference.run(lambda inference: inference.models.list(model=MODEL))
        assert inference.wrapped.base_url(model=MODEL) == server.url + prefix
    assert [each.path for each in server.requests] == [
        f"{prefix}/chat/completions", f"{prefix}/chat/completions", f"{prefix}/models",
    ]  # fmt: skip
    for each in server.requests:
        assert {name: each.headers.get(name) for name in ["x-model"] if name in each.headers} == headers


@pytest.mark.parametrize("end", ["/gateway/7", "/gateway/7/", "/gateway/7/v1", "/gateway/7/v1/"])
async def test_a_base_url_may_have_a_path_and_end_in_v1(kind: str, end: str) -> None:
    async with connected(kind, respond_paris) as (_, server), open_inference(kind, server.url + end) as inference:
        await inference.chat()
    assert server.requests[0].path == "/gateway/7/v1/chat/completions"


async def test_without_a_token_no_authorization_is_sent(kind: str) -> None:
    async with connected(kind, respond_paris, token=None) as (inference, server):
        await inference.chat()
    assert "authorization" not in server.requests[0].headers


async def test_stats_count_calls_retries_and_tokens(kind: str) -> None:
    responses = [json_response({}, 503), json_response(completion()), json_response({"error": {"message": "no"}}, 400)]

    def respond(request: HttpRequest) -> ScriptedResponse:
        return stream_paris(request) if request.body.get("stream") else responses.pop(0)

    async with connected(kind, respond) as (inference, _):
        await inference.chat(retry=FAST)
        with pytest.raises(errors.InvalidArgument):
            await inference.chat()
        await inference.read(inference.stream())
        await inference.read(inference.stream(), max_chunks=1)
        stats = inference.wrapped.stats()
    assert (stats.done, stats.failed, stats.cancelled, stats.retried, stats.tokens) == (2, 1, 1, 1, 12)
    assert (stats.in_flight, stats.queued) == (0, 0)


async def test_no_repr_contains_the_token(kind: str) -> None:
    async with connected(kind, stream_paris) as (inference, _):
        stream = inference.stream()
        wrapped = inference.wrapped
        objects = (wrapped, wrapped.chat, wrapped.chat.completions, wrapped.models, stream)
        reprs = [repr(each) for each in objects]
        await inference.read(stream)
    assert "CW-SECRET" not in json.dumps(reprs)

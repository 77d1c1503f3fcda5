"""Completions that work: what is sent, and what comes back."""

import json
from typing import Any

import pytest

from cwinference import Retry, errors, types
from tests.support.inference_kinds import MESSAGES, asked, open_front
from tests.support.scripted_model_server import DONE, MODEL, Asked, Reply, completion, event, piece, plain, streamed

FAST = Retry(initial_backoff=0)


def paris(_: Asked) -> Reply:
    return plain(completion())


def pieces(_: Asked) -> Reply:
    return streamed(
        piece("Par"), piece("is"), piece("", "stop"), event({"choices": [], "usage": {"total_tokens": 7}}), DONE
    )


async def test_an_answer_is_given_with_its_text_and_usage(kind: str) -> None:
    async with asked(kind, paris) as (front, _):
        answer = await front.chat()
    assert (answer.text, answer.finish_reason, answer.id, answer.model) == ("Paris", "stop", "chatcmpl-1", MODEL)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (3, 2, 5)


async def test_a_request_arrives_as_it_was_meant(kind: str) -> None:
    async with asked(kind, paris) as (front, server):
        await front.chat(temperature=0.5, tools=[{"type": "function"}], headers={"x-trace": "7"})
    (asked_for,) = server.asked
    assert (asked_for.verb, asked_for.path) == ("POST", "/v1/chat/completions")
    assert asked_for.body == {
        "model": MODEL, "messages": MESSAGES, "temperature": 0.5, "tools": [{"type": "function"}],
    }  # fmt: skip
    assert asked_for.headers["authorization"] == "Bearer CW-SECRET-of-the-tests"
    assert asked_for.headers["content-type"] == "application/json"
    assert asked_for.headers["x-trace"] == "7"
    assert "accept-encoding" not in asked_for.headers


async def test_a_text_completion_has_its_own_path_and_shape(kind: str) -> None:
    reply = {"choices": [{"index": 0, "text": " Paris", "finish_reason": "length", "logprobs": {"tokens": [" Paris"]}}]}
    async with asked(kind, lambda _: plain(reply)) as (front, server):
        answer = await front.complete(prompt=[1, 2, 3], logprobs=1)
    assert server.asked[0].path == "/v1/completions"
    assert server.asked[0].body["prompt"] == [1, 2, 3]
    assert (answer.text, answer.finish_reason) == (" Paris", "length")
    assert answer.raw == reply
    assert not answer.usage


async def test_a_stream_gives_its_pieces_and_its_usage(kind: str) -> None:
    async with asked(kind, pieces) as (front, server):
        stream = front.stream(stream_options={"include_usage": True})
        chunks = await front.read(stream)
    assert [chunk.text for chunk in chunks] == ["Par", "is", "", ""]
    assert chunks[2].finish_reason == "stop"
    assert (stream.text, stream.usage.total_tokens) == ("Paris", 7)
    assert server.asked[0].body["stream"] is True
    assert server.asked[0].body["stream_options"] == {"include_usage": True}
    assert server.asked[0].headers["accept"] == "text/event-stream"


async def test_a_connection_serves_again_after_a_stream(kind: str) -> None:
    async with asked(kind, pieces) as (front, server):
        for _ in range(6):
            await front.read(front.stream())
    assert server.connections < 4  # one, if pyqwest has it back before the next request
    assert not server.hung_up.is_set()


async def test_what_is_not_known_passes_through_unharmed(kind: str) -> None:
    choice = {
        "message": {"content": None, "tool_calls": [{"id": "c", "function": {"arguments": "{"}}]},
        "token_ids": [1, 2**60],
        "logprobs": {"content": [{"logprob": -1e-9, "bytes": None}]},
    }
    odd = {"choices": [choice], "kv_transfer_params": {"é\u2028": [None, True, 1.5]}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    messages = [{"role": "user", "content": [image, {"type": "text", "text": "é\n\u2028"}]}]
    sent = {"messages": messages, "logit_bias": {"50256": -100}, "vendor": {"x": [0, None]}}
    async with asked(kind, lambda _: plain(odd)) as (front, server):
        answer = await front.chat(**sent)
    assert server.asked[0].body == {"model": MODEL, **sent}
    assert (answer.raw, answer.text, answer.finish_reason) == (odd, "", None)


async def test_pieces_that_are_not_text_pass_through_a_stream(kind: str) -> None:
    call = {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}}], "x": 1}
    async with asked(kind, lambda _: streamed(event(call), DONE)) as (front, _):
        (chunk,) = await front.read(front.stream())
    assert (chunk.raw, chunk.text) == (call, "")


async def test_text_in_parts_and_text_cut_in_mid_character_arrive_whole(kind: str) -> None:
    parts = piece("日本語 🗼")
    cut = [parts[i : i + 1] for i in range(len(parts))]
    async with asked(kind, lambda _: streamed(*cut, DONE)) as (front, _):
        (chunk,) = await front.read(front.stream())
    assert chunk.text == "日本語 🗼"
    listed = completion()
    listed["choices"][0]["message"]["content"] = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    async with asked(kind, lambda _: plain(listed)) as (front, _):
        assert (await front.chat()).text == "ab"


async def test_models_are_listed(kind: str) -> None:
    async with asked(kind, lambda _: plain({"data": [{"id": "a"}, {"id": "b", "root": "x"}]})) as (front, server):
        models = await front.do(lambda front: front.models.list())
    assert [model.id for model in models] == ["a", "b"]
    assert models[1].raw["root"] == "x"
    assert (server.asked[0].verb, server.asked[0].path, server.asked[0].body) == ("GET", "/v1/models", None)


ROUTINGS: list[tuple[Any, str, dict[str, str]]] = [
    (None, "/v1", {}),
    (types.BodyBasedRouting(), "/v1", {}),
    (types.HeaderBasedRouting(header_name="X-Model"), "/v1", {"x-model": MODEL}),
    (types.PathBasedRouting(), "/org%2Fmodel/v1", {}),
]


@pytest.mark.parametrize(("routing", "prefix", "headers"), ROUTINGS)
async def test_each_routing_leads_to_the_model(kind: str, routing: Any, prefix: str, headers: dict[str, str]) -> None:
    def answer(got: Asked) -> Reply:
        return pieces(got) if got.body and got.body.get("stream") else plain({**completion(), "data": []})

    async with asked(kind, answer, routing=routing) as (front, server):
        await front.chat()
        await front.read(front.stream())
        await front.do(lambda front: front.models.list(model=MODEL))
        assert front.inference.base_url(model=MODEL) == server.url + prefix
    assert [each.path for each in server.asked] == [
        f"{prefix}/chat/completions", f"{prefix}/chat/completions", f"{prefix}/models",
    ]  # fmt: skip
    for each in server.asked:
        assert {name: each.headers.get(name) for name in ["x-model"] if name in each.headers} == headers


@pytest.mark.parametrize("end", ["/gateway/7", "/gateway/7/", "/gateway/7/v1", "/gateway/7/v1/"])
async def test_a_base_url_may_have_a_path_and_end_in_v1(kind: str, end: str) -> None:
    async with asked(kind, paris) as (_, server), open_front(kind, server.url + end) as front:
        await front.chat()
    assert server.asked[0].path == "/gateway/7/v1/chat/completions"


async def test_without_a_token_none_is_sent(kind: str) -> None:
    async with asked(kind, paris, token=None) as (front, server):
        await front.chat()
    assert "authorization" not in server.asked[0].headers


async def test_the_numbers_tell_what_was_done(kind: str) -> None:
    answers = [plain({}, 503), plain(completion()), plain({"error": {"message": "no"}}, 400)]
    async with asked(kind, lambda got: pieces(got) if got.body.get("stream") else answers.pop(0)) as (front, _):
        await front.chat(retry=FAST)
        with pytest.raises(errors.InvalidArgument):
            await front.chat()
        await front.read(front.stream())
        await front.read(front.stream(), most=1)
        stats = front.inference.stats()
    assert (stats.done, stats.failed, stats.retried, stats.tokens) == (2, 2, 1, 12)
    assert (stats.in_flight, stats.queued) == (0, 0)


async def test_nothing_shows_the_token(kind: str) -> None:
    async with asked(kind, pieces) as (front, _):
        stream = front.stream()
        inference = front.inference
        shown = [
            repr(each) for each in (inference, inference.chat, inference.chat.completions, inference.models, stream)
        ]
        await front.read(stream)
    assert "CW-SECRET" not in json.dumps(shown)

"""The built-in text generator, by OpenAI's routes."""

import asyncio
import re
from typing import Any

import pytest

from cwinference.emulator.gateway.models.pace import Pace
from cwinference.emulator.gateway.models.text_generator import TextGenerator
from tests.support.asgi_requests import AppResponse, call_app

from .gateway_requests import MODEL, OURS, completions_app

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who are you?"}]


async def post(
    route: str, body: Any, generator: TextGenerator | None = None, disconnect_after: int | None = None
) -> AppResponse:
    app = completions_app(generator or TextGenerator())
    path = f"/gateway/front/v1/{route}"
    return await call_app(app, "POST", path, {"model": MODEL, **body}, OURS, disconnect_after=disconnect_after)


async def chat(**body: Any) -> AppResponse:
    return await post("chat/completions", {"messages": MESSAGES, **body})


async def text(**body: Any) -> AppResponse:
    return await post("completions", {"prompt": "Who are you?", **body})


def words(response: AppResponse) -> list[str]:
    """Return the text of each choice of a response, streamed or not."""
    if not response.headers["content-type"].startswith("text/event-stream"):
        choices = sorted(response.json["choices"], key=lambda each: each["index"])
        return [each["text"] if "text" in each else each["message"]["content"] for each in choices]
    found: dict[int, str] = {}
    for event in response.events[:-1]:
        for choice in event["choices"]:
            piece = choice["text"] if "text" in choice else choice["delta"].get("content", "")
            found[choice["index"]] = found.get(choice["index"], "") + piece
    return [found[index] for index in sorted(found)]


async def test_the_text_of_a_chat_says_that_it_is_from_the_generator() -> None:
    response = (await chat()).json
    assert response["id"].startswith("chatcmpl-")
    assert (response["object"], response["model"]) == ("chat.completion", MODEL)
    (choice,) = response["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"].startswith("This is the emulator's built-in text generator, not a model.")
    assert '"Be brief. Who are you?"' in choice["message"]["content"]
    assert choice["finish_reason"] == "stop"


async def test_a_text_completion_has_sixteen_tokens_by_default() -> None:
    response = (await text()).json
    assert response["id"].startswith("cmpl-")
    assert response["object"] == "text_completion"
    assert response["choices"][0]["finish_reason"] == "length"
    assert response["usage"]["completion_tokens"] == 16


async def test_the_same_request_gets_the_same_text_and_another_seed_another() -> None:
    first, second, other = [words(await chat(seed=seed)) for seed in (1, 1, 2)]
    assert first == second != other


@pytest.mark.parametrize("complete", [chat, text])
async def test_a_stream_has_the_same_text_in_many_chunks(complete: Any) -> None:
    plain, streamed = await complete(n=2, max_tokens=40), await complete(n=2, max_tokens=40, stream=True)
    assert streamed.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert words(streamed) == words(plain)
    assert streamed.events[-1] == "[DONE]"
    assert streamed.complete
    assert len(streamed.events) > 70
    assert len({event["id"] for event in streamed.events[:-1]}) == 1


async def test_a_streamed_chat_begins_with_the_role_and_ends_with_the_finish_reason() -> None:
    events = (await chat(stream=True)).events
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert events[-2]["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    assert {event["object"] for event in events[:-1]} == {"chat.completion.chunk"}
    assert not any("usage" in event for event in events[:-1])


async def test_a_stream_ends_with_its_usage_on_request() -> None:
    plain = (await chat()).json
    events = (await chat(stream=True, stream_options={"include_usage": True})).events
    assert (events[-2]["choices"], events[-2]["usage"]) == ([], plain["usage"])
    assert all(event["usage"] is None for event in events[:-2])


async def test_usage_counts_all_prompts_and_choices() -> None:
    one = (await text(max_tokens=5)).json["usage"]
    many = (await text(max_tokens=5, n=3, prompt=["Who are you?", "Who are you?"])).json
    assert one["total_tokens"] == one["prompt_tokens"] + 5
    assert many["usage"]["prompt_tokens"] == 2 * one["prompt_tokens"]
    assert many["usage"]["completion_tokens"] == 30
    assert [each["index"] for each in many["choices"]] == [0, 1, 2, 3, 4, 5]


async def test_a_prompt_can_be_token_ids() -> None:
    response = (await text(prompt=[[1, 2, 3], [4, 5]], max_tokens=100)).json
    assert response["usage"]["prompt_tokens"] == 5
    assert [each["text"].count("You sent") for each in response["choices"]] == [1, 1]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("keep", "end"), [(False, "built-"), (True, "built-in te")])
async def test_a_stop_sequence_ends_the_text_even_inside_a_token(stream: bool, keep: bool, end: str) -> None:
    response = await text(stop=["generator", "in te"], include_stop_str_in_output=keep, max_tokens=50, stream=stream)
    assert words(response) == ["This is the emulator's " + end]
    last = response.events[-2] if stream else response.json
    assert last["choices"][0]["finish_reason"] == "stop"


async def test_ignore_eos_generates_max_tokens() -> None:
    response = (await chat(max_tokens=5000, ignore_eos=True)).json
    assert response["usage"]["completion_tokens"] == 5000
    assert response["choices"][0]["finish_reason"] == "length"


async def test_a_response_so_long_that_it_would_block_all_others_is_rejected() -> None:
    rejected = [await text(n=128, max_tokens=5000, ignore_eos=True), await text(prompt=["Hi"] * 50_000)]
    assert [response.error["param"] for response in rejected] == ["max_tokens", "max_tokens"]


async def test_an_echo_comes_before_the_text() -> None:
    assert words(await text(echo=True, max_tokens=1)) == ["Who are you?This"]
    assert words(await text(echo=True, max_tokens=0)) == ["Who are you?"]


@pytest.mark.parametrize("more", [{"prompt": "a " * 131_072}, {"prompt": [1] * 131_072}, {"max_tokens": 131_072}])
async def test_a_request_longer_than_the_context_is_rejected_as_by_openai(more: Any) -> None:
    response = await text(**more)
    assert (response.status, response.error["code"]) == (400, "context_length_exceeded")
    assert response.error["param"] == "prompt"


async def test_logprobs_have_the_form_of_each_route() -> None:
    legacy = (await text(logprobs=2, max_tokens=3)).json["choices"][0]
    assert "".join(legacy["logprobs"]["tokens"]) == legacy["text"]
    assert [len(legacy["logprobs"][name]) for name in ("token_logprobs", "top_logprobs", "text_offset")] == [3, 3, 3]
    assert [legacy["text"][at:][:1] for at in legacy["logprobs"]["text_offset"]] == ["T", " ", " "]
    content = (await chat(logprobs=True, top_logprobs=2, max_tokens=3)).json["choices"][0]["logprobs"]["content"]
    assert [len(each["top_logprobs"]) for each in content] == [2, 2, 2]
    assert all(each["logprob"] <= 0 for each in content)
    events = (await chat(logprobs=True, max_tokens=3, stream=True)).events
    assert events[1]["choices"][0]["logprobs"]["content"][0]["token"] == "This"


@pytest.mark.parametrize(
    ("route", "field", "value"),
    [
        ("chat", "messages", []),
        ("chat", "messages", "Hi"),
        ("chat", "messages[0]", ["Hi"]),
        ("chat", "messages[0].content", [{"role": "user", "content": 5}]),
        ("chat", "messages[0].content[0]", [{"role": "user", "content": [5]}]),
        ("chat", "messages[0].content[0]", [{"role": "user", "content": [{"type": "text"}]}]),
        ("chat", "top_logprobs", 21),
        ("chat", "frequency_penalty", "x"),
        ("text", "presence_penalty", 3),
        ("text", "prompt", [-1]),
        ("text", "prompt", None),
        ("text", "prompt", []),
        ("text", "prompt", ["a", 5]),
        ("text", "max_tokens", 0),
        ("text", "max_tokens", True),
        ("text", "n", 129),
        ("text", "stream", "yes"),
        ("text", "stream_options", {"include_usage": True}),
        ("stream", "stream_options.include_usage", {"include_usage": 1}),
        ("text", "temperature", 2.5),
        ("text", "top_p", -1),
        ("text", "stop", ["x"] * 1025),
        ("text", "stop", [""]),
        ("text", "seed", "x"),
    ],
)
async def test_a_wrong_value_is_a_bad_request_that_names_the_field(route: str, field: str, value: Any) -> None:
    name = re.split(r"[.\[]", field)[0]
    response = await (text if route == "text" else chat)(
        **{"logprobs": None if route == "text" else True, "stream": route == "stream", name: value}
    )
    assert (response.status, response.error["param"]) == (400, field)
    assert response.error["message"].startswith(f"{field}: ")


async def test_top_logprobs_require_logprobs() -> None:
    assert (await chat(top_logprobs=2)).error["param"] == "top_logprobs"


async def test_unknown_fields_are_ignored() -> None:
    assert (await chat(tools=[], top_k=5, anything=1)).status == 200


async def test_content_can_consist_of_parts() -> None:
    parts = [{"type": "text", "text": "Look:"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    (generated,) = words(await chat(messages=[{"role": "user", "content": parts}]))
    assert '"Look: (image_url)"' in generated


async def test_a_stream_stops_when_the_client_disconnects() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0)

    body = {"prompt": "Hi", "stream": True, "ignore_eos": True, "max_tokens": 1000}
    response = await post("completions", body, TextGenerator(Pace(0.01, 100), sleep=sleep), disconnect_after=3)
    assert not response.complete
    assert len(slept) < 10


async def test_a_complete_response_is_canceled_when_the_client_disconnects() -> None:
    async def forever(seconds: float) -> None:
        await asyncio.Event().wait()

    response = await post("completions", {"prompt": "Hi"}, TextGenerator(sleep=forever), disconnect_after=0)
    assert response.status == 0


async def test_there_is_a_pause_for_every_token() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    body = {"prompt": "Hi", "max_tokens": 4}
    await post("completions", {**body, "stream": True}, TextGenerator(Pace(0.25, 2), sleep=sleep))
    assert slept == [0.25, 0.5, 0.5, 0.5]
    await post("completions", body, TextGenerator(Pace(0.25, 2), sleep=sleep))
    assert slept[4:] == [1.75]

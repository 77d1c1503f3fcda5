"""The built-in text generator: what it cannot do is refused and not ignored; echoed prompts have log probabilities."""

from typing import Any

import pytest

from cwinference.emulator.gateway.models.text_generator import TextGenerator
from tests.support.asgi_requests import AppResponse, call_app

from .gateway_requests import MODEL, OURS, completions_app

CHAT = {"messages": [{"role": "user", "content": "Who are you?"}]}
TEXT = {"prompt": "Who are you?"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}


async def post(body: Any) -> AppResponse:
    """Send a request to the route of chats if it contains messages, else to that of text."""
    route = "chat/completions" if isinstance(body, dict) and "messages" in body else "completions"
    return await call_app(completions_app(TextGenerator()), "POST", f"/gateway/front/v1/{route}", body, OURS)


@pytest.mark.parametrize("prompt", [CHAT, TEXT], ids=["chat", "text"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("functions", [{"name": "f"}]),
        ("function_call", "auto"),
        ("structured_outputs", {"regex": "a"}),
        ("guided_json", {"type": "object"}),
        ("guided_choice", ["a", "b"]),
        ("modalities", ["text", "audio"]),
        ("suffix", "the end"),
        ("prompt_logprobs", 1),
        ("logit_bias", {"50256": -100}),
        ("best_of", 2),
        ("bad_words", ["emulator"]),
        ("allowed_token_ids", [1]),
        ("stop_token_ids", [1]),
        ("regex", "a+"),
        ("use_beam_search", True),
        ("continue_final_message", True),
        ("return_token_ids", True),
    ],
)
async def test_what_the_generator_cannot_do_is_refused(prompt: dict[str, Any], field: str, value: Any) -> None:
    response = await post({"model": MODEL, **prompt, field: value})
    assert (response.status, response.error["param"], response.error["code"]) == (400, field, "unsupported_parameter")
    assert response.error["message"].startswith(f"{field}: the emulator's text generator does not support it yet")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", [TOOL]),
        ("tool_choice", "auto"),
        ("response_format", {"type": "json_object"}),
        ("response_format", SCHEMA),
    ],
)
async def test_what_only_a_chat_can_have_is_refused_for_text(field: str, value: Any) -> None:
    response = await post({"model": MODEL, **TEXT, field: value})
    assert (response.status, response.error["param"], response.error["code"]) == (400, field, "unsupported_parameter")


@pytest.mark.parametrize("prompt", [CHAT, TEXT], ids=["chat", "text"])
@pytest.mark.parametrize(
    "harmless",
    [
        {"tools": None, "tool_choice": None, "response_format": None, "suffix": None},
        {"tools": [], "tool_choice": "none", "response_format": {"type": "text"}, "modalities": ["text"], "suffix": ""},
        {"logit_bias": {}, "n": 2, "best_of": 2, "use_beam_search": False, "stop_token_ids": []},
    ],
)
async def test_values_that_ask_for_nothing_are_accepted(prompt: dict[str, Any], harmless: dict[str, Any]) -> None:
    assert (await post({"model": MODEL, **prompt, **harmless})).status == 200


async def test_what_the_generator_cannot_add_to_a_stream_is_refused() -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    response = await post({"model": MODEL, **CHAT, "stream": True, "stream_options": options})
    assert (response.status, response.error["param"]) == (400, "stream_options.continuous_usage_stats")


async def test_there_are_no_fewer_candidates_than_choices() -> None:
    response = await post({"model": MODEL, **TEXT, "n": 3, "best_of": 2})
    assert (response.status, response.error["param"]) == (400, "best_of")
    assert "expected an integer from 3 to 128, got 2" in response.error["message"]


@pytest.mark.parametrize("prompt", [CHAT, TEXT], ids=["chat", "text"])
@pytest.mark.parametrize("least", [20, 300])
async def test_a_text_has_min_tokens_whatever_could_end_it_before(prompt: dict[str, Any], least: int) -> None:
    body = {"model": MODEL, **prompt, "max_tokens": 1000, "stop": [" ", "."]}
    short = (await post(body)).json
    long = (await post({**body, "min_tokens": least})).json
    assert short["usage"]["completion_tokens"] < least <= long["usage"]["completion_tokens"] <= least + 2
    assert (short["choices"][0]["finish_reason"], long["choices"][0]["finish_reason"]) == ("stop", "stop")


@pytest.mark.parametrize("least", [1, 200])
async def test_a_text_that_has_min_tokens_ends_with_its_sentence(least: int) -> None:
    choice = (await post({"model": MODEL, **TEXT, "max_tokens": 1000, "min_tokens": least})).json["choices"][0]
    assert (choice["text"][-1], choice["finish_reason"]) == (".", "stop")


async def test_min_tokens_are_no_more_than_max_tokens() -> None:
    response = await post({"model": MODEL, **TEXT, "max_tokens": 5, "min_tokens": 6})
    assert (response.status, response.error["message"]) == (400, "min_tokens: expected an integer from 0 to 5, got 6")


async def test_there_can_be_more_stop_sequences_than_openai_allows() -> None:
    response = await post({"model": MODEL, **TEXT, "stop": ["1", "2", "3", "4", "5", "built-in"]})
    assert response.json["choices"][0]["text"] == "This is the emulator's "


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [([7, 8, 9, 10, 11], [" 7", " 8", " 9", " 10", " 11"]), ("Who are you?", ["Who", " are", " you", "?"])],
    ids=["ids", "text"],
)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("generated", [0, 1, 3])
async def test_an_echo_has_a_log_probability_for_every_token_but_the_first(
    prompt: Any, tokens: list[str], stream: bool, generated: int
) -> None:
    body = {"model": MODEL, "prompt": prompt, "echo": True, "logprobs": 1, "max_tokens": generated, "stream": stream}
    choices = choices_of(await post(body), stream)
    text = "".join(each["text"] for each in choices)
    logprobs = {
        name: [value for each in choices for value in each["logprobs"][name]] for name in choices[0]["logprobs"]
    }
    assert text.startswith("".join(tokens))
    assert logprobs["tokens"][: len(tokens)] == tokens
    assert "".join(logprobs["tokens"]) == text
    assert {name: len(values) for name, values in logprobs.items()} == dict.fromkeys(logprobs, len(tokens) + generated)
    assert (logprobs["token_logprobs"][0], logprobs["top_logprobs"][0]) == (None, None)
    rest = zip(logprobs["token_logprobs"][1:], logprobs["top_logprobs"][1:], strict=True)
    assert all(logprob == max(top.values()) <= 0 for logprob, top in rest)
    places = zip(logprobs["text_offset"], logprobs["tokens"], strict=True)
    assert all(text[offset:].startswith(token) for offset, token in places)


def choices_of(response: AppResponse, stream: bool) -> list[Any]:
    return [each["choices"][0] for each in response.events[:-1]] if stream else response.json["choices"]


async def test_each_prompt_of_several_is_echoed() -> None:
    body = {"model": MODEL, "prompt": [[1, 2, 3], [4]], "echo": True, "logprobs": 0, "max_tokens": 0, "n": 2}
    response = await post(body)
    assert [each["text"] for each in response.json["choices"]] == [" 1 2 3", " 1 2 3", " 4", " 4"]
    assert response.json["usage"] == {"prompt_tokens": 4, "completion_tokens": 0, "total_tokens": 4}


async def test_without_an_echo_the_first_token_has_a_log_probability() -> None:
    (choice,) = (await post({"model": MODEL, "prompt": [1, 2], "logprobs": 1, "max_tokens": 1})).json["choices"]
    assert choice["logprobs"]["token_logprobs"][0] <= 0


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"org/model","prompt":"Hi","x":NaN}',
        b'{"model":"org/model","prompt":"Hi","temperature":-Infinity}',
        b'\xef\xbb\xbf{"model":"org/model","prompt":"Hi"}',
        '{"model":"org/model","prompt":"Hi"}'.encode("utf-16"),
    ],
)
async def test_a_body_is_json_in_utf_8(body: bytes) -> None:
    response = await post(body)
    assert (response.status, "The body is not JSON" in response.error["message"]) == (400, True)

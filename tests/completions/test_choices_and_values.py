"""Choices in any order, and the values that OpenAI-compatible servers send: `finish_reason`, `usage`, event types."""

import json
from typing import Any

import pytest

from cwinference import errors
from tests.support.inference_kinds import connected
from tests.support.scripted_model_server import (
    DONE,
    ScriptedResponse,
    chunk_event,
    completion,
    endless_silence,
    endlessly,
    event,
    json_response,
    stream_response,
)


def choice(text: str, index: Any = ..., reason: str | None = None, part: str = "delta") -> dict[str, Any]:
    """Return a choice of a chunk, or of a completion; without an index if none is given."""
    numbered = {} if index is ... else {"index": index}
    return {**numbered, part: {"content": text}, "finish_reason": reason}


def of(*choices: Any, **more: Any) -> bytes:
    return event({"choices": list(choices), **more})


ORDERS: list[list[dict[str, Any]]] = [
    [choice("Paris", 0), choice("London", 1)],
    [choice("London", 1), choice("Paris", 0)],
    [choice("Rome", 2), choice("London", 1), choice("Paris", 0)],
    [choice("London", 1), choice("Paris", None)],
    [choice("London", 1), choice("Paris")],
    [choice("Paris"), choice("London")],
    [choice("London", "1"), choice("Paris", "0")],
    [choice("London", 1), choice("Paris", 0.0)],
    [choice("London", 1, "stop"), choice("Paris", 0)],
]


@pytest.mark.parametrize("choices", ORDERS)
async def test_the_text_is_that_of_the_choice_with_index_0(kind: str, choices: list[dict[str, Any]]) -> None:
    whole = [{**each, "message": each["delta"]} for each in choices]
    async with connected(kind, lambda _: json_response({"choices": whole})) as (inference, _):
        assert (await inference.chat()).text == "Paris"
    async with connected(kind, lambda _: stream_response(of(*choices), DONE)) as (inference, _):
        stream = inference.stream(n=2)
        (chunk,) = await inference.read(stream)
    assert (chunk.text, stream.text) == ("Paris", "Paris")
    assert chunk.raw["choices"] == choices


@pytest.mark.parametrize("index", [None, ..., 0, "0", False])
async def test_a_single_choice_may_have_any_form_of_the_index_0(kind: str, index: Any) -> None:
    async with connected(kind, lambda _: stream_response(of(choice("Paris", index)), DONE)) as (inference, _):
        stream = inference.stream()
        await inference.read(stream)
    assert stream.text == "Paris"


async def test_the_reason_is_that_of_the_choice_with_index_0(kind: str) -> None:
    events = [
        of(choice("London", 1, "stop"), choice("Pa", 0)),
        of(choice("", 1, "stop"), choice("ris", 0, "length")),
    ]
    async with connected(kind, lambda _: stream_response(*events, DONE)) as (inference, _):
        chunks = await inference.read(inference.stream(n=2))
    assert [(chunk.text, chunk.finish_reason) for chunk in chunks] == [("Pa", None), ("ris", "length")]
    whole = [choice("London", 1, "stop", "message"), choice("Paris", 0, "length", "message")]
    async with connected(kind, lambda _: json_response({"choices": whole})) as (inference, _):
        assert (await inference.chat()).finish_reason == "length"


async def test_a_stream_of_other_choices_does_not_stall_and_has_no_text_of_its_own(kind: str) -> None:
    """The first choice is done, the second goes on: that is content, although it is not the text of the stream."""
    events = [of(choice("Paris", 0, "stop")), *[of(choice("", 0), choice("x", 1))] * 3, of(choice("y", 1, "stop"))]
    async with connected(kind, lambda _: stream_response(*events, DONE)) as (inference, _):
        stream = inference.stream(n=2)
        chunks = await inference.read(stream)
    assert all(chunk.has_content for chunk in chunks)
    assert [chunk.text for chunk in chunks] == ["Paris", "", "", "", "y"]
    assert stream.text == "Paris"


ODD_CHOICES: list[Any] = [[], [None], ["x"], [[]], [{}], [{"delta": None}], [{"delta": []}], [{"index": []}], {}, "x"]


@pytest.mark.parametrize("choices", ODD_CHOICES)
async def test_choices_of_odd_types_have_no_text(kind: str, choices: Any) -> None:
    events = [event({"choices": choices}), chunk_event("Paris")]
    async with connected(kind, lambda _: stream_response(*events, DONE)) as (inference, _):
        stream = inference.stream()
        chunks = await inference.read(stream)
    assert [(chunk.text, chunk.finish_reason, chunk.has_content) for chunk in chunks] == [
        ("", None, False), ("Paris", None, True),
    ]  # fmt: skip
    assert stream.text == "Paris"


REASONS: list[tuple[Any, str | None]] = [
    ("", None),
    (None, None),
    (0, None),
    (["stop"], None),
    ("stop", "stop"),
    ("length", "length"),
    ("eos_token", "eos_token"),
    ("abort", "abort"),
]


@pytest.mark.parametrize(("sent", "expected"), REASONS)
async def test_only_a_text_is_a_finish_reason(kind: str, sent: Any, expected: str | None) -> None:
    body = completion()
    body["choices"][0]["finish_reason"] = sent
    async with connected(kind, lambda _: json_response(body)) as (inference, _):
        result = await inference.chat()
    assert result.finish_reason == expected
    assert result.raw["choices"][0]["finish_reason"] == sent
    async with connected(kind, lambda _: stream_response(chunk_event("a", sent), DONE)) as (inference, _):
        (chunk,) = await inference.read(inference.stream())
    assert chunk.finish_reason == expected
    assert chunk.raw["choices"][0]["finish_reason"] == sent


async def test_an_empty_finish_reason_does_not_count_as_content(kind: str) -> None:
    keep_alive = of({"index": 0, "delta": {"content": ""}, "finish_reason": ""})
    async with connected(kind, lambda _: stream_response(keep_alive, after=endless_silence())) as (inference, _):
        with pytest.raises(errors.StreamStalled, match="no first token"):
            await inference.read(inference.stream(idle_timeout=0.2))


USAGES: list[tuple[Any, tuple[int, int, int] | None]] = [
    (None, None),
    ({}, None),
    ([], None),
    ("many", None),
    (7, None),
    ({"total_tokens": 7}, (0, 0, 7)),
    ({"prompt_tokens": 3, "completion_tokens": 4}, (3, 4, 7)),
    ({"prompt_tokens": 3.0, "completion_tokens": 4.0, "total_tokens": 7.0}, (3, 4, 7)),
    ({"prompt_tokens": 3, "completion_tokens": None, "total_tokens": None}, (3, 0, 3)),
    ({"prompt_tokens": "3", "total_tokens": 7}, (0, 0, 7)),
    ({"total_tokens": float("nan"), "prompt_tokens": float("inf"), "completion_tokens": 1}, (0, 1, 1)),
    ({"prompt_tokens": 10**400, "completion_tokens": 0}, (10**400, 0, 10**400)),
]


@pytest.mark.parametrize(("sent", "expected"), USAGES)
async def test_the_usage_is_none_or_whole_numbers(kind: str, sent: Any, expected: tuple[int, int, int] | None) -> None:
    def counts(usage: Any) -> tuple[int, int, int] | None:
        return None if usage is None else (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)

    async with connected(kind, lambda _: json_response(completion(usage=sent))) as (inference, _):
        assert counts((await inference.chat()).usage) == expected
        assert inference.wrapped.stats().tokens == (expected or (0, 0, 0))[2]
    last = event({"choices": [], "usage": sent})
    async with connected(kind, lambda _: stream_response(chunk_event("a"), last, DONE)) as (inference, _):
        stream = inference.stream()
        assert stream.usage is None
        await inference.read(stream)
        assert counts(stream.usage) == expected
        assert inference.wrapped.stats().tokens == (expected or (0, 0, 0))[2]


async def test_a_missing_usage_is_none_and_does_not_replace_an_earlier_one(kind: str) -> None:
    body = completion()
    del body["usage"]
    async with connected(kind, lambda _: json_response(body)) as (inference, _):
        assert (await inference.chat()).usage is None
    events = [chunk_event("a", usage={"total_tokens": 1}), chunk_event("b", usage=None), chunk_event("c", usage=["x"])]
    async with connected(kind, lambda _: stream_response(*events, DONE)) as (inference, _):
        stream = inference.stream()
        await inference.read(stream)
    assert stream.usage.total_tokens == 1


CONTENTS: list[tuple[Any, str]] = [
    (None, ""),
    ("", ""),
    ([], ""),
    (["a"], ""),
    ([{"type": "text", "text": "Par"}, {"type": "image_url"}, {"type": "text", "text": "is"}], "Paris"),
    ([{"type": "text", "text": None}, None, {"text": "Paris"}], "Paris"),
    ({"text": "x"}, ""),
    (5, ""),
]


@pytest.mark.parametrize(("content", "text"), CONTENTS)
async def test_content_of_any_type_has_a_text(kind: str, content: Any, text: str) -> None:
    async with connected(kind, lambda _: json_response(completion(content))) as (inference, _):
        assert (await inference.chat()).text == text
    async with connected(kind, lambda _: stream_response(chunk_event(content), DONE)) as (inference, _):
        stream = inference.stream()
        (chunk,) = await inference.read(stream)
    assert (chunk.text, stream.text) == (text, text)


# --- Events with a type


def named(name: str, data: str) -> bytes:
    lines = [f"event: {name}", *(f"data: {line}" for line in data.split("\n")), "", ""]
    return "\n".join(lines).encode()


FOREIGN = [
    ("ping", "{}"),
    ("ping", '{"type": "ping"}'),
    ("ping", '{"error": null}'),
    ("ping", ""),
    ("ping", "2026-01-01"),
    ("ping", "[1]"),
    ("ping", "{"),
    ("ping", "\n\n"),
    ("heartbeat", "null"),
    ("usage", '{"usage": {"total_tokens": 9}}'),
    ("metadata", '{"message": "hello"}'),
]


@pytest.mark.parametrize(("name", "data"), FOREIGN)
async def test_events_of_other_types_are_ignored(kind: str, name: str, data: str) -> None:
    events = [named(name, data), chunk_event("Par"), named(name, data), chunk_event("is"), named(name, data)]
    async with connected(kind, lambda _: stream_response(*events, DONE)) as (inference, _):
        stream = inference.stream()
        chunks = await inference.read(stream)
    assert [chunk.text for chunk in chunks] == ["Par", "is"]
    assert stream.usage is None


async def test_events_of_other_types_are_no_content(kind: str) -> None:
    def respond(_: Any) -> Any:
        return stream_response(chunk_event("Par"), after=endlessly(lambda: named("ping", "{}")))

    async with connected(kind, respond) as (inference, _):
        with pytest.raises(errors.StreamStalled, match="nothing more") as caught:
            await inference.read(inference.stream(idle_timeout=0.2, first_token_timeout=30))
    assert caught.value.partial_text == "Par"


@pytest.mark.parametrize("name", ["message", "completion", "chat.completion.chunk", "delta", ""])
async def test_chunks_may_have_a_type(kind: str, name: str) -> None:
    data = json.dumps({"choices": [choice("Paris", 0)]})
    events = [named(name, data), named("done", "[DONE]")]
    async with connected(kind, lambda _: stream_response(*events)) as (inference, _):
        chunks = await inference.read(inference.stream())
    assert [chunk.text for chunk in chunks] == ["Paris"]


ERROR_EVENTS: list[tuple[str, str, type[errors.InferenceError], str]] = [
    ("error", '{"error": {"message": "no memory", "code": 503}}', errors.Unavailable, "no memory"),
    ("error", '{"error": "no memory"}', errors.Unknown, "no memory"),
    ("error", '{"message": "no memory", "code": 500}', errors.Internal, "no memory"),
    ("error", '{"error": null, "message": "no memory"}', errors.Unknown, "no memory"),
    ("error", '{"type": "overloaded_error", "message": "no memory"}', errors.Unavailable, "no memory"),
    ("error", "no memory", errors.Unknown, "no memory"),
    ("error", '{"choices": [], "reason": "no memory"}', errors.Unknown, "no memory"),
    ("Error", "no memory", errors.Unknown, "no memory"),
    ("ERROR", '{"code": 429, "message": "no memory"}', errors.ResourceExhausted, "no memory"),
    ("error", "{", errors.Unknown, "{"),
    ("error", "[1]", errors.Unknown, "[1]"),
    ("error", "", errors.ProtocolError, "an error event without an error"),
    ("error", "{}", errors.ProtocolError, "an error event without an error"),
    ("error", '{"error": {}}', errors.ProtocolError, "an error event without an error"),
    ("ping", '{"error": {"message": "no memory", "code": 503}}', errors.Unavailable, "no memory"),
    ("message", '{"error": {"message": "no memory", "code": 503}}', errors.Unavailable, "no memory"),
]


@pytest.mark.parametrize(("name", "data", "error_class", "text"), ERROR_EVENTS)
async def test_an_error_event_ends_a_stream(
    kind: str, name: str, data: str, error_class: type[errors.InferenceError], text: str
) -> None:
    events = [chunk_event("Par"), named(name, data), chunk_event("is"), DONE]
    async with connected(kind, lambda _: stream_response(*events)) as (inference, server):
        stream = inference.stream()
        with pytest.raises(errors.InferenceError) as caught:
            await inference.read(stream)
        assert inference.wrapped.stats().failed == 1
    assert type(caught.value) is error_class
    assert text in str(caught.value)
    assert stream.text == "Par"
    assert len(server.requests) == 1


@pytest.mark.parametrize("pieces", [[b"data: [DONE]\n", b""], [b"data: [DONE]", b"", b""], [b"data: [DONE]\r", b"\n"]])
async def test_an_end_mark_may_be_followed_by_empty_pieces(kind: str, pieces: list[bytes]) -> None:
    response = ScriptedResponse([chunk_event("Paris"), *pieces], 200, {"content-type": "text/event-stream"})
    async with connected(kind, lambda _: response) as (inference, _):
        chunks = await inference.read(inference.stream())
    assert [chunk.text for chunk in chunks] == ["Paris"]

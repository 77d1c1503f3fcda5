"""A completion of which only the usual part was read shows what the whole one shows, and nothing that is no JSON."""

import json
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cwinference._calls.clock import Clock
from cwinference.errors import InferenceError
from cwinference.inference import _model_server, _responses, _stream_reader, _usual_parts
from cwinference.inference._responses import Chunk, Completion
from cwinference.inference._stream_reader import StreamReader
from tests.unit.test_fast_json import BYTES, SPELLINGS, TEXTS

Seen = tuple[Any, ...] | str


def seen_in_event(event: bytes, *, wholly: bool) -> Seen:
    """What a stream of one event shows, or the error that it raises."""
    reader = StreamReader("chat.completions", None, None, Clock())
    read = _nothing if wholly else _usual_parts.read_chunk
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_stream_reader, "read_chunk", read)
        try:
            chunks = list(reader.receive(b"data: " + event + b"\n\n"))
        except InferenceError as error:
            return str(error)
    usage = None if reader.usage is None else repr(reader.usage.raw)
    return reader.text, usage, [(each.text, each.finish_reason, each.has_content, repr(each.raw)) for each in chunks]


def seen_in_body(body: bytes) -> Seen:
    """What a whole completion shows, by the usual part if that suffices, and read as a whole."""
    found = _usual_parts.read_completion(body)
    if found is None or len(found.choices) != 1:
        return "read as a whole"
    return shown(_responses.unread_completion(body, found, None, 1)), _responses.total_tokens(found.usage)


def seen_wholly_in_body(body: bytes) -> Seen:
    response: Any = Response(body)
    raw = _responses.check_completion(_model_server._parsed(response, "chat.completions"))
    return shown(Completion(raw)), _responses.total_tokens(raw.get("usage"))


def shown(completion: Completion) -> Seen:
    usage = completion.usage
    first = (completion.text, completion.finish_reason, None if usage is None else repr(usage.raw))
    return *first, repr(completion.raw), completion.text, completion.finish_reason, completion.id, completion.model


class Response:
    def __init__(self, body: bytes) -> None:
        self.body = body


def _nothing(text: bytes) -> None:
    """Read no part, as without msgspec."""


def check(text: str | bytes) -> None:
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    if b"\n" not in data and b"\r" not in data:
        assert seen_in_event(data, wholly=False) == seen_in_event(data, wholly=True)
    seen = seen_in_body(data)
    if seen != "read as a whole":
        assert seen == seen_wholly_in_body(data)


VALUES = [*SPELLINGS[:-3], *(value.decode("utf-8", "surrogateescape") for value in BYTES)]
PLACES = [
    '{{"choices": [{{"delta": {{"content": "a"}}, "message": {{"content": "a"}}}}], "x": {}}}',
    '{{"x": {}, "choices": [{{"index": 0, "finish_reason": "stop", "text": "a"}}]}}',
    '{{"choices": [{{"delta": {{"content": {0}}}, "message": {{"content": {0}}}}}]}}',
    '{{"choices": [{{"delta": {0}, "message": {0}, "text": "t"}}]}}',
    '{{"choices": [{{"finish_reason": {0}, "text": {0}}}]}}',
    '{{"choices": [{{"index": {}, "text": "a"}}]}}',
    '{{"choices": [{{"text": "a"}}], "usage": {}}}',
    '{{"choices": [{{"text": "a"}}], "usage": {{"total_tokens": {}}}}}',
    '{{"choices": [{{"text": "a"}}], "error": {}}}',
    '{{"choices": {}, "message": "m"}}',
    '{{"choices": {0}, "choices": [{{"text": "a", "text": "b"}}], "choices": [{{"text": "c"}}, {0}]}}',
    '{{"choices": [{{"text": "a"}}]}}{}',
]


@pytest.mark.parametrize("place", PLACES)
def test_every_value_anywhere_is_shown_as_the_whole_shows_it(place: str) -> None:
    for value in VALUES:
        check(place.format(value))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PLACES), TEXTS)
def test_a_generated_value_is_shown_as_the_whole_shows_it(place: str, value: str) -> None:
    check(place.format(value))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PLACES), st.data())
def test_a_damaged_completion_is_shown_as_the_whole_shows_it(place: str, data: st.DataObject) -> None:
    text = place.format(1).encode()
    at = data.draw(st.integers(0, len(text)))
    check(text[:at] + data.draw(st.binary(max_size=3)) + text[at + data.draw(st.integers(0, 3)) :])


def test_a_chunk_is_read_as_a_whole_when_raw_is_asked_for_and_once() -> None:
    reader = StreamReader("chat.completions", None, None, Clock())
    value = {"id": "1", "choices": [{"index": 0, "delta": {"content": "\u00e9"}, "finish_reason": "stop"}]}
    (chunk,) = reader.receive(b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n")
    copy: Chunk = pickle.loads(pickle.dumps(chunk))  # noqa: S301 - our own bytes
    assert chunk._raw is None
    assert chunk.raw == copy.raw == value
    assert chunk.raw is chunk.raw


def test_what_is_changed_in_raw_changes_what_a_completion_shows() -> None:
    body = b'{"choices": [{"message": {"content": "a"}}]}'
    found = _usual_parts.read_completion(body)
    assert found is not None
    completion = _responses.unread_completion(body, found, None, 1)
    completion.raw["choices"][0]["message"]["content"] = "b"
    assert completion.text == "b"
    assert pickle.loads(pickle.dumps(completion)).text == "b"  # noqa: S301 - our own bytes


def test_the_usual_way_is_taken_for_what_servers_send() -> None:
    event = b'{"id": "1", "choices": [{"index": 0, "delta": {"content": "\xc3\xa9"}, "logprobs": null}], "usage": null}'
    assert _usual_parts.read_chunk(event) is not None
    body = b'{"id": "1", "choices": [{"index": 0, "message": {"content": "a"}}], "usage": {"total_tokens": 3}}'
    assert _usual_parts.read_completion(body) is not None

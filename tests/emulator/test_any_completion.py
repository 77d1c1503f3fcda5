"""Whatever is sent below a gateway's endpoint gets a response in OpenAI's form, and never an internal error."""

import asyncio
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cwinference.emulator.gateway.models.text_generator import TextGenerator
from tests.support.asgi_requests import call_app

from .gateway_requests import MODEL, OURS, completions_app

APP = completions_app(TextGenerator())
WORDS = st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)
FLAG = st.booleans()
PARTS = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": WORDS}), min_size=1)
MESSAGE = st.fixed_dictionaries({"role": WORDS, "content": WORDS | PARTS})
VALID: dict[str, st.SearchStrategy[Any]] = {
    "max_tokens": st.integers(1, 99),
    "max_completion_tokens": st.integers(1, 99),
    "min_tokens": st.integers(0, 20),
    "n": st.integers(1, 3),
    "seed": st.integers(-5, 5),
    "stop": st.lists(WORDS.filter(bool), max_size=4),
    "stream": FLAG,
    "temperature": st.floats(0, 2),
    "echo": FLAG,
    "frequency_penalty": st.floats(-2, 2),
    "ignore_eos": FLAG,
    "include_stop_str_in_output": FLAG,
}
REQUIRED = {
    "model": st.just(MODEL),
    "prompt": WORDS | st.lists(WORDS, min_size=1, max_size=3) | st.lists(st.integers(0, 9), min_size=1),
    "messages": st.lists(MESSAGE, min_size=1, max_size=3),
}
NAMES = st.sampled_from([*REQUIRED, *VALID, "logprobs", "top_logprobs", "stream_options"])
BODIES = st.builds(
    lambda body, random_fields: {**body, **random_fields},
    st.fixed_dictionaries(REQUIRED, optional=VALID),
    st.just({}) | st.dictionaries(NAMES, VALUES, max_size=2),
)
"""Valid fields, and up to two that may be anything."""
ROUTES = st.sampled_from([*["completions", "chat/completions"] * 3, "models", "models/x", "unknown"])


@settings(max_examples=300, derandomize=True, deadline=None)
@given(
    st.sampled_from(["POST", "POST", "POST", "GET"]),
    ROUTES,
    BODIES.map(lambda body: json.dumps(body).encode()) | st.binary(),
)
def test_any_request_gets_a_response(verb: str, route: str, body: bytes) -> None:
    response = asyncio.run(call_app(APP, verb, f"/gateway/front/v1/{route}", body, OURS))
    assert response.status in (200, 400, 404, 405)
    assert response.complete
    if response.status != 200:
        assert set(response.error) == {"message", "type", "param", "code"}
    elif response.headers["content-type"].startswith("text/event-stream"):
        assert response.events[-1] == "[DONE]"
    else:
        assert response.json["object"]

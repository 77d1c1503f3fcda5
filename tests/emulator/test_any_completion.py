"""Whatever is sent below a gateway is answered as by OpenAI's servers, and never as if the emulator had broken."""

import asyncio
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cwinference.emulator.gateway.models.text_generator import Builtin
from tests.support.asgi_requests import ask

from .gateway_requests import MODEL, OURS, completions

APP = completions(Builtin())
WORDS = st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)
FLAG = st.booleans()
PARTS = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": WORDS}), min_size=1)
MESSAGE = st.fixed_dictionaries({"role": WORDS, "content": WORDS | PARTS})
SENSIBLE: dict[str, st.SearchStrategy[Any]] = {
    "max_tokens": st.integers(1, 99),
    "max_completion_tokens": st.integers(1, 99),
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
NEEDED = {
    "model": st.just(MODEL),
    "prompt": WORDS | st.lists(WORDS, min_size=1, max_size=3) | st.lists(st.integers(0, 9), min_size=1),
    "messages": st.lists(MESSAGE, min_size=1, max_size=3),
}
NAMES = st.sampled_from([*NEEDED, *SENSIBLE, "logprobs", "top_logprobs", "stream_options"])
BODIES = st.builds(
    lambda body, strange: {**body, **strange},
    st.fixed_dictionaries(NEEDED, optional=SENSIBLE),
    st.just({}) | st.dictionaries(NAMES, VALUES, max_size=2),
)
"""What makes sense, and up to two fields that may be anything."""
ROUTES = st.sampled_from([*["completions", "chat/completions"] * 3, "models", "models/x", "nowhere"])


@settings(max_examples=300, derandomize=True, deadline=None)
@given(
    st.sampled_from(["POST", "POST", "POST", "GET"]),
    ROUTES,
    BODIES.map(lambda body: json.dumps(body).encode()) | st.binary(),
)
def test_any_request_is_answered(verb: str, route: str, body: bytes) -> None:
    answer = asyncio.run(ask(APP, verb, f"/gateway/front/v1/{route}", body, OURS))
    assert answer.status in (200, 400, 404, 405)
    assert answer.complete
    if answer.status != 200:
        assert set(answer.error) == {"message", "type", "param", "code"}
    elif answer.headers["content-type"].startswith("text/event-stream"):
        assert answer.events[-1] == "[DONE]"
    else:
        assert answer.json["object"]

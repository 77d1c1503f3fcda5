"""The openai package, as handed over: it reaches the model with the right URL, token and headers."""

import sys
from typing import Any

import pytest

from cwinference import errors, types
from cwinference.inference import AsyncInference, Inference
from tests.support.scripted_model_server import (
    DONE,
    MODEL,
    Asked,
    ModelServer,
    Reply,
    completion,
    piece,
    plain,
    streamed,
)

pytest.importorskip("openai")

NOWHERE = "http://127.0.0.1:9"
MESSAGES: Any = [{"role": "user", "content": "Hi"}]
ROUTINGS: list[tuple[Any, str]] = [
    (types.BodyBasedRouting(), "/v1/chat/completions"),
    (types.HeaderBasedRouting(header_name="X-Model"), "/v1/chat/completions"),
    (types.PathBasedRouting(), "/org%2Fmodel/v1/chat/completions"),
]


def answer(got: Asked) -> Reply:
    if got.body.get("stream"):
        return streamed(piece("Par"), piece("is", "stop"), DONE)
    return plain({**completion(), "created": 1})


@pytest.mark.parametrize(("routing", "path"), ROUTINGS)
def test_the_blocking_client_asks_and_streams(routing: Any, path: str) -> None:
    with (
        ModelServer(answer) as server,
        Inference(server.url, token="CW-SECRET-x", routing=routing) as front,
        front.openai(model=MODEL) as client,
    ):
        whole = client.chat.completions.create(model=MODEL, messages=MESSAGES)
        pieces = list(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    assert whole.choices[0].message.content == "Paris"
    assert "".join(each.choices[0].delta.content or "" for each in pieces) == "Paris"
    assert [each.path for each in server.asked] == [path] * 2
    assert {each.headers["authorization"] for each in server.asked} == {"Bearer CW-SECRET-x"}
    if isinstance(routing, types.HeaderBasedRouting):
        assert server.asked[0].headers["x-model"] == MODEL


@pytest.mark.parametrize(("routing", "path"), ROUTINGS)
async def test_the_asyncio_client_asks_and_streams(routing: Any, path: str) -> None:
    async def token() -> str:
        return "of-a-coroutine"

    with ModelServer(answer) as server:
        async with AsyncInference(server.url, token=token, routing=routing) as front, front.openai(MODEL) as client:
            whole = await client.chat.completions.create(model=MODEL, messages=MESSAGES)
            stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
            pieces = [each async for each in stream]
    assert whole.choices[0].message.content == "Paris"
    assert "".join(each.choices[0].delta.content or "" for each in pieces) == "Paris"
    assert [each.path for each in server.asked] == [path] * 2
    assert {each.headers["authorization"] for each in server.asked} == {"Bearer of-a-coroutine"}


def test_options_of_its_own_win() -> None:
    with (
        Inference("http://127.0.0.1:9", token="t", timeout=5) as front,
        front.openai(max_retries=7, timeout=3) as client,
    ):
        assert (client.max_retries, client.timeout) == (7, 3)
        assert str(client.base_url) == "http://127.0.0.1:9/v1/"


@pytest.mark.parametrize("routing", [types.PathBasedRouting(), types.HeaderBasedRouting(header_name="x-model")])
def test_a_model_that_is_needed_is_asked_for(routing: Any) -> None:
    with (
        Inference("http://127.0.0.1:9", routing=routing) as front,
        pytest.raises(errors.ConfigurationError, match="model"),
    ):
        front.openai()


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with (
        Inference("http://127.0.0.1:9") as front,
        pytest.raises(errors.ConfigurationError, match=r"cwinference\[openai\]"),
    ):
        front.openai()

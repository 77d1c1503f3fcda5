"""The openai package, unchanged, against a gateway's endpoint over sockets."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from cwinference import State
from cwinference.emulator.gateway.models.text_generator import TextGenerator
from cwinference.emulator.gateway.openai_request import ModelRequest
from cwinference.emulator.gateway.response import ResponseWriter
from cwinference.emulator.server import Server

from .gateway_requests import BY_BODY, BY_HEADER, BY_PATH, MODEL, completions_app, deployment, gateway

openai = pytest.importorskip("openai")
ROUTINGS = {
    "body": (BY_BODY, "", {}),
    "header": (BY_HEADER, "", {"X-Model": MODEL}),
    "path": (BY_PATH, "/org%2Fmodel", {}),
}
MESSAGES: Any = [{"role": "user", "content": "Hi"}]


@contextmanager
def endpoint(app: Any) -> Generator[str]:
    """Serve a gateway on a port of its own; yield its endpoint."""
    server = Server(app)
    server.start()
    try:
        yield f"http://127.0.0.1:{server.port}/gateway/front"
    finally:
        server.stop()


@contextmanager
def client(url: str, path: str = "", headers: Any = None, key: str = "ours") -> Generator[Any]:
    with openai.OpenAI(base_url=f"{url}{path}/v1", api_key=key, default_headers=headers, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("routing", ROUTINGS)
def test_chats_completions_streams_and_models_work(routing: str) -> None:
    spec, path, headers = ROUTINGS[routing]
    with endpoint(completions_app(TextGenerator(), gateway(**spec))) as url, client(url, path, headers) as front:
        chat = front.chat.completions.create(model=MODEL, messages=MESSAGES)
        assert chat.choices[0].message.content.startswith("This is the emulator's built-in text generator")
        stream = front.chat.completions.create(
            model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        *chunks, last = stream
        assert "".join(each.choices[0].delta.content or "" for each in chunks) == chat.choices[0].message.content
        assert last.usage == chat.usage
        text = front.completions.create(model=MODEL, prompt="Hi", max_tokens=3, logprobs=1)
        assert "".join(text.choices[0].logprobs.tokens) == text.choices[0].text == "This is the"
        assert [each.id for each in front.models.list()] == [MODEL]
        assert front.models.retrieve(MODEL).owned_by == "cw1a2b"


async def test_its_async_client_gets_many_responses_in_parallel() -> None:
    with endpoint(completions_app(TextGenerator())) as url:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="ours") as front:
            responses = await asyncio.gather(
                *(front.completions.create(model=MODEL, prompt="Hi", seed=seed) for seed in range(20))
            )
    assert {each.usage.total_tokens for each in responses} == {17}


@pytest.mark.parametrize(
    ("model", "key", "messages", "kind", "code"),
    [
        ("nope", "ours", MESSAGES, "NotFoundError", "model_not_found"),
        ("down", "ours", MESSAGES, "InternalServerError", "not_ready"),
        (MODEL, "wrong", MESSAGES, "AuthenticationError", "invalid_api_key"),
        (MODEL, "theirs", MESSAGES, "PermissionDeniedError", "forbidden"),
        (MODEL, "ours", [], "BadRequestError", "invalid_value"),
    ],
)
def test_it_raises_its_own_error_classes(model: str, key: str, messages: Any, kind: str, code: str) -> None:
    deployments = [deployment("one"), deployment("two", "down", state=State.CREATING)]
    with endpoint(completions_app(TextGenerator(), None, deployments)) as url, client(url, key=key) as front:
        with pytest.raises(getattr(openai, kind)) as caught:
            front.chat.completions.create(model=model, messages=messages)
        assert caught.value.code == code
        assert caught.value.request_id


def test_an_error_within_a_stream_is_raised_too() -> None:
    class Failing:
        async def complete(self, request: ModelRequest, response: ResponseWriter) -> None:
            await response.event({"id": "1", "choices": []})
            await response.event({"error": {"message": "The model server failed"}})
            await response.end()

    with endpoint(completions_app(Failing())) as url, client(url) as front:
        stream = front.completions.create(model=MODEL, prompt="Hi", stream=True)
        with pytest.raises(openai.APIError, match="The model server failed"):
            list(stream)


async def test_generation_stops_when_its_stream_is_closed() -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()

    class Endless:
        async def complete(self, request: ModelRequest, response: ResponseWriter) -> None:
            try:
                while True:
                    await response.event({"id": "1", "choices": [{"index": 0, "text": "word "}]})
                    await asyncio.sleep(0)
            finally:
                loop.call_soon_threadsafe(stopped.set)

    with endpoint(completions_app(Endless())) as url:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="ours") as front:
            async with await front.completions.create(model=MODEL, prompt="Hi", stream=True) as stream:
                async for chunk in stream:
                    assert chunk.choices[0].text == "word "
                    break
            async with asyncio.timeout(5):
                await stopped.wait()

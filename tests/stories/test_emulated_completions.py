"""Completions from end to end: our client, over HTTP/1.1 and HTTP/2, against the gateways of the emulator."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cwinference import AsyncClient, errors, types
from cwinference.emulator.gateway.openai_request import ModelRequest
from cwinference.emulator.gateway.response import ResponseWriter
from cwinference.emulator.server import Server
from tests.emulator.gateway_requests import completions_app
from tests.support.inference_kinds import KINDS, Front, open_front
from tests.support.ready_gateways import MODEL, ROUTINGS, deploy, front
from tests.support.ready_gateways import Front as There

OTHER = types.DeploymentModel(name="org/other:7b", bucket="models", path="other")


@asynccontextmanager
async def asked(kind: str, routing: str = "body", **settings: Any) -> AsyncGenerator[tuple[Front, There]]:
    """A client's `Inference` of a gateway, of one of `KINDS`."""
    mode, _, version = kind.partition("-")
    options: Any = {"http_version": int(version)}
    with front(routing, **settings) as there:
        if mode == "sync":
            with there.client.inference(there.gateway, **options) as blocking:
                yield Front(blocking), there
        else:
            emulator = there.emulator
            async with (
                AsyncClient(emulator.token, endpoint=emulator.endpoint) as client,
                client.inference(there.gateway, **options) as awaiting,
            ):
                yield Front(awaiting), there


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_model_is_asked_streamed_and_listed(kind: str, routing: str) -> None:
    async with asked(kind, routing) as (asking, _):
        answer = await asking.chat(max_tokens=60)
        assert answer.text.startswith("This is the emulator's built-in text generator, not a model.")
        assert (answer.model, answer.finish_reason) == (MODEL, "stop")
        assert answer.usage is not None
        chunks = await asking.read(asking.stream(max_tokens=60, stream_options={"include_usage": True}))
        assert "".join(each.text for each in chunks) == answer.text
        assert len(chunks) > 20
        assert chunks[-1].raw["usage"]["total_tokens"] == answer.usage.total_tokens
        text = await asking.complete(prompt=[1, 2, 3], max_tokens=3, n=2)
        assert [each["text"] for each in text.raw["choices"]] == ["This is the"] * 2
        named = {"model": MODEL} if routing == "path" else {}
        assert [each.id for each in await asking.do(lambda inference: inference.models.list(**named))] == [MODEL]


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("kind", KINDS)
async def test_deployments_of_two_models_are_told_apart(kind: str, routing: str) -> None:
    async with asked(kind, routing) as (asking, there):
        deploy(there.client, there.gateway, "two", model=OTHER, wait=True)
        answers = await asyncio.gather(*(asking.chat(model=name) for name in (MODEL, OTHER.name) * 5))
        assert [each.model for each in answers] == [MODEL, OTHER.name] * 5


@pytest.mark.parametrize("kind", KINDS)
async def test_a_model_that_is_not_there_is_not_found_and_the_error_says_what_is(kind: str) -> None:
    async with asked(kind) as (asking, _):
        with pytest.raises(errors.NotFound, match="it serves: org/model"):
            await asking.chat(model="nope")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_value_that_the_engine_refuses_is_an_invalid_argument(kind: str) -> None:
    async with asked(kind) as (asking, _):
        with pytest.raises(errors.InvalidArgument, match="max_tokens: expected an integer from 1"):
            await asking.chat(max_tokens=0)
        with pytest.raises(errors.InvalidArgument, match="temperature"):
            await asking.read(asking.stream(temperature=3))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_deployment_that_is_disabled_answers_no_more(kind: str) -> None:
    async with asked(kind) as (asking, there):
        there.client.deployments.modify(there.deployment.spec.id, disabled=True, wait=True)
        with pytest.raises(errors.NotFound, match="disabled"):
            await asking.chat()


@pytest.mark.parametrize("kind", KINDS)
async def test_generation_stops_when_a_stream_is_left(kind: str) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()

    class Endless:
        async def complete(self, request: ModelRequest, response: ResponseWriter) -> None:
            try:
                while True:
                    await response.event({"choices": [{"index": 0, "delta": {"content": "word "}}]})
                    await asyncio.sleep(0)
            finally:
                loop.call_soon_threadsafe(stopped.set)

    server = Server(completions_app(Endless()))
    server.start()
    try:
        async with open_front(kind, f"http://127.0.0.1:{server.port}/gateway/front", "ours") as asking:
            chunks = await asking.read(asking.stream(), most=3)
            assert "".join(each.text for each in chunks) == "word word word "
            async with asyncio.timeout(5):
                await stopped.wait()
    finally:
        server.stop()

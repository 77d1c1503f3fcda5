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
from tests.support.inference_kinds import KINDS, AnyInference, open_inference
from tests.support.ready_gateways import MODEL, ROUTINGS, ReadyGateway, deploy, ready_gateway

OTHER = types.DeploymentModel(name="org/other:7b", bucket="models", path="other")


@asynccontextmanager
async def inference_of_gateway(
    kind: str, routing: str = "body", **settings: Any
) -> AsyncGenerator[tuple[AnyInference, ReadyGateway]]:
    """Open an `Inference` of one of `KINDS` for a gateway of an emulator; return both."""
    mode, _, version = kind.partition("-")
    options: Any = {"http_version": int(version)}
    with ready_gateway(routing, **settings) as ready:
        if mode == "sync":
            with ready.client.inference(ready.gateway, **options) as sync_inference:
                yield AnyInference(sync_inference), ready
        else:
            emulator = ready.emulator
            async with (
                AsyncClient(emulator.token, endpoint=emulator.endpoint) as client,
                client.inference(ready.gateway, **options) as async_inference,
            ):
                yield AnyInference(async_inference), ready


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("kind", KINDS)
async def test_completions_are_created_and_streamed_and_models_are_listed(kind: str, routing: str) -> None:
    async with inference_of_gateway(kind, routing) as (inference, _):
        completion = await inference.chat(max_tokens=60)
        assert completion.text.startswith("This is the emulator's built-in text generator, not a model.")
        assert (completion.model, completion.finish_reason) == (MODEL, "stop")
        assert completion.usage is not None
        chunks = await inference.read(inference.stream(max_tokens=60, stream_options={"include_usage": True}))
        assert "".join(each.text for each in chunks) == completion.text
        assert len(chunks) > 20
        assert chunks[-1].raw["usage"]["total_tokens"] == completion.usage.total_tokens
        text = await inference.complete(prompt=[1, 2, 3], max_tokens=3, n=2)
        assert [each["text"] for each in text.raw["choices"]] == ["This is the"] * 2
        named = {"model": MODEL} if routing == "path" else {}
        assert [each.id for each in await inference.run(lambda inference: inference.models.list(**named))] == [MODEL]


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("kind", KINDS)
async def test_requests_reach_the_deployment_of_the_model_that_they_name(kind: str, routing: str) -> None:
    async with inference_of_gateway(kind, routing) as (inference, ready):
        deploy(ready.client, ready.gateway, "two", model=OTHER, wait=True)
        completions = await asyncio.gather(*(inference.chat(model=name) for name in (MODEL, OTHER.name) * 5))
        assert [each.model for each in completions] == [MODEL, OTHER.name] * 5


@pytest.mark.parametrize("kind", KINDS)
async def test_an_unknown_model_is_not_found_and_the_error_lists_the_served_models(kind: str) -> None:
    async with inference_of_gateway(kind) as (inference, _):
        with pytest.raises(errors.NotFound, match="it serves: org/model"):
            await inference.chat(model="nope")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_value_that_the_engine_refuses_is_an_invalid_argument(kind: str) -> None:
    async with inference_of_gateway(kind) as (inference, _):
        with pytest.raises(errors.InvalidArgument, match="max_tokens: expected an integer from 1"):
            await inference.chat(max_tokens=0)
        with pytest.raises(errors.InvalidArgument, match="temperature"):
            await inference.read(inference.stream(temperature=3))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_disabled_deployment_is_not_found(kind: str) -> None:
    async with inference_of_gateway(kind) as (inference, ready):
        ready.client.deployments.modify(ready.deployment.spec.id, disabled=True, wait=True)
        with pytest.raises(errors.NotFound, match="disabled"):
            await inference.chat()


@pytest.mark.parametrize("kind", KINDS)
async def test_generation_stops_when_a_stream_is_closed(kind: str) -> None:
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
        async with open_inference(kind, f"http://127.0.0.1:{server.port}/gateway/front", "ours") as inference:
            chunks = await inference.read(inference.stream(), max_chunks=3)
            assert "".join(each.text for each in chunks) == "word word word "
            async with asyncio.timeout(5):
                await stopped.wait()
    finally:
        server.stop()

"""Check completions of the demo's real model through the emulator. `make ci-extra` runs this in .venv-demo."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from cwinference import AsyncClient, errors, types
from cwinference.emulator import Emulator
from cwinference.inference import AsyncInference

MODEL = "demo/smollm2"
FRANCE: dict[str, Any] = {"model": MODEL, "prompt": "The capital of France is", "max_tokens": 4, "temperature": 0}
LONG: dict[str, Any] = {"model": MODEL, "prompt": "Once upon a time", "max_tokens": 3000, "ignore_eos": True}


async def main() -> None:
    with Emulator(model="demo") as emulator:
        async with (
            AsyncClient(emulator.token, endpoint=emulator.endpoint) as client,
            open_inference(client) as inference,
        ):
            for check in CHECKS:
                async with asyncio.timeout(60):
                    await check(inference)
                print(f"{check.__name__.replace('_', ' ')}: ok")


@contextlib.asynccontextmanager
async def open_inference(client: AsyncClient) -> AsyncIterator[AsyncInference]:
    """Create a gateway with the model behind it, and yield its inference."""
    routing = types.PathBasedRouting()
    gateway = await client.gateways.create(
        "front", core_weave_auth=types.CoreWeaveAuth(), path_based_routing=routing, wait=True
    )
    await client.deployments.create(
        "smollm2",
        gateway_ids=[gateway.spec.id],
        runtime=types.DeploymentRuntime(engine="vllm", version="0.22.0"),
        resources=types.DeploymentResources(instance_type="gd-8xh100ib-i128", gpu_count=8),
        model=types.DeploymentModel(name=MODEL, bucket="models", path="smollm2"),
        autoscaling=types.DeploymentAutoscaling(min=1, max=1),
        traffic=types.DeploymentTraffic(),
        wait=True,
    )
    async with client.inference(gateway) as inference:
        yield inference


async def completes(inference: AsyncInference) -> None:
    completion = await inference.completions.create(**FRANCE)
    assert completion.text.startswith(" Paris"), completion.text
    assert (completion.model, completion.finish_reason) == (MODEL, "length"), completion.raw
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 4, completion.raw


async def streams(inference: AsyncInference) -> None:
    question = [{"role": "user", "content": "Explain in one sentence what a GPU is good at."}]
    request: dict[str, Any] = {"model": MODEL, "messages": question, "max_tokens": 40, "temperature": 0}
    whole = await inference.chat.completions.create(**request)
    async with inference.chat.completions.stream(**request) as stream:
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.text for chunk in chunks) == whole.text, whole.text
    assert len(chunks) > 10
    assert {chunk.raw["model"] for chunk in chunks} == {MODEL}


async def completes_concurrently(inference: AsyncInference) -> None:
    completions = await asyncio.gather(*(inference.completions.create(**FRANCE) for _ in range(20)))
    assert all(completion.text.startswith(" Paris") for completion in completions)


async def stops_abandoned_streams(inference: AsyncInference) -> None:
    """Close more streams early than there are slots; each of the four would be taken for half a minute otherwise."""
    for _ in range(12):
        async with inference.completions.stream(**LONG) as stream:
            assert (await anext(aiter(stream))).text
    async with asyncio.timeout(20):
        await completes(inference)


async def rejects_prompts_that_are_too_long(inference: AsyncInference) -> None:
    message = ""
    try:
        await inference.completions.create(**{**FRANCE, "prompt": "x " * 9000})
    except errors.InvalidArgument as error:
        message = error.message
    assert "context" in message, message


CHECKS = (completes, streams, completes_concurrently, stops_abandoned_streams, rejects_prompts_that_are_too_long)

if __name__ == "__main__":
    asyncio.run(main())

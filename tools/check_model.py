"""The real model of the demo, asked through the emulator in every way: run by `make ci-extra` in .venv-demo."""

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
        async with AsyncClient(emulator.token, endpoint=emulator.endpoint) as client, front_of(client) as front:
            for check in (
                it_knows,
                it_streams,
                many_share_it,
                a_stream_that_is_left_stops,
                what_it_cannot_hold_is_refused,
            ):
                async with asyncio.timeout(60):
                    await check(front)
                print(f"{check.__name__.replace('_', ' ')}: good")


@contextlib.asynccontextmanager
async def front_of(client: AsyncClient) -> AsyncIterator[AsyncInference]:
    """A gateway with the model behind it."""
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
    async with client.inference(gateway) as front:
        yield front


async def it_knows(front: AsyncInference) -> None:
    answer = await front.completions.create(**FRANCE)
    assert answer.text.startswith(" Paris"), answer.text
    assert (answer.model, answer.finish_reason) == (MODEL, "length"), answer.raw
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4, answer.raw


async def it_streams(front: AsyncInference) -> None:
    question = [{"role": "user", "content": "Explain in one sentence what a GPU is good at."}]
    asked: dict[str, Any] = {"model": MODEL, "messages": question, "max_tokens": 40, "temperature": 0}
    whole = await front.chat.completions.create(**asked)
    async with front.chat.completions.stream(**asked) as stream:
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.text for chunk in chunks) == whole.text, whole.text
    assert len(chunks) > 10
    assert {chunk.raw["model"] for chunk in chunks} == {MODEL}


async def many_share_it(front: AsyncInference) -> None:
    answers = await asyncio.gather(*(front.completions.create(**FRANCE) for _ in range(20)))
    assert all(answer.text.startswith(" Paris") for answer in answers)


async def a_stream_that_is_left_stops(front: AsyncInference) -> None:
    """Each would keep a place for half a minute, and there are four."""
    for _ in range(12):
        async with front.completions.stream(**LONG) as stream:
            assert (await anext(aiter(stream))).text
    async with asyncio.timeout(20):
        await it_knows(front)


async def what_it_cannot_hold_is_refused(front: AsyncInference) -> None:
    told = ""
    try:
        await front.completions.create(**{**FRANCE, "prompt": "x " * 9000})
    except errors.InvalidArgument as error:
        told = error.message
    assert "context" in told, told


CHECKS = (it_knows, it_streams, many_share_it, a_stream_that_is_left_stops, what_it_cannot_hold_is_refused)

if __name__ == "__main__":
    asyncio.run(main())

"""A hundred questions at once, by asyncio: python examples/quickstart_async.py

GATEWAY is the name of a gateway (front), MODEL that of a model behind it (org/llama).
"""

import asyncio
import os

from cwinference import AsyncClient, AsyncInference, errors

MODEL = os.environ.get("MODEL", "org/llama")


async def ask(inference: AsyncInference, number: int) -> int:
    """Return how many tokens a response has; 0 if there is none."""
    question = [{"role": "user", "content": f"Write one sentence about the number {number}."}]
    try:
        completion = await inference.chat.completions.create(model=MODEL, messages=question, max_tokens=50)
    except errors.InferenceError as error:
        print(f"{number}: {error}")
        return 0
    return completion.usage.completion_tokens if completion.usage else 0


async def main() -> None:
    """Ask, and print what became of it."""
    async with AsyncClient() as client:
        gateway = await client.gateways.find(os.environ.get("GATEWAY", "front"))
        async with client.inference(gateway, limit=32) as inference:  # at most 32 in flight, the others wait
            tokens = await asyncio.gather(*(ask(inference, number) for number in range(100)))
            print(f"{sum(tokens)} tokens in {inference.stats().done} responses")


asyncio.run(main())

"""Both kinds of `Inference` behind one interface, so that each scenario is written once and runs over both."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from cwinference.inference import AsyncInference, Chunk, Completion, Inference

from .client_kinds import TOKEN
from .scripted_model_server import MODEL, RequestHandler, ScriptedModelServer

KINDS = [f"{mode}-{version}" for mode in ("sync", "async") for version in (1, 2)]
MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]


class AnyInference:
    """An `Inference` or an `AsyncInference`; sync calls run on a thread."""

    def __init__(self, inference: Inference | AsyncInference) -> None:
        self.wrapped: Any = inference
        self.is_async = isinstance(inference, AsyncInference)

    async def run(self, call: Callable[[Any], Any]) -> Any:
        """Return the result of a call of the wrapped object."""
        return await call(self.wrapped) if self.is_async else await asyncio.to_thread(call, self.wrapped)

    async def chat(self, **arguments: Any) -> Completion:
        arguments = {"model": MODEL, "messages": MESSAGES, **arguments}
        result: Completion = await self.run(lambda inference: inference.chat.completions.create(**arguments))
        return result

    async def complete(self, **arguments: Any) -> Completion:
        arguments = {"model": MODEL, "prompt": "The capital of France is", **arguments}
        result: Completion = await self.run(lambda inference: inference.completions.create(**arguments))
        return result

    def stream(self, **arguments: Any) -> Any:
        """Return a stream of a chat completion that is not opened yet."""
        return self.wrapped.chat.completions.stream(**{"model": MODEL, "messages": MESSAGES, **arguments})

    async def read(self, stream: Any, max_chunks: int | None = None) -> list[Chunk]:
        """Open a stream, return its chunks, or at most `max_chunks` of them, and close it."""
        if not self.is_async:
            return await asyncio.to_thread(_read, stream, max_chunks)
        chunks: list[Chunk] = []
        async with stream:
            async for chunk in stream:
                chunks.append(chunk)
                if len(chunks) == max_chunks:
                    break
        return chunks

    async def close(self) -> None:
        await self.run(lambda inference: inference.close())


def _read(stream: Any, max_chunks: int | None) -> list[Chunk]:
    chunks: list[Chunk] = []
    with stream:
        for chunk in stream:
            chunks.append(chunk)
            if len(chunks) == max_chunks:
                break
    return chunks


@asynccontextmanager
async def open_inference(kind: str, url: str, token: Any = TOKEN, **settings: Any) -> AsyncGenerator[AnyInference]:
    """Open an `Inference` of one of `KINDS`."""
    mode, _, version = kind.partition("-")
    settings = {"http_version": int(version), **settings}
    if mode == "async":
        async with AsyncInference(url, token=token, **settings) as async_inference:
            yield AnyInference(async_inference)
    else:
        with Inference(url, token=token, **settings) as sync_inference:
            yield AnyInference(sync_inference)


@asynccontextmanager
async def connected(
    kind: str, handler: RequestHandler, **settings: Any
) -> AsyncGenerator[tuple[AnyInference, ScriptedModelServer]]:
    """Open an `Inference` and its model server for as long as the block runs."""
    with ScriptedModelServer(handler, int(kind.partition("-")[2])) as server:
        async with open_inference(kind, server.url, **settings) as inference:
            yield inference, server

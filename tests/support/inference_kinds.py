"""Both kinds of `Inference` behind one form, so that a story is told once and run over both."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from cwinference.inference import Answer, AsyncInference, Chunk, Inference

from .client_kinds import TOKEN
from .scripted_model_server import MODEL, ModelServer
from .scripted_model_server import Answer as Told

KINDS = [f"{mode}-{version}" for mode in ("sync", "async") for version in (1, 2)]
MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]


class Front:
    """An `Inference` of either kind; what blocks runs on a thread."""

    def __init__(self, inference: Inference | AsyncInference) -> None:
        self.inference: Any = inference
        self.awaits = isinstance(inference, AsyncInference)

    async def do(self, call: Callable[[Any], Any]) -> Any:
        """Whatever the call gives, when it is done."""
        return await call(self.inference) if self.awaits else await asyncio.to_thread(call, self.inference)

    async def chat(self, **arguments: Any) -> Answer:
        arguments = {"model": MODEL, "messages": MESSAGES, **arguments}
        answer: Answer = await self.do(lambda front: front.chat.completions.create(**arguments))
        return answer

    async def complete(self, **arguments: Any) -> Answer:
        arguments = {"model": MODEL, "prompt": "The capital of France is", **arguments}
        answer: Answer = await self.do(lambda front: front.completions.create(**arguments))
        return answer

    def stream(self, **arguments: Any) -> Any:
        """A stream of a chat, not begun yet."""
        return self.inference.chat.completions.stream(**{"model": MODEL, "messages": MESSAGES, **arguments})

    async def read(self, stream: Any, most: int | None = None) -> list[Chunk]:
        """The chunks of a stream, at most so many; leaves its `with` block."""
        if not self.awaits:
            return await asyncio.to_thread(_read, stream, most)
        found: list[Chunk] = []
        async with stream:
            async for chunk in stream:
                found.append(chunk)
                if len(found) == most:
                    break
        return found


def _read(stream: Any, most: int | None) -> list[Chunk]:
    found: list[Chunk] = []
    with stream:
        for chunk in stream:
            found.append(chunk)
            if len(found) == most:
                break
    return found


@asynccontextmanager
async def open_front(kind: str, url: str, token: Any = TOKEN, **settings: Any) -> AsyncGenerator[Front]:
    """An `Inference` of one of `KINDS`."""
    mode, _, version = kind.partition("-")
    settings = {"http_version": int(version), **settings}
    if mode == "async":
        async with AsyncInference(url, token=token, **settings) as inference:
            yield Front(inference)
    else:
        with Inference(url, token=token, **settings) as blocking:
            yield Front(blocking)


@asynccontextmanager
async def asked(kind: str, answer: Told, **settings: Any) -> AsyncGenerator[tuple[Front, ModelServer]]:
    """An `Inference` and a model server that answers as it is told."""
    with ModelServer(answer, int(kind.partition("-")[2])) as server:
        async with open_front(kind, server.url, **settings) as front:
            yield front, server

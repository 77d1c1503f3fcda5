"""Sends what a model inside the emulator has generated: in one piece, or as a stream, token by token in time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest

from ..openai_request import CompletionOptions, ModelRequest
from ..response import ResponseWriter, encode_json
from .pace import Pace
from .shapes import ChatShape, Choice, ResponseShape, TextShape

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True)
class PacedSender:
    """Sends responses at a pace."""

    pace: Pace
    sleep: Sleep = asyncio.sleep

    async def send(
        self,
        request: ModelRequest,
        options: CompletionOptions,
        choices: Sequence[Choice],
        prompt_tokens: int,
        response: ResponseWriter,
    ) -> None:
        """Send the choices of a response."""
        shape = (ChatShape if request.is_chat else TextShape)(request, options)
        usage = _usage(prompt_tokens, sum(each.generated for each in choices))
        if options.stream:
            await self._stream(shape, choices, usage if options.include_usage else None, options.seed, response)
        else:
            await self.sleep(sum(islice(self.pace.pauses(options.seed), max(each.generated for each in choices))))
            await response.send(200, encode_json(shape.complete(choices, usage)))

    async def _stream(
        self,
        shape: ResponseShape,
        choices: Sequence[Choice],
        usage: Mapping[str, int] | None,
        seed: int,
        response: ResponseWriter,
    ) -> None:
        pauses = self.pace.pauses(seed)
        for choice in choices:
            if opening := shape.opening(choice.index):
                await response.event(opening)
        for step in zip_longest(*(each.pieces for each in choices)):
            await self.sleep(next(pauses))
            for choice, piece in zip(choices, step, strict=True):
                if piece is not None:
                    await response.event(shape.chunk(choice.index, [piece], None))
        for choice in choices:
            await response.event(shape.chunk(choice.index, [], choice.finish_reason))
        if usage:
            await response.event(shape.usage_chunk(usage))
        await response.done()


def _usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

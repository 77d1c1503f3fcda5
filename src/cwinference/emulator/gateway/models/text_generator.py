"""The built-in text generator: quick, deterministic, needs nothing, and says plainly that it is no model."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import chain, count, islice, product, zip_longest

from ..openai_request import MOST_TOKENS, Options, Problem, Request, invalid
from ..response import Reply, encoded
from .shapes import Chat, Choice, Shape, Text

MOST_TOKENS_AT_ONCE = 2**19
"""In one answer: while they are made, nobody else is served."""
_OWN_LENGTH = 64
"""About how many tokens it makes of its own accord."""
_TOKEN = re.compile(r"\s*(?:\w{1,10}|[^\w\s])|\s+")
_CLOSINGS = (
    "The same request always gets the same words.",
    "For a real model's words, start the emulator with --model demo.",
    "Another seed gets you another last sentence.",
)


def tokens(text: str) -> list[str]:
    """A text in pieces of a token's usual size."""
    return _TOKEN.findall(text)


class Builtin:
    """The same request always gets the same answer, but for its id and time."""

    def __init__(self, pause: float = 0.0, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._pause = pause
        """Seconds that a token takes."""
        self._sleep = sleep

    def start(self) -> None:
        """There is nothing to load."""

    def close(self) -> None:
        """There is nothing to let go."""

    async def answer(self, request: Request, reply: Reply) -> None:
        """Make the choices of every prompt, in the order that OpenAI numbers them: a prompt's own side by side."""
        options = Options.of(request)
        sizes = [len(tokens(each)) if isinstance(each, str) else len(each) for each in options.prompts]
        _check_size(options, max(sizes), "messages" if request.chat else "prompt")
        pairs = enumerate(product(options.prompts, range(options.n)))
        choices = [_choice(index, prompt, variant, options) for index, (prompt, variant) in pairs]
        usage = _usage(sum(sizes), sum(each.used for each in choices))
        shape = (Chat if request.chat else Text)(request, options)
        if options.stream:
            await self._stream(shape, choices, usage if options.include_usage else None, reply)
        else:
            await self._sleep(self._pause * max(each.used for each in choices))
            await reply.whole(200, encoded(shape.whole(choices, usage)))

    async def _stream(
        self, shape: Shape, choices: Sequence[Choice], usage: Mapping[str, int] | None, reply: Reply
    ) -> None:
        for choice in choices:
            if opening := shape.opening(choice.index):
                await reply.event(opening)
        for step in zip_longest(*(each.pieces for each in choices)):
            await self._sleep(self._pause)
            for choice, piece in zip(choices, step, strict=True):
                if piece is not None:
                    await reply.event(shape.chunk(choice.index, [piece], None))
        for choice in choices:
            await reply.event(shape.chunk(choice.index, [], choice.finish_reason))
        if usage:
            await reply.event(shape.last(usage))
        await reply.done()


def _check_size(options: Options, longest: int, param: str) -> None:
    if longest + options.least > MOST_TOKENS:
        raise Problem(
            400,
            f"This model's context holds {MOST_TOKENS} tokens; the request has {longest} and asks for {options.least}",
            code="context_length_exceeded",
            param=param,
        )
    each = options.max_tokens if options.ignore_end else min(options.max_tokens, _OWN_LENGTH)
    if each * options.n * len(options.prompts) > MOST_TOKENS_AT_ONCE:
        raise invalid("max_tokens", f"all choices together may have {MOST_TOKENS_AT_ONCE} tokens")


def _choice(index: int, prompt: str | Sequence[int], variant: int, options: Options) -> Choice:
    made = chain.from_iterable(map(tokens, _sentences(prompt, variant + options.seed, options.ignore_end)))
    pieces = list(islice(made, options.max_tokens))
    finish_reason = "stop" if next(made, None) is None else "length"
    used = len(pieces)
    end = _end(pieces, options)
    if end is not None:
        pieces, used, finish_reason = *_cut(pieces, end), "stop"
    echo = tokens(prompt) if options.echo and isinstance(prompt, str) else []
    return Choice(index, echo + pieces, finish_reason, used)


def _sentences(prompt: str | Sequence[int], variant: int, endless: bool) -> Iterator[str]:
    yield "This is the emulator's built-in text generator, not a model."
    if isinstance(prompt, str):
        words = prompt.split()
        yield f' You sent {len(words)} words that end in "{" ".join(words[-8:])[-80:]}".'
    else:
        yield f" You sent {len(prompt)} token ids."
    yield f" {_CLOSINGS[variant % len(_CLOSINGS)]}"
    for number in count(4):
        if not endless:
            return
        yield f" This is sentence {number}, and there is no end to them."


def _end(pieces: Sequence[str], options: Options) -> int | None:
    """Where the first stop sequence ends the text, or None."""
    text = "".join(pieces)
    found = [(at, len(stop)) for stop in options.stop if (at := text.find(stop)) >= 0]
    if not found:
        return None
    at, length = min(found)
    return at + length if options.keep_stop else at


def _cut(pieces: Sequence[str], end: int) -> tuple[list[str], int]:
    """The pieces up to a position in their text, and how many were made to get there."""
    kept: list[str] = []
    for piece in pieces:
        if end <= 0:
            break
        kept.append(piece[:end])
        end -= len(piece)
    return kept, len(kept)


def _usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

"""The built-in text generator: fast, deterministic, without dependencies. Its text says that it is not a model."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import count, islice, product, zip_longest

from ..openai_request import MAX_TOKENS, CompletionOptions, GatewayError, ModelRequest, invalid_value
from ..response import ResponseWriter, encode_json
from .shapes import ChatShape, Choice, ResponseShape, TextShape, to_pieces

MAX_RESPONSE_TOKENS = 2**19
"""In all choices of a response: generating them blocks the event loop, and with it all other requests."""
_NATURAL_LENGTH = 64
"""About how many tokens a text has that nothing cuts short or makes longer."""
_SENTENCES = 3
"""How many sentences it has."""
_TOKEN = re.compile(r"\s*(?:\w{1,10}|[^\w\s])|\s+")
_CLOSINGS = (
    "The same request always gets the same words.",
    "For a real model's words, start the emulator with --model demo.",
    "Another seed gets you another last sentence.",
)


def tokens(text: str) -> list[str]:
    """Split a text into pieces about as long as the tokens of a real model."""
    return _TOKEN.findall(text)


class TextGenerator:
    """Generates text from templates: the same request always gets the same response, apart from its id and time."""

    def __init__(self, pause: float = 0.0, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._pause = pause
        """Seconds for each token."""
        self._sleep = sleep

    def start(self) -> None:
        """Do nothing: there is no model to load."""

    def close(self) -> None:
        """Do nothing: there is no model to release."""

    async def complete(self, request: ModelRequest, response: ResponseWriter) -> None:
        """Generate the choices, numbered as by OpenAI: all those of the first prompt, then of the second, and so on."""
        options = CompletionOptions.from_request(request)
        sizes = [len(tokens(each)) if isinstance(each, str) else len(each) for each in options.prompts]
        _check_size(options, max(sizes), "messages" if request.is_chat else "prompt")
        pairs = enumerate(product(options.prompts, range(options.n)))
        choices = [_choice(index, prompt, variant, options) for index, (prompt, variant) in pairs]
        usage = _usage(sum(sizes), sum(each.generated for each in choices))
        shape = (ChatShape if request.is_chat else TextShape)(request, options)
        if options.stream:
            await self._stream(shape, choices, usage if options.include_usage else None, response)
        else:
            await self._sleep(self._pause * max(each.generated for each in choices))
            await response.send(200, encode_json(shape.complete(choices, usage)))

    async def _stream(
        self,
        shape: ResponseShape,
        choices: Sequence[Choice],
        usage: Mapping[str, int] | None,
        response: ResponseWriter,
    ) -> None:
        for choice in choices:
            if opening := shape.opening(choice.index):
                await response.event(opening)
        for step in zip_longest(*(each.pieces for each in choices)):
            await self._sleep(self._pause)
            for choice, piece in zip(choices, step, strict=True):
                if piece is not None:
                    await response.event(shape.chunk(choice.index, [piece], None))
        for choice in choices:
            await response.event(shape.chunk(choice.index, [], choice.finish_reason))
        if usage:
            await response.event(shape.usage_chunk(usage))
        await response.done()


def _check_size(options: CompletionOptions, longest: int, param: str) -> None:
    reserved = options.reserved_tokens
    if longest + reserved > MAX_TOKENS:
        raise GatewayError(
            400,
            f"This model's context length is {MAX_TOKENS} tokens; the prompt has {longest}, the completion {reserved}",
            code="context_length_exceeded",
            param=param,
        )
    each = options.max_tokens if options.ignore_end else min(options.max_tokens, _NATURAL_LENGTH + options.min_tokens)
    if each * options.n * len(options.prompts) > MAX_RESPONSE_TOKENS:
        raise invalid_value("max_tokens", f"all choices together may have at most {MAX_RESPONSE_TOKENS} tokens")


def _choice(index: int, prompt: str | Sequence[int], variant: int, options: CompletionOptions) -> Choice:
    generator = _generate(prompt, variant + options.seed, options)
    pieces = list(islice(generator, options.max_tokens))
    finish_reason = "stop" if next(generator, None) is None else "length"
    generated = len(pieces)
    end = _stop_position(pieces, options)
    if end is not None:
        pieces, generated, finish_reason = *_truncate(pieces, end), "stop"
    return Choice(index, to_pieces(_prompt_tokens(prompt) if options.echo else [], pieces), finish_reason, generated)


def _prompt_tokens(prompt: str | Sequence[int]) -> Sequence[str]:
    """Return the text of each token of a prompt; token ids are shown as numbers, since there is no vocabulary."""
    return tokens(prompt) if isinstance(prompt, str) else [f" {each}" for each in prompt]


def _generate(prompt: str | Sequence[int], variant: int, options: CompletionOptions) -> Iterator[str]:
    """Yield the tokens of a text up to its natural end, or until there are as many as are wanted."""
    generated = 0
    for number, sentence in enumerate(_sentences(prompt, variant), 1):
        pieces = tokens(sentence)
        yield from pieces
        generated += len(pieces)
        if number >= _SENTENCES and generated >= options.min_tokens and not options.ignore_end:
            return


def _sentences(prompt: str | Sequence[int], variant: int) -> Iterator[str]:
    yield "This is the emulator's built-in text generator, not a model."
    if isinstance(prompt, str):
        words = prompt.split()
        yield f' You sent {len(words)} words that end in "{" ".join(words[-8:])[-80:]}".'
    else:
        yield f" You sent {len(prompt)} token ids."
    yield f" {_CLOSINGS[variant % len(_CLOSINGS)]}"
    for number in count(_SENTENCES + 1):
        yield f" This is sentence {number}, and there is no end to them."


def _stop_position(pieces: Sequence[str], options: CompletionOptions) -> int | None:
    """Return where in the text the first stop sequence ends it; None if there is none."""
    text, least = "".join(pieces), len("".join(pieces[: options.min_tokens]))
    lengths = {stop: len(stop) for stop in options.stop}
    found = [
        (at, length) for stop, length in lengths.items() if (at := text.find(stop, max(0, least + 1 - length))) >= 0
    ]
    if not found:
        return None
    at, length = min(found)
    return at + length if options.keep_stop else at


def _truncate(pieces: Sequence[str], end: int) -> tuple[list[str], int]:
    """Return the pieces up to a position in their text, and how many tokens it took to get there."""
    kept: list[str] = []
    for piece in pieces:
        if end <= 0:
            break
        kept.append(piece[:end])
        end -= len(piece)
    return kept, len(kept)


def _usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

"""The built-in text generator: fast, deterministic, without dependencies. Its text says that it is not a model."""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, islice, product
from typing import Any

from ..openai_request import MAX_TOKENS, CompletionOptions, GatewayError, ModelRequest, invalid_value
from ..response import ResponseWriter, encode_json
from ..structured_output import FIELDS as STRUCTURE
from ..structured_output import StructuredOutput, structured_output
from .json_values import UnsupportedSchema, value_for
from .pace import Pace
from .sending import PacedSender, Sleep
from .shapes import Choice, ToolCall, to_pieces, to_tool_pieces

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

    def __init__(self, pace: Pace | None = None, *, sleep: Sleep = asyncio.sleep) -> None:
        self._sender = PacedSender(pace or Pace(), sleep)

    def start(self) -> None:
        """Do nothing: there is no model to load."""

    def close(self) -> None:
        """Do nothing: there is no model to release."""

    async def complete(self, request: ModelRequest, response: ResponseWriter) -> None:
        """Generate the choices, numbered as by OpenAI: all those of the first prompt, then of the second, and so on."""
        options = CompletionOptions.from_request(request, STRUCTURE if request.is_chat else ())
        sizes = [len(tokens(each)) if isinstance(each, str) else len(each) for each in options.prompts]
        _check_size(options, max(sizes), "messages" if request.is_chat else "prompt")
        structure = structured_output(request.body) if request.is_chat else None
        if structure is not None:
            choices = _structured_choices(structure, request.body, options)
        else:
            pairs = enumerate(product(options.prompts, range(options.n)))
            choices = [_choice(index, prompt, variant, options) for index, (prompt, variant) in pairs]
        await self._sender.send(request, options, choices, sum(sizes), response)


def _structured_choices(
    structure: StructuredOutput, body: Mapping[str, Any], options: CompletionOptions
) -> Sequence[Choice]:
    """Return choices that are JSON: the arguments of a tool, or the text."""
    field = "tools" if structure.tool else "response_format"
    if options.min_tokens or options.ignore_end:
        name = "min_tokens" if options.min_tokens else "ignore_eos"
        raise GatewayError(400, f"{name}: cannot be combined with {field}", code="invalid_value", param=name)
    try:
        text = encode_json(value_for(structure.schema)).decode()
    except UnsupportedSchema as error:
        raise GatewayError(400, f"{field}: {error}", code="unsupported_parameter", param=field) from None
    return [_structured_choice(index, text, structure.tool, options) for index in range(options.n)]


def _structured_choice(index: int, text: str, tool: str | None, options: CompletionOptions) -> Choice:
    pieces = tokens(text)
    kept = pieces[: options.max_tokens]
    is_cut = len(kept) < len(pieces)
    if tool is not None:
        called = to_tool_pieces(ToolCall(0, tool), kept)
        return Choice(index, called, "length" if is_cut else "tool_calls", len(kept))
    return _finished(index, kept, [], "length" if is_cut else "stop", options)


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
    return _finished(index, pieces, _prompt_tokens(prompt) if options.echo else [], finish_reason, options)


def _finished(
    index: int, pieces: list[str], echo: Sequence[str], finish_reason: str, options: CompletionOptions
) -> Choice:
    """Return a choice of generated tokens, which a stop sequence ends earlier if there is one."""
    generated = len(pieces)
    end = _stop_position(pieces, options)
    if end is not None:
        pieces, generated, finish_reason = *_truncate(pieces, end), "stop"
    return Choice(index, to_pieces(echo, pieces), finish_reason, generated)


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

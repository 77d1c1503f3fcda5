"""The form of the responses of OpenAI's two routes, complete and in chunks, made of choices of text."""

import time
import uuid
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from ..openai_request import CompletionOptions, ModelRequest


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model wants to be called. Its arguments are pieces of the choice, the first one empty."""

    index: int
    """Position among the calls of its choice."""
    name: str
    id: str = field(default_factory=lambda: f"call_{uuid.uuid4().hex[:24]}")


@dataclass(frozen=True, slots=True)
class Piece:
    """What a stream sends at a time: a token, or the part of one that a stop sequence leaves."""

    text: str
    offset: int
    """Where in the text of its choice it begins."""
    logprob: float | None
    """Its log probability; None for the first token of an echoed prompt, which nothing precedes."""
    tool: ToolCall | None = None
    """The call whose arguments it belongs to; None: it is a part of the text."""


@dataclass(frozen=True)
class Choice:
    """One text that was generated for one prompt."""

    index: int
    pieces: Sequence[Piece]
    finish_reason: str
    generated: int
    """How many tokens were generated for it."""


class ResponseShape:
    """The form of the responses of one route; one for each request, because all its chunks have the same id."""

    prefix: str
    complete_object: str
    chunk_object: str

    def __init__(self, request: ModelRequest, options: CompletionOptions) -> None:
        self._options = options
        self._head = {"id": f"{self.prefix}-{uuid.uuid4().hex}", "created": int(time.time()), "model": request.model}

    def complete(self, choices: Sequence[Choice], usage: Mapping[str, int]) -> dict[str, Any]:
        """Return the response in one piece."""
        return self._head | {
            "object": self.complete_object,
            "choices": [self._choice(each.index, each.pieces, each.finish_reason) for each in choices],
            "usage": usage,
        }

    def opening(self, index: int) -> dict[str, Any] | None:
        """Return the chunk before the first text of a choice; None: there is none."""
        return None

    def chunk(self, index: int, pieces: Sequence[Piece], finish_reason: str | None) -> dict[str, Any]:
        """Return a chunk with some text of a choice, or with the reason for its end."""
        raise NotImplementedError

    def usage_chunk(self, usage: Mapping[str, int]) -> dict[str, Any]:
        """Return the chunk after all choices, which contains the usage."""
        return self._chunk([]) | {"usage": usage}

    def _choice(self, index: int, pieces: Sequence[Piece], finish_reason: str | None) -> dict[str, Any]:
        raise NotImplementedError

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        # With `include_usage` every chunk has the field, though only the last one a value.
        usage = {"usage": None} if self._options.include_usage else {}
        return self._head | {"object": self.chunk_object, "choices": choices} | usage


class TextShape(ResponseShape):
    """The form of `/v1/completions`."""

    prefix, complete_object, chunk_object = "cmpl", "text_completion", "text_completion"

    def chunk(self, index: int, pieces: Sequence[Piece], finish_reason: str | None) -> dict[str, Any]:
        return self._chunk([self._choice(index, pieces, finish_reason)])

    def _choice(self, index: int, pieces: Sequence[Piece], finish_reason: str | None) -> dict[str, Any]:
        return {
            "index": index,
            "text": join_text(pieces),
            "logprobs": self._logprobs(pieces),
            "finish_reason": finish_reason,
        }

    def _logprobs(self, pieces: Sequence[Piece]) -> dict[str, Any] | None:
        wanted = self._options.logprobs
        if wanted is None:
            return None
        return {
            "tokens": [each.text for each in pieces],
            "token_logprobs": [each.logprob for each in pieces],
            "top_logprobs": [
                None if each.logprob is None else dict(_alternatives(each.text, wanted)) for each in pieces
            ],
            "text_offset": [each.offset for each in pieces],
        }


class ChatShape(ResponseShape):
    """The form of `/v1/chat/completions`."""

    prefix, complete_object, chunk_object = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def opening(self, index: int) -> dict[str, Any] | None:
        return self._chunk([self._delta(index, {"role": "assistant", "content": ""}, (), None)])

    def chunk(self, index: int, pieces: Sequence[Piece], finish_reason: str | None) -> dict[str, Any]:
        tools = [_tool_delta(each, each.tool) for each in pieces if each.tool]
        delta = {"tool_calls": tools} if tools else {"content": join_text(pieces)} if pieces else {}
        return self._chunk([self._delta(index, delta, pieces, finish_reason)])

    def _choice(self, index: int, pieces: Sequence[Piece], finish_reason: str | None) -> dict[str, Any]:
        text = [each for each in pieces if each.tool is None]
        calls = {each.tool.id: each.tool for each in pieces if each.tool}
        message: dict[str, Any] = {"role": "assistant", "content": join_text(text) if text or not calls else None}
        if calls:
            message["tool_calls"] = [
                _tool_call(call, join_text(each for each in pieces if each.tool is call)) for call in calls.values()
            ]
        return {
            "index": index,
            "message": message,
            "logprobs": self._logprobs(pieces),
            "finish_reason": finish_reason,
        }

    def _delta(
        self, index: int, delta: Mapping[str, Any], pieces: Sequence[Piece], finish_reason: str | None
    ) -> dict[str, Any]:
        return {
            "index": index,
            "delta": delta,
            "logprobs": self._logprobs(pieces) if pieces else None,
            "finish_reason": finish_reason,
        }

    def _logprobs(self, pieces: Sequence[Piece]) -> dict[str, Any] | None:
        wanted = self._options.logprobs
        if wanted is None:
            return None
        content = [_token_logprob(each.text, _logprob(each.text)) for each in pieces if each.tool is None]
        for each in content:
            each["top_logprobs"] = [_token_logprob(*other) for other in _alternatives(each["token"], wanted)]
        return {"content": content}


def to_pieces(echo: Sequence[str], generated: Sequence[str]) -> Sequence[Piece]:
    """Return the pieces of a choice: the tokens of the prompt if it is echoed, and those generated."""
    texts = [*echo, *generated]
    offsets = accumulate(map(len, texts), initial=0)
    logprobs = [None if echo and number == 0 else _logprob(each) for number, each in enumerate(texts)]
    return [Piece(*each) for each in zip(texts, offsets, logprobs, strict=False)]


def to_tool_pieces(call: ToolCall, arguments: Sequence[str]) -> Sequence[Piece]:
    """Return the pieces of a call: an empty one with its name, and the tokens of its arguments."""
    return [Piece("", 0, None, call), *(Piece(each, 0, None, call) for each in arguments)]


def _tool_call(call: ToolCall, arguments: str) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _tool_delta(piece: Piece, call: ToolCall) -> dict[str, Any]:
    if not piece.text:
        return {"index": call.index, **_tool_call(call, "")}
    return {"index": call.index, "function": {"arguments": piece.text}}


def join_text(pieces: Iterable[Piece]) -> str:
    """Return the text of several pieces."""
    return "".join(each.text for each in pieces)


def _token_logprob(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


def _logprob(token: str) -> float:
    """Return an invented log probability from -0.5 to 0, the same for the same token: there are no real ones."""
    return -(zlib.crc32(token.encode()) % 500) / 1000


def _alternatives(token: str, wanted: int) -> Iterable[tuple[str, float]]:
    """Return the token itself and invented others, each less likely than the one before."""
    return [(token + "~" * rank, _logprob(token) - rank) for rank in range(wanted)]

"""The form of the responses of OpenAI's two routes, complete and in chunks, made of choices of text."""

import time
import uuid
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from ..openai_request import CompletionOptions, ModelRequest


@dataclass(frozen=True, slots=True)
class Piece:
    """What a stream sends at a time: a token, or the part of one that a stop sequence leaves."""

    text: str
    offset: int
    """Where in the text of its choice it begins."""
    logprob: float | None
    """Its log probability; None for the first token of an echoed prompt, which nothing precedes."""


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
        delta = {"content": join_text(pieces)} if pieces else {}
        return self._chunk([self._delta(index, delta, pieces, finish_reason)])

    def _choice(self, index: int, pieces: Sequence[Piece], finish_reason: str | None) -> dict[str, Any]:
        message = {"role": "assistant", "content": join_text(pieces)}
        return {
            "index": index,
            "message": message,
            "logprobs": self._logprobs(pieces),
            "finish_reason": finish_reason,
        }

    def _delta(
        self, index: int, delta: Mapping[str, str], pieces: Sequence[Piece], finish_reason: str | None
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
        content = [_token_logprob(each.text, _logprob(each.text)) for each in pieces]
        for each in content:
            each["top_logprobs"] = [_token_logprob(*other) for other in _alternatives(each["token"], wanted)]
        return {"content": content}


def to_pieces(echo: Sequence[str], generated: Sequence[str]) -> Sequence[Piece]:
    """Return the pieces of a choice: the tokens of the prompt if it is echoed, and those generated."""
    texts = [*echo, *generated]
    offsets = accumulate(map(len, texts), initial=0)
    logprobs = [None if echo and number == 0 else _logprob(each) for number, each in enumerate(texts)]
    return [Piece(*each) for each in zip(texts, offsets, logprobs, strict=False)]


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

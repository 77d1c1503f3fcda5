"""The answers of OpenAI's two routes, whole and in chunks, made of choices of text."""

import time
import uuid
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from ..openai_request import Options, Request


@dataclass(frozen=True)
class Choice:
    """One text made for one prompt."""

    index: int
    pieces: Sequence[str]
    """What a stream sends one by one."""
    finish_reason: str
    used: int
    """How many tokens were made for it."""


class Shape:
    """What the answers to one request have in common."""

    prefix: str
    whole_object: str
    chunk_object: str

    def __init__(self, request: Request, options: Options) -> None:
        self._options = options
        self._head = {"id": f"{self.prefix}-{uuid.uuid4().hex}", "created": int(time.time()), "model": request.model}

    def whole(self, choices: Sequence[Choice], usage: Mapping[str, int]) -> dict[str, Any]:
        """The answer in one piece."""
        return self._head | {
            "object": self.whole_object,
            "choices": [self._choice(each.index, each.pieces, each.finish_reason) for each in choices],
            "usage": usage,
        }

    def opening(self, index: int) -> dict[str, Any] | None:
        """The chunk before a choice's first text, or None."""
        return None

    def chunk(self, index: int, pieces: Sequence[str], finish_reason: str | None) -> dict[str, Any]:
        """A chunk with some text of one choice, or with its end."""
        raise NotImplementedError

    def last(self, usage: Mapping[str, int]) -> dict[str, Any]:
        """The chunk after all choices, which tells the usage."""
        return self._chunk([]) | {"usage": usage}

    def _choice(self, index: int, pieces: Sequence[str], finish_reason: str | None) -> dict[str, Any]:
        raise NotImplementedError

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        usage = {"usage": None} if self._options.include_usage else {}
        return self._head | {"object": self.chunk_object, "choices": choices} | usage


class Text(Shape):
    """`/v1/completions`."""

    prefix, whole_object, chunk_object = "cmpl", "text_completion", "text_completion"

    def chunk(self, index: int, pieces: Sequence[str], finish_reason: str | None) -> dict[str, Any]:
        return self._chunk([self._choice(index, pieces, finish_reason)])

    def _choice(self, index: int, pieces: Sequence[str], finish_reason: str | None) -> dict[str, Any]:
        return {
            "index": index,
            "text": "".join(pieces),
            "logprobs": self._logprobs(pieces),
            "finish_reason": finish_reason,
        }

    def _logprobs(self, pieces: Sequence[str]) -> dict[str, Any] | None:
        wanted = self._options.logprobs
        if wanted is None:
            return None
        return {
            "tokens": list(pieces),
            "token_logprobs": [_logprob(each) for each in pieces],
            "top_logprobs": [dict(_alternatives(each, wanted)) for each in pieces],
            "text_offset": list(accumulate(map(len, pieces[:-1]), initial=0)) if pieces else [],
        }


class Chat(Shape):
    """`/v1/chat/completions`."""

    prefix, whole_object, chunk_object = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def opening(self, index: int) -> dict[str, Any] | None:
        return self._chunk([self._delta(index, {"role": "assistant", "content": ""}, (), None)])

    def chunk(self, index: int, pieces: Sequence[str], finish_reason: str | None) -> dict[str, Any]:
        delta = {"content": "".join(pieces)} if pieces else {}
        return self._chunk([self._delta(index, delta, pieces, finish_reason)])

    def _choice(self, index: int, pieces: Sequence[str], finish_reason: str | None) -> dict[str, Any]:
        message = {"role": "assistant", "content": "".join(pieces)}
        return {
            "index": index,
            "message": message,
            "logprobs": self._logprobs(pieces),
            "finish_reason": finish_reason,
        }

    def _delta(
        self, index: int, delta: Mapping[str, str], pieces: Sequence[str], finish_reason: str | None
    ) -> dict[str, Any]:
        return {
            "index": index,
            "delta": delta,
            "logprobs": self._logprobs(pieces) if pieces else None,
            "finish_reason": finish_reason,
        }

    def _logprobs(self, pieces: Sequence[str]) -> dict[str, Any] | None:
        wanted = self._options.logprobs
        if wanted is None:
            return None
        told = [_told(each, _logprob(each)) for each in pieces]
        for each in told:
            each["top_logprobs"] = [_told(*other) for other in _alternatives(each["token"], wanted)]
        return {"content": told}


def _told(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


def _logprob(token: str) -> float:
    """Of a generator that is never in doubt, so that it is made up: from -0.5 to 0, the same for the same token."""
    return -(zlib.crc32(token.encode()) % 500) / 1000


def _alternatives(token: str, wanted: int) -> Iterable[tuple[str, float]]:
    """The token itself and made-up others, each less likely than the one before."""
    return [(token + "~" * rank, _logprob(token) - rank) for rank in range(wanted)]

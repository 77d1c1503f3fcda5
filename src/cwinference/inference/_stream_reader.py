"""A stream of a completion as it is read: bytes in, chunks out, and two clocks that run on content. It does no I/O."""

import json
from collections.abc import Iterator
from typing import cast

from .._calls.flow import Clock
from ..errors import ApiError, DeadlineExceeded, InferenceError, ProtocolError, StreamInterrupted, StreamStalled
from ..transports.completion_errors import error_in_answer
from ._limiter import Counters
from ._responses import Chunk, Json, Usage, first_choice, usage_of
from ._sse import EventParser

_decode = json.JSONDecoder().raw_decode

_END_MARK = b"[DONE]"


class Reader:
    """What has come of one stream, and how long more may be awaited."""

    def __init__(self, method: str, first: float | None, idle: float | None, clock: Clock) -> None:
        self.first = first
        """Seconds until the first content; None for no limit."""
        self.done = False
        """Whether the end mark has come."""
        self.usage = Usage({})
        self._method = method
        self._idle = idle
        self._patience = first
        self._began = False
        self._waited = 0.0
        self._monotonic = clock.monotonic
        self._deadline: float | None = None
        self._since = 0.0
        self._parser = EventParser()
        self._texts: list[str] = []

    @property
    def text(self) -> str:
        """The text of the first choice so far."""
        return "".join(self._texts)

    def opened(self, deadline: float | None, waited: float) -> None:
        """The answer has begun, after so many seconds; the call ends at `deadline` at the latest."""
        self._deadline = deadline
        self._waited = waited

    def count(self, counters: Counters) -> None:
        """Count how the stream went."""
        if self.done:
            counters.succeed(self.usage.total_tokens)
        else:
            counters.fail()

    def begin(self) -> float | None:
        """Seconds that the next read may take; None for no limit. Raises when there are none."""
        self._since = now = self._monotonic()
        left = None if self._patience is None else self._patience - self._waited
        total = None if self._deadline is None else self._deadline - now
        if total is not None and (left is None or total < left):
            left = total
        if left is not None and left <= 0:
            raise self._late()
        return left

    def receive(self, received: bytes | None) -> Iterator[Chunk]:
        """The chunks in what a read brought (None: the end), each made when it is asked for: kept ones would cost the
        garbage collector more than they cost to make. Raises where something is wrong with the stream."""
        self._waited += self._monotonic() - self._since
        for data in self._parser.feed(received) if received is not None else self._rest():
            if not data.startswith(b"{"):
                if data.strip() == _END_MARK:
                    self.done = True
                    return
                if not data:
                    continue
            chunk = self._chunk(data)
            if chunk.carries_content:
                self._waited = 0.0
                self._patience = self._idle
                self._began = True
            yield chunk

    def broken(self, error: ApiError) -> InferenceError:
        """What a failed read means for the stream."""
        if isinstance(error, DeadlineExceeded):
            self._waited += self._monotonic() - self._since
            return self._late()
        return StreamInterrupted(f"{self._method}: the stream broke off: {error.message}", self.text)

    def _late(self) -> InferenceError:
        if self._deadline is not None and self._monotonic() >= self._deadline - 0.001:
            return DeadlineExceeded("the whole call's limit was over before the stream ended", method=self._method)
        return stalled(self._method, self._patience, first=not self._began, text=self.text)

    def _rest(self) -> list[bytes]:
        """At the end: an end mark without its empty line counts, all else was cut off."""
        rest = self._parser.end()
        if rest is not None and rest.strip() == _END_MARK:
            return [_END_MARK]
        raise StreamInterrupted(
            f"{self._method}: the stream ended without its end mark {_END_MARK.decode()}", self.text
        )

    def _chunk(self, data: bytes) -> Chunk:
        value = _object(data)
        if value is None:
            raise ProtocolError("the stream holds an event that is not a JSON object", method=self._method)
        if "error" in value or "choices" not in value:
            error = error_in_answer(value, self._method)
            if error is not None:
                raise error
        chunk = Chunk(value)
        if chunk.text and not first_choice(value).get("index"):
            self._texts.append(chunk.text)
        if value.get("usage"):
            self.usage = usage_of(value)
        return chunk


def _object(data: bytes) -> Json | None:
    """The data as a JSON object; None when it is none."""
    text = str(data, "utf-8", "replace").strip()
    try:
        value, end = _decode(text)
    except (ValueError, RecursionError):
        return None
    return cast(Json, value) if isinstance(value, dict) and end == len(text) else None


def stalled(method: str, seconds: float | None, *, first: bool, text: str = "") -> StreamStalled:
    """The error of a clock that ran out."""
    what, clock = ("no first token", "first_token_timeout") if first else ("nothing more", "idle_timeout")
    return StreamStalled(f"{method}: {what} within {seconds or 0:g} s ({clock})", text)

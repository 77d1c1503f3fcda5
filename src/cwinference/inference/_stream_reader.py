"""Reads the stream of a completion: bytes in, chunks out, and two timeouts that run on content. It does no I/O.

`first_token_timeout` runs until the first content, `idle_timeout` between one content and the next, and until the first
one too unless `first_token_timeout` says otherwise. Both count only the time spent waiting in reads, so a caller that
takes long with a chunk does not use them up. What keeps a connection alive without being content, such as comments and
empty chunks, does not reset them.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, cast

from .._arguments import UNSET
from .._calls.attempts import code_of
from .._calls.clock import Clock
from .._calls.deadline import TIMER_SLACK, Deadline
from .._calls.observation import StreamObservation
from .._json import loads
from ..errors import ApiError, DeadlineExceeded, InferenceError, ProtocolError, StreamInterrupted, StreamStalled
from ..transports.completion_errors import error_in_place
from ._health import Health
from ._responses import Chunk, Json, Usage, first_choice, is_first, unread_chunk, usage_of
from ._sse import EventParser, NamedEvent
from ._stats import Counters
from ._usual_parts import read_chunk
from ._weights import WeightsObservation

_decode = json.JSONDecoder().raw_decode

_END_MARK = b"[DONE]"


class StreamReader:
    """What has been received of one stream, and how long the next read may take."""

    def __init__(
        self, method: str, first_token_timeout: float | None, idle_timeout: float | None, clock: Clock
    ) -> None:
        is_own = first_token_timeout is not UNSET
        self.first_token_timeout = first_token_timeout if is_own else idle_timeout
        self.first_token_option = "first_token_timeout" if is_own else "idle_timeout"
        self.done = False
        """Whether the end mark has been received."""
        self.usage: Usage | None = None
        self._method = method
        self._idle_timeout = idle_timeout
        self._content_timeout = self.first_token_timeout
        """The timeout that is running: for the first content, later for more of it."""
        self._has_content = False
        self._waited = 0.0
        """Seconds spent in reads since the last content."""
        self._monotonic = clock.monotonic
        self._deadline = Deadline(None, clock.monotonic)
        self._report: Callable[[str], object] = _ignore
        self._health: Health | None = None
        self.seen_weights: WeightsObservation | None = None
        """Of the weights, if they are wanted."""
        self._sent_at = 0.0
        self._read_started = 0.0
        self._parser = EventParser()
        self._texts: list[str] = []

    @property
    def text(self) -> str:
        """The text of the first choice so far."""
        return "".join(self._texts)

    def limit_events(self, max_bytes: int) -> None:
        """Accept events of so many bytes at most, before anything is read."""
        self._parser.max_event_bytes = max_bytes

    def start(
        self, deadline: Deadline, waited: float, report: Callable[[str], object], health: Health | None = None
    ) -> None:
        """Note that the response has begun, after `waited` seconds, when the call has to end, and what reports that."""
        self._health = health
        self._sent_at = self._monotonic() - waited
        self._deadline = deadline
        self._waited = waited
        self._report = report

    def observe(self, observation: StreamObservation) -> None:
        """Note what watches the stream. Only an `ObservedStreamReader` does."""

    def end(self, counters: Counters, error: BaseException | None) -> None:
        """Count and report the outcome of the stream. Without an error and an end mark, its caller has left it."""
        health = self._health
        if self.seen_weights is not None:
            self.seen_weights.end()
        if self.done:
            counters.succeed(0 if self.usage is None else self.usage.total_tokens)
            if health is not None:
                health.finish(self._sent_at, 0 if self.usage is None else self.usage.completion_tokens)
            self._report("ok")
        elif error is None or isinstance(error, GeneratorExit):
            counters.cancel()
            self._report("canceled")
        else:
            counters.fail(error)
            if health is not None and isinstance(error, Exception):
                health.break_off()
            self._report(code_of(error))

    def begin(self) -> float | None:
        """Return the seconds that the next read may take; None for no limit. Raises if there are none left."""
        self._read_started = self._monotonic()
        left = None if self._content_timeout is None else self._content_timeout - self._waited
        total = self._deadline.remaining()
        if total is not None and (left is None or total < left):
            left = total
        if left is not None and left <= 0:
            raise self._timed_out()
        return left

    def receive(self, received: bytes | None) -> Iterator[Chunk]:
        """Yield the chunks in what a read returned (None at the end). Raises if the stream is broken.

        Each chunk is made when it is asked for: a list of them would cost the garbage collector more than making them.
        """
        self._waited += self._monotonic() - self._read_started
        has_content = False
        for data in self._parser.feed(received) if received is not None else self._at_end():
            chunk = self._usual_chunk(data)
            if chunk is None:
                chunk = self._unusual_chunk(data)
                if self.done:
                    return
                if chunk is None:
                    continue
            if not has_content and (chunk.text or chunk.has_content):
                if not self._has_content and self._health is not None:
                    self._health.receive_first(self._waited)
                has_content = self._has_content = True
                self._waited = 0.0
                self._content_timeout = self._idle_timeout
            yield chunk
        self._raise_unframed()

    def interrupted(self, error: ApiError) -> InferenceError:
        """Return what a failed read means for the stream."""
        if isinstance(error, DeadlineExceeded):
            self._waited += self._monotonic() - self._read_started
            return self._timed_out()
        return StreamInterrupted(f"{self._method}: the stream broke off: {error.message}", self.text)

    def _timed_out(self) -> InferenceError:
        if self._deadline.has_passed(TIMER_SLACK):
            return DeadlineExceeded(
                f"timed out after {self._deadline.timeout or 0:g} s, before the stream ended", method=self._method
            )
        option = "idle_timeout" if self._has_content else self.first_token_option
        return stalled(
            self._method, self._content_timeout, option=option, is_first=not self._has_content, text=self.text
        )

    def _at_end(self) -> list[bytes]:
        """Return what counts at the end of the bytes: an end mark without its empty line. All else was cut off.

        Raises an error that was sent without its empty line, or outside of events.
        """
        rest = self._parser.end()
        if rest is not None:
            if type(rest) is not bytes:
                self._is_foreign(rest)
            if rest.strip() == _END_MARK:
                return [_END_MARK]
            self._raise_error_in(_object(rest))
        self._raise_unframed()
        raise StreamInterrupted(
            f"{self._method}: the stream ended without its end mark {_END_MARK.decode()}", self.text
        )

    def _raise_unframed(self) -> None:
        """Raise an error that was sent outside of events."""
        if self._parser.unframed_lines:
            self._raise_error_in(_object(b"\n".join(self._parser.unframed_lines), is_whole=False))

    def _raise_error_in(self, value: Json | None) -> None:
        error = None if value is None else error_in_place(value, self._method)
        if error is not None:
            raise error

    def _is_foreign(self, data: bytes) -> bool:
        """Return whether an event with a type is not ours, such as a `ping`. Raises the error in an `error` event."""
        name = data.name.lower() if isinstance(data, NamedEvent) else b"message"
        if name == b"message" or (name != b"error" and data.strip() == _END_MARK):
            return False
        value = _object(data)
        if name == b"error":
            if value is None or "error" not in value:
                value = {"error": str(data, "utf-8", "replace") if value is None else value}
            self._raise_error_in(value)
            raise ProtocolError("the stream has an error event without an error")
        return value is None or not ("choices" in value or value.get("error"))

    def _usual_chunk(self, data: bytes) -> Chunk | None:
        """Return the chunk of an event as servers usually send it; None for any other."""
        event = read_chunk(data) if type(data) is bytes else None
        if event is None or len(event.choices) != 1:
            return None
        choice = event.choices[0]
        chunk = unread_chunk(data, choice)
        if chunk.text and not choice.index:
            self._texts.append(chunk.text)
        if event.usage:
            self.usage = Usage(event.usage)
        return chunk

    def _unusual_chunk(self, data: bytes) -> Chunk | None:
        """Return the chunk of any event; None if it has none. Notes the end mark. Raises the error in an event."""
        if type(data) is not bytes and self._is_foreign(data):
            return None
        if not data.startswith(b"{"):
            if data.strip() == _END_MARK:
                self._raise_unframed()
                self.done = True
                return None
            if not data:
                return None
        return self._chunk(data)

    def _chunk(self, data: bytes) -> Chunk:
        value = _object(data)
        if value is None:
            raise ProtocolError("an event of the stream is not a JSON object", method=self._method)
        if "error" in value or "choices" not in value:
            self._raise_error_in(value)
        choice = first_choice(value)
        chunk = Chunk(value, choice)
        if chunk.text and is_first(choice):
            self._texts.append(chunk.text)
        if value.get("usage"):
            self.usage = usage_of(value) or self.usage
        return chunk


def _ignore(code: str) -> None:
    """Report nothing: the stream was never opened."""


def _object(data: bytes, *, is_whole: bool = True) -> Json | None:
    """Return the data as a JSON object; None if it is none, or if it should be the whole data and is not."""
    try:
        value = loads(data, _leniently if is_whole else _beginning)
    except (ValueError, RecursionError):
        return None
    return cast(Json, value) if isinstance(value, dict) else None


def _leniently(data: bytes) -> Any:
    return json.loads(str(data, "utf-8", "replace").strip())


def _beginning(data: bytes) -> Any:
    """Return the value at the beginning of the data, whatever follows."""
    return _decode(str(data, "utf-8", "replace").strip())[0]


def stalled(method: str, seconds: float | None, *, option: str, is_first: bool, text: str = "") -> StreamStalled:
    """Return the error of a timeout on content, which `option` sets."""
    what = "no first token" if is_first else "nothing more"
    return StreamStalled(f"{method}: {what} within {seconds or 0:g} s ({option})", text)

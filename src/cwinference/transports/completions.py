"""HTTP for completions: whole responses and streams, bounded in size and time, with our errors.

A stream is limited per read, because its limits are about content, not about bytes. When one is closed before its end,
the server notices: as a reset stream over HTTP/2, as a closed connection over HTTP/1.1.
"""

import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pyqwest

from .. import errors
from .._retry_rules import Hint
from ..auth import Metadata
from ..config import MAX_REPLY_BYTES, Settings
from ._content_coding import BodyDecoder, check_size
from ._http import AsyncHttp, Release, SyncHttp
from ._http1 import Http1, can_send
from ._http1_exchange import Exchange
from ._http1_response import Response
from ._http_response import (
    ERROR_BYTES,
    ERROR_SECONDS,
    HttpResponse,
    Received,
    content_encoding,
    is_success,
    media_type,
    whole,
)
from ._interruptible import interruptible
from ._pyqwest import is_early_end, is_of_engine, leave_to_parent, no_response, refuse_after_fork, translate
from ._time_limit import TimeLimit
from ._watchdog import Watchdog

__all__ = [
    "AsyncBody",
    "AsyncCompletionTransport",
    "Exchange",
    "HttpResponse",
    "SyncBody",
    "SyncCompletionTransport",
    "is_success",
    "refuse_after_fork",
]

_HTTP_VERSION = 1
_CONNECTIONS = {"pool_max_idle_per_host": 1000, "pool_idle_timeout": 4.0}
"""Enough idle connections for many calls at once, kept for less than the 5 s after which common servers close them."""
_END_SECONDS = 0.25
"""How long the end of a stream is awaited after its end mark, so that the connection can be reused."""
_IN_BODY = "Error reading"
"""How pyqwest's text begins if the response had begun."""


class SyncCompletionTransport:
    """Completions for threads."""

    def __init__(self, settings: Settings) -> None:
        self._http = SyncHttp(settings, _HTTP_VERSION, **_CONNECTIONS)
        self._watchdog = Watchdog()

    def fetch(
        self, verb: str, url: str, headers: Metadata, content: bytes | None, timeout: float | None
    ) -> HttpResponse:
        """Perform one exchange."""
        try:
            return self._http.fetch(verb, url, headers, content, timeout)
        except errors.InferenceError as error:
            raise _final_in_body(error) from None

    def open(
        self,
        verb: str,
        url: str,
        headers: Metadata,
        content: bytes | None,
        timeout: float | None,
        first_timeout: float | None,
    ) -> "SyncBody":
        """Begin an exchange whose response is read piece by piece; the limits as in `SyncHttp.open`."""
        response, release = self._http.open(verb, url, headers, content, timeout, first_timeout)
        kind = _DecodedSyncBody if "content-encoding" in response.headers else SyncBody
        return kind(response, self._watchdog, release)

    def close(self) -> None:
        """Release all connections."""
        self._http.close()


class _Body:
    """A response whose body is still to be read."""

    def __init__(self, status: int, headers: pyqwest.Headers, release: Release) -> None:
        self.status = status
        self.headers = headers
        self.waited = 0.0
        """Seconds until it began."""
        self.attempts = 1
        """How many times the request was sent; set by whoever retries."""
        self.max_event_bytes = MAX_REPLY_BYTES
        """How large an event of it may be; set by whoever knows the settings."""
        self.on_close: Callable[[], object] | None = None
        """Called once, when it is closed."""
        self._has_ended = False
        """Whether there is nothing to hang up on: it was read to its end, or the server or the connection failed."""
        self._release: Release | None = release

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters."""
        return media_type(self.headers)

    def _give_back(self) -> Any:
        """Give the connection back, unless that was done before; return one that the caller has to close."""
        release, self._release = self._release, None
        if release is None:
            return None
        spare = None if leave_to_parent(release) else release(not self._has_ended)
        if self.on_close is not None:
            self.on_close()
        return spare


class SyncBody(_Body):
    """The body of a response, read piece by piece on the calling thread."""

    def __init__(self, response: pyqwest.SyncResponse, watchdog: Watchdog, release: Release) -> None:
        super().__init__(response.status, response.headers, release)
        self.due = math.inf
        self._response = response
        self._pieces = iter(response.content)
        self._watchdog = watchdog
        self._expired = False
        watchdog.add(self)

    def read(self, limit: float | None) -> bytes | None:
        """Return the next bytes; None at the end. Raises ApiError: DeadlineExceeded after `limit` seconds."""
        refuse_after_fork()
        if limit is not None:
            self._watchdog.start(self, limit)
        try:
            piece = interruptible(self._next, self._response.close)
        except Exception as error:
            if not is_of_engine(error):
                raise
            self._has_ended = not (self._expired or is_early_end(error))
            raise no_response(limit) if self._expired else translate(error, limit) from None
        finally:
            self.due = math.inf
        # A response that the watchdog closes between two reads ends without an error, as if it were complete.
        if piece is None and self._expired:
            raise no_response(limit)
        self._has_ended = piece is None
        return piece

    def _next(self) -> bytes | None:
        piece = next(self._pieces, None)
        return None if piece is None else bytes(piece)

    def expire(self) -> None:
        """End the current read; the watchdog calls it on its own thread."""
        self._expired = True
        self._response.close()

    def read_error(self) -> bytes:
        """Return the body of an error, as much of it as can be read in time. Never raises: the status counts."""
        body, ends = bytearray(), _ends_at(ERROR_SECONDS)
        with suppress(errors.InferenceError):
            while len(body) < ERROR_BYTES and (piece := self.read(_until(ends, ERROR_SECONDS))) is not None:
                body += piece
        return bytes(body[:ERROR_BYTES])

    def finish(self) -> None:
        """Read the end that should follow the last event, and close."""
        with suppress(errors.InferenceError):
            self._has_ended = not self.read(_END_SECONDS)  # many servers end a stream by an empty frame
        self.close()

    def close(self) -> None:
        """Hang up, if it has not ended; may be called again."""
        if self._release is not None:
            self._give_back()
            self._watchdog.remove(self)
            if not leave_to_parent(self._response, self._pieces):
                self._response.close()


class _DecodedSyncBody(SyncBody):
    """The same with a content coding, which is undone."""

    def __init__(self, response: pyqwest.SyncResponse, watchdog: Watchdog, release: Release) -> None:
        super().__init__(response, watchdog, release)
        self._decoding = BodyDecoder(content_encoding(response.headers))

    def read(self, limit: float | None) -> bytes | None:
        piece, ends = self._decoding.next(), _ends_at(limit)
        while piece is None:
            received = super().read(_until(ends, limit))
            if received is None:
                return None
            piece = self._decoding.feed(received)
        return piece


class AsyncCompletionTransport:
    """Completions for event loops."""

    def __init__(self, settings: Settings) -> None:
        self._direct = Http1(settings) if can_send(settings) else None
        self._http = AsyncHttp(settings, _HTTP_VERSION, **_CONNECTIONS)
        self._limit = settings.max_reply_bytes
        self._takes_whole = False
        """Whether the latest response was a success that announced its size, within the limit."""

    async def fetch(
        self, verb: str, url: str, headers: Metadata, content: bytes | None, timeout: float | None
    ) -> HttpResponse:
        """Perform one exchange.

        If pyqwest does it, responses are taken whole, which is much cheaper, while the server succeeds and announces
        their sizes, and their size is checked afterwards. Their status is not known if their body is not received.
        """
        if self._direct is not None:
            return await self._direct.fetch(verb, url, headers, content, timeout)
        try:
            if not self._takes_whole:
                response = await self._http.fetch(verb, url, headers, content, timeout)
                self._takes_whole = is_success(response.status) and "content-length" in response.headers
                return response
            received = await self._http.fetch_unbounded(verb, url, headers, content, timeout)
        except errors.InferenceError as error:
            self._takes_whole = False
            raise _final_in_body(error) from None
        size = len(received.content)
        succeeded = is_success(received.status)
        self._takes_whole = succeeded and "content-length" in received.headers and size <= self._limit
        if succeeded:
            check_size(size, self._limit)
        return whole(Received(received.status, received.headers, received.content), self._limit)

    def begin(
        self, verb: str, url: str, headers: Metadata, content: bytes | None, timeout: float | None
    ) -> Exchange | None:
        """Begin an exchange that nobody awaits; return None if that is not possible, or not at once."""
        return None if self._direct is None else self._direct.begin(verb, url, headers, content, timeout)

    async def open(
        self, verb: str, url: str, headers: Metadata, content: bytes | None, timeout: float | None
    ) -> "AsyncBody":
        """Begin an exchange whose response is read piece by piece. `timeout` limits the time until it begins."""
        http = self._direct or self._http
        response, release = await http.open(verb, url, headers, content, timeout)
        return (_DecodedAsyncBody if "content-encoding" in response.headers else AsyncBody)(response, release)

    async def close(self) -> None:
        """Release all connections."""
        await (self._direct or self._http).close()


class AsyncBody(_Body):
    """The body of a response, read piece by piece on an event loop."""

    def __init__(self, response: pyqwest.Response | Response, release: Release) -> None:
        super().__init__(response.status, response.headers, release)
        self._response: pyqwest.Response | Response | None = response
        self._pieces: AsyncIterator[Any] | None = aiter(response.content)

    async def read(self, limit: float | None) -> bytes | None:
        """Return the next bytes; None at the end. Raises ApiError: DeadlineExceeded after `limit` seconds."""
        refuse_after_fork()
        if self._pieces is None:
            return None
        timeout = TimeLimit(limit)
        try:
            with timeout:
                return bytes(await anext(self._pieces))
        except StopAsyncIteration:
            self._has_ended = True
            return None
        except Exception as error:
            if not is_of_engine(error):
                raise
            self._has_ended = not is_early_end(error)
            raise no_response(limit) if timeout.expired else translate(error, limit) from None

    async def read_error(self, timeout: float | None) -> bytes:
        """Return the body of an error, as much of it as can be read in time. Never raises: the status counts."""
        body = bytearray()
        limit = ERROR_SECONDS if timeout is None else min(timeout, ERROR_SECONDS)
        ends = TimeLimit(limit)
        try:
            with suppress(errors.InferenceError), ends:
                while len(body) < ERROR_BYTES and (piece := await self.read(None)) is not None:
                    body += piece
        except TimeoutError:
            if not ends.expired:
                raise
        return bytes(body[:ERROR_BYTES])

    async def finish(self) -> None:
        """Read the end that should follow the last event, and close."""
        with suppress(errors.InferenceError):
            self._has_ended = not await self.read(_END_SECONDS)  # as in `SyncBody`
        await self.close()

    async def close(self) -> None:
        """Hang up, if it has not ended; may be called again."""
        response, spare = self._response, self.abandon()
        if response is not None and not leave_to_parent(response):
            await response.aclose()
        if spare is not None:
            await spare.close()

    def abandon(self) -> Any:
        """Hang up where nothing can be awaited; may be called again.

        Return a connection to be closed, if any: it closes by itself when nothing refers to it any more.
        """
        leave_to_parent(self._response, self._pieces)
        self._response = self._pieces = None
        return self._give_back()


class _DecodedAsyncBody(AsyncBody):
    """The same with a content coding, which is undone."""

    def __init__(self, response: pyqwest.Response | Response, release: Release) -> None:
        super().__init__(response, release)
        self._decoding = BodyDecoder(content_encoding(response.headers))

    async def read(self, limit: float | None) -> bytes | None:
        piece, ends = self._decoding.next(), _ends_at(limit)
        while piece is None:
            received = await super().read(_until(ends, limit))
            if received is None:
                return None
            piece = self._decoding.feed(received)
        return piece


def _ends_at(limit: float | None) -> float:
    """Return when a read has to end that may take several steps, on the monotonic clock."""
    return math.inf if limit is None else time.monotonic() + limit


def _until(ends: float, limit: float | None) -> float | None:
    """Return the seconds until then; None for no limit. Raises DeadlineExceeded, for a limit of `limit` seconds."""
    if ends == math.inf:
        return None
    left = ends - time.monotonic()
    if left <= 0:
        raise no_response(limit)
    return left


def _final_in_body(error: errors.InferenceError) -> errors.InferenceError:
    """Rule out a retry if the connection was lost after the response had begun: the model has run."""
    if isinstance(error, errors.Unavailable) and _IN_BODY in error.message:
        return errors.with_hint(error, Hint.NO_RETRY)
    return error

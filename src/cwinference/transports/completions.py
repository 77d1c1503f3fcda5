"""HTTP for completions: whole answers and streams, over pyqwest, bounded in size and time, with our errors.

A stream is limited per read, because its clocks run on content, not on bytes. Closing one before its end is seen by the
server: a reset stream over HTTP/2, a closed connection over HTTP/1.1.
"""

import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pyqwest

from .. import errors
from ..auth import Metadata
from ..config import Settings
from ._gzip import check_size, inflate
from ._http import Answer, AsyncHttp, SyncHttp, deadline_exceeded, refuse_after_fork, translate
from ._interruptible import Opening, aside
from ._time_limit import Deadline
from ._watchdog import Watchdog

_HTTP_VERSION = 1
_CONNECTIONS = {"pool_max_idle_per_host": 1000, "pool_idle_timeout": 4.0}
"""Enough idle connections for many calls at once, kept for less than the 5 s after which common servers drop theirs."""
_END_SECONDS = 0.25
"""How long the end of a stream is awaited after its end mark, so that the connection can be used again."""
_ERROR_BYTES = 1024 * 1024
"""Largest body of a failed answer to a stream."""
_IN_BODY = "Error reading"
"""How pyqwest's text begins when the answer had begun."""


class SyncCompletionTransport(SyncHttp):
    """Completions for threads."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, _HTTP_VERSION)
        self._options.update(_CONNECTIONS)
        self._watchdog = Watchdog()

    def fetch(self, verb: str, url: str, headers: Metadata, content: bytes | None, timeout: float | None) -> Answer:
        """Do one exchange. An error after the answer had begun is permanent: the model has run."""
        try:
            return super().fetch(verb, url, headers, content, timeout)
        except errors.Unavailable as error:
            raise _marked(error) from None

    def open(
        self,
        verb: str,
        url: str,
        headers: Metadata,
        content: bytes | None,
        timeout: float | None,
        first: float | None,
    ) -> "SyncBody":
        """Begin an exchange whose answer is read piece by piece.

        `timeout` limits all of it, `first` the time until the answer begins, both in seconds.
        """
        lane, began = self._pool.take(), time.monotonic()
        try:
            stream = lane.connection.client.stream
            # The headers are made in the call: as a local of ours they would show the token in a traceback.
            opening = Opening(lambda: stream(verb, url, pyqwest.Headers(headers), content, timeout=timeout).__enter__())
            response = aside(opening.enter, opening.give_up, first)
            lane.answered = began
        except BaseException as error:
            self._give(lane, began)
            raise _ours(error, timeout) from None
        return SyncBody(response, self._watchdog, lambda: self._give(lane, began))


class _Body:
    """What is known of an answer whose body is still to be read."""

    def __init__(self, status: int, headers: pyqwest.Headers, release: Callable[[], object]) -> None:
        self.status = status
        self.headers = headers
        self.waited = 0.0
        """Seconds until it began."""
        self.on_close: Callable[[], object] | None = None
        """Called once, when it is closed."""
        self._release: Callable[[], object] | None = release

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def _let_go(self) -> Any:
        """Give the connection back, if that was not done before; what `release` gave is for the caller to close."""
        release, self._release = self._release, None
        if release is None:
            return None
        spare = release()
        if self.on_close is not None:
            self.on_close()
        return spare


class SyncBody(_Body):
    """The body of an answer, read piece by piece on the calling thread."""

    def __init__(self, response: pyqwest.SyncResponse, watchdog: Watchdog, release: Callable[[], object]) -> None:
        super().__init__(response.status, response.headers, release)
        self.due = math.inf
        self._response = response
        self._pieces = iter(response.content)
        self._watchdog = watchdog
        self._expired = False
        watchdog.add(self)

    def read(self, limit: float | None) -> bytes | None:
        """The next bytes; None at the end. Raises ApiError: DeadlineExceeded after `limit` seconds."""
        refuse_after_fork()
        if limit is not None:
            self._watchdog.start(self, limit)
        try:
            piece = aside(self._next, self._response.close)
        except Exception as error:
            raise deadline_exceeded(limit) if self._expired else translate(error, limit) from None
        finally:
            self.due = math.inf
        if piece is None and self._expired:  # between two reads, when it ends without an error
            raise deadline_exceeded(limit)
        return piece

    def _next(self) -> bytes | None:
        piece = next(self._pieces, None)
        return None if piece is None else bytes(piece)

    def expire(self) -> None:
        self._expired = True
        self._response.close()

    def rest(self) -> bytes:
        """All of it, in memory: the body of a failed answer."""
        body = bytearray()
        while (piece := self.read(None)) is not None:
            body += piece
            check_size(len(body), _ERROR_BYTES)
        return bytes(body)

    def finish(self) -> None:
        """Take the end that should follow the last event, and close."""
        with suppress(errors.ApiError):
            self.read(_END_SECONDS)
        self.close()

    def close(self) -> None:
        """Hang up, if it has not ended; may be called again."""
        if self._release is not None:
            self._let_go()
            self._watchdog.remove(self)
            self._response.close()


class _Line:
    """A connection of `AsyncCompletionTransport`: pyqwest's transport, and its client, which takes answers whole."""

    __slots__ = ("aclose", "client", "execute")

    def __init__(self, transport: pyqwest.HTTPTransport) -> None:
        self.execute = transport.execute
        self.aclose = transport.aclose
        self.client = pyqwest.Client(transport)


class AsyncCompletionTransport(AsyncHttp):
    """Completions for event loops."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, _HTTP_VERSION)
        self._options.update(_CONNECTIONS)
        self._announces = False

    async def fetch(
        self, verb: str, url: str, headers: Metadata, content: bytes | None, timeout: float | None
    ) -> Answer:
        """Do one exchange. An error after the answer had begun is permanent: the model has run.

        While the server announces the sizes of its answers, they are taken whole, which halves the cost of a call: each
        further step to pyqwest's threads costs as much as all the rest.
        """
        if not self._announces:
            return await self._fetch_bounded(verb, url, headers, content, timeout)
        limit = Deadline(timeout)
        lane, began = self._pool.take(), time.monotonic()
        try:
            with limit:
                line: Any = lane.connection
                response = await line.client.execute(verb, url, headers, content)
                lane.answered = began
        except Exception as error:
            raise deadline_exceeded(timeout) if limit.expired else _marked(translate(error, timeout)) from None
        finally:
            if (spare := self._pool.give(lane, began)) is not None:
                await spare.aclose()
        return self._whole(response)

    async def open(
        self, verb: str, url: str, headers: Metadata, content: bytes | None, timeout: float | None
    ) -> "AsyncBody":
        """Begin an exchange whose answer is read piece by piece. `timeout` limits the time until it begins."""
        limit = Deadline(timeout)
        lane, began = self._pool.take(), time.monotonic()
        try:
            with limit:
                response = await lane.connection.execute(pyqwest.Request(verb, url, pyqwest.Headers(headers), content))
                lane.answered = began
        except BaseException as error:
            if (spare := self._pool.give(lane, began)) is not None:
                await spare.aclose()
            raise (deadline_exceeded(timeout) if limit.expired else _ours(error, timeout)) from None
        return AsyncBody(response, lambda: self._pool.give(lane, began))

    async def _fetch_bounded(
        self, verb: str, url: str, headers: Metadata, content: bytes | None, timeout: float | None
    ) -> Answer:
        try:
            answer = await super().fetch(verb, url, headers, content, timeout)
        except errors.Unavailable as error:
            raise _marked(error) from None
        self._announces = "content-length" in answer.headers
        return answer

    def _whole(self, response: pyqwest.FullResponse) -> Answer:
        body, headers = response.content, response.headers
        self._announces = "content-length" in headers and len(body) <= self._limit
        check_size(len(body), self._limit)
        encoding = headers.get("content-encoding", "")
        return Answer(response.status, headers, inflate(body, encoding, self._limit) if encoding else body)

    def _connect(self) -> Any:
        return _Line(super()._connect())


class AsyncBody(_Body):
    """The body of an answer, read piece by piece on an event loop."""

    def __init__(self, response: pyqwest.Response, release: Callable[[], object]) -> None:
        super().__init__(response.status, response.headers, release)
        self._response: pyqwest.Response | None = response
        self._pieces: AsyncIterator[Any] | None = aiter(response.content)

    async def read(self, limit: float | None) -> bytes | None:
        """The next bytes; None at the end. Raises ApiError: DeadlineExceeded after `limit` seconds."""
        refuse_after_fork()
        if self._pieces is None:
            return None
        timeout = Deadline(limit)
        try:
            with timeout:
                return bytes(await anext(self._pieces))
        except StopAsyncIteration:
            return None
        except Exception as error:
            raise deadline_exceeded(limit) if timeout.expired else translate(error, limit) from None

    async def rest(self, timeout: float | None) -> bytes:
        """All of it, in memory: the body of a failed answer. `timeout` in seconds."""
        body = bytearray()
        with Deadline(timeout):
            while (piece := await self.read(None)) is not None:
                body += piece
                check_size(len(body), _ERROR_BYTES)
        return bytes(body)

    async def finish(self) -> None:
        """Take the end that should follow the last event, and close."""
        with suppress(errors.ApiError):
            await self.read(_END_SECONDS)
        await self.close()

    async def close(self) -> None:
        """Hang up, if it has not ended; may be called again."""
        response, spare = self._response, self.abandon()
        if response is not None:
            await response.aclose()
        if spare is not None:
            await spare.aclose()

    def abandon(self) -> Any:
        """Hang up where nothing can be awaited; may be called again. Gives a connection that is of no more use."""
        self._response = self._pieces = None
        return self._let_go()


def _marked(error: errors.ApiError) -> errors.ApiError:
    error.permanent = error.permanent or _IN_BODY in error.message
    return error


def _ours(error: BaseException, timeout: float | None) -> BaseException:
    if isinstance(error, errors.InferenceError) or not isinstance(error, Exception):
        return error
    return translate(error, timeout)

"""One HTTP exchange over pyqwest, bounded in size and time, with our errors: for Connect, REST and completions."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pyqwest

from .. import errors
from .._text import safe_headers
from ..auth import Metadata
from ..config import USER_AGENT, Settings
from ._content_coding import check_size, decompress, decompress_error
from ._interruptible import Opening, interruptible
from ._pool import Lane, Pool
from ._pyqwest import is_usable, new_transport, no_response, refuse_after_fork, translate, transport_options
from ._stream_ends import StreamEnds
from ._time_limit import TimeLimit

ERROR_BYTES = 1024 * 1024
ERROR_SECONDS = 5.0
"""How much of the body of an error is read, and for how long: its status counts, and a retry should not wait."""

Release = Callable[[], Any]
"""Gives a connection back; returns one that the caller has to close, or None."""


class HttpResponse:
    """A whole HTTP response, decompressed."""

    __slots__ = ("attempts", "body", "headers", "lost", "status")

    def __init__(self, status: int, headers: pyqwest.Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.attempts = 1
        """How many times the request was sent; set by whoever retries."""
        self.lost: errors.Unavailable | None = None
        """Of a response that is an error: that the connection was lost before its body was complete."""

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters."""
        return media_type(self.headers)


class _SyncConnection(NamedTuple):
    """pyqwest's transport, and its client, which alone accepts a time limit."""

    transport: pyqwest.SyncHTTPTransport
    client: pyqwest.SyncClient


class SyncHttp:
    """HTTP for threads."""

    def __init__(self, settings: Settings, default_version: int, **options: Any) -> None:
        self._limit = settings.max_reply_bytes
        self._error_limit = min(self._limit, ERROR_BYTES)
        self._options = transport_options(settings, default_version) | options
        self._pool = Pool(self._connect)

    def fetch(
        self, verb: str, url: str, headers: Metadata, content: bytes | None, timeout: float | None
    ) -> HttpResponse:
        """Perform one exchange. `timeout` in seconds; None for no limit."""
        refuse_after_fork()
        lane, began = self._pool.take(), time.monotonic()
        try:
            stream = lane.connection.client.stream
            # The headers are made in the call: as a local variable of ours, a traceback would show the token in them.
            opening = Opening(lambda: stream(verb, url, pyqwest.Headers(headers), content, timeout=timeout).__enter__())
            return interruptible(lambda: self._whole(opening, lane, began), opening.cancel)
        except errors.InferenceError:
            raise
        except Exception as error:
            raise translate(error, timeout, time.monotonic() - began) from None
        finally:
            self._give(lane, began)

    def open(
        self,
        verb: str,
        url: str,
        headers: Metadata,
        content: bytes | None,
        timeout: float | None,
        first_timeout: float | None,
    ) -> tuple[pyqwest.SyncResponse, Release]:
        """Begin an exchange; return the response, whose body the caller reads, and how to give the connection back.

        `timeout` limits the whole exchange, `first_timeout` the time until the response begins, both in seconds.
        """
        lane, began = self._pool.take(), time.monotonic()
        try:
            stream = lane.connection.client.stream
            # As in `fetch`.
            opening = Opening(lambda: stream(verb, url, pyqwest.Headers(headers), content, timeout=timeout).__enter__())
            response = interruptible(opening.enter, opening.cancel, first_timeout)
            lane.responded = began
        except BaseException as error:
            self._give(lane, began)
            raise _as_ours(error, timeout) from None
        return response, lambda: self._give(lane, began)

    def close(self) -> None:
        """Release all connections; in a forked child they are the parent's."""
        if is_usable():
            for connection in self._pool.take_all():
                connection.transport.close()

    def _give(self, lane: Lane[_SyncConnection], began: float) -> None:
        spare = self._pool.give(lane, began)
        if spare is not None:
            spare.transport.close()

    def _whole(self, opening: Opening[pyqwest.SyncResponse], lane: Lane[_SyncConnection], began: float) -> HttpResponse:
        with opening.enter() as response:
            lane.responded = began
            chunks, failure = list[Any](), None
            if is_success(response.status):
                check_size(_announced_size(response.headers) or 0, self._limit)
                _read(response, chunks, self._limit)
            else:
                read = partial(_read, response, chunks, self._error_limit)
                try:
                    interruptible(read, response.close, ERROR_SECONDS)
                except Exception as error:  # an error keeps its status, whatever is wrong with its body
                    failure = error
            return whole(response.status, response.headers, b"".join([*chunks]), self._limit, failure)

    def _connect(self) -> _SyncConnection:
        transport = new_transport(lambda: pyqwest.SyncHTTPTransport(**self._options))
        return _SyncConnection(transport, pyqwest.SyncClient(transport))


class _AsyncConnection(NamedTuple):
    """pyqwest's transport, and its client, which alone returns whole responses."""

    transport: pyqwest.HTTPTransport
    client: pyqwest.Client


class AsyncHttp:
    """HTTP for event loops; pyqwest's own threads serve all of them."""

    def __init__(self, settings: Settings, default_version: int, **options: Any) -> None:
        self._limit = settings.max_reply_bytes
        self._error_limit = min(self._limit, ERROR_BYTES)
        self._options = transport_options(settings, default_version) | options
        self._pool = Pool(self._connect)
        self._ends = StreamEnds()

    async def fetch(
        self, verb: str, url: str, headers: Metadata, content: bytes | None, timeout: float | None
    ) -> HttpResponse:
        """Perform one exchange. `timeout` in seconds; None for no limit."""
        limit = TimeLimit(timeout)
        refuse_after_fork()
        lane, began = self._pool.take(), time.monotonic()
        response: pyqwest.Response | None = None
        chunks, failure = list[Any](), None
        try:
            with limit:
                response = await lane.connection.transport.execute(
                    pyqwest.Request(verb, url, pyqwest.Headers(headers), content)
                )
                lane.responded = began
                if is_success(response.status):
                    await self._read(response, chunks, self._limit)
                else:
                    with TimeLimit(ERROR_SECONDS):
                        await self._read(response, chunks, self._error_limit)
        except Exception as error:
            # An error keeps its status, whatever is wrong with its body.
            if response is None or is_success(response.status):
                raise _fetch_error(error, limit, timeout, time.monotonic() - began) from None
            failure = error
        finally:
            if (spare := self._pool.give(lane, began)) is not None:
                await spare.transport.aclose()
        return whole(response.status, response.headers, b"".join(chunks), self._limit, failure)

    async def fetch_unbounded(
        self, verb: str, url: str, headers: Metadata, content: bytes | None, timeout: float | None
    ) -> pyqwest.FullResponse:
        """Perform one exchange and return its whole response, whatever its size, in one step.

        That takes half the CPU time of `fetch`: each further step to pyqwest's threads costs as much as all the rest.
        """
        limit = TimeLimit(timeout)
        lane, began = self._pool.take(), time.monotonic()
        try:
            with limit:
                response = await lane.connection.client.execute(verb, url, headers, content)
                lane.responded = began
                return response
        except Exception as error:
            raise no_response(timeout) if limit.expired else translate(error, timeout) from None
        finally:
            if (spare := self._pool.give(lane, began)) is not None:
                await spare.transport.aclose()

    async def open(
        self, verb: str, url: str, headers: Metadata, content: bytes | None, timeout: float | None
    ) -> tuple[pyqwest.Response, Release]:
        """Begin an exchange; return the response, whose body the caller reads, and how to give the connection back.

        `timeout` limits the time until the response begins, in seconds.
        """
        limit = TimeLimit(timeout)
        lane, began = self._pool.take(), time.monotonic()
        try:
            with limit:
                response = await lane.connection.transport.execute(
                    pyqwest.Request(verb, url, pyqwest.Headers(headers), content)
                )
                lane.responded = began
        except BaseException as error:
            if (spare := self._pool.give(lane, began)) is not None:
                await spare.transport.aclose()
            raise (no_response(timeout) if limit.expired else _as_ours(error, timeout)) from None
        return response, lambda: self._pool.give(lane, began)

    async def close(self) -> None:
        """Release all connections; in a forked child they are the parent's."""
        self._ends.clear()
        if is_usable():
            for connection in self._pool.take_all():
                await connection.transport.aclose()

    async def _read(self, response: pyqwest.Response, chunks: list[Any], limit: int) -> None:
        """Read a body. One of the announced size is complete, and often nothing after it has to be awaited."""
        try:
            announced = _announced_size(response.headers)
            if is_success(response.status):
                check_size(announced or 0, limit)
            size, is_stream = 0, response.http_version != pyqwest.HTTPVersion.HTTP1
            skip_end = not is_stream or self._ends.may_skip()
            began = complete = time.monotonic()
            async for chunk in response.content:
                size += len(chunk)
                check_size(size, limit)
                chunks.append(chunk)
                if size == announced and chunk:
                    if skip_end and is_stream:
                        self._ends.keep(response)  # dropping it now would reset the stream
                    if skip_end:
                        break
                    complete = time.monotonic()
            if size == announced and not skip_end:
                self._ends.learn(end=time.monotonic() - complete, body=complete - began)
        except BaseException:
            await response.aclose()
            raise

    def _connect(self) -> _AsyncConnection:
        transport = new_transport(lambda: pyqwest.HTTPTransport(**self._options))
        return _AsyncConnection(transport, pyqwest.Client(transport))


def _read(response: pyqwest.SyncResponse, chunks: list[Any], limit: int) -> None:
    size = 0
    for chunk in response.content:
        size += len(chunk)
        check_size(size, limit)
        chunks.append(chunk)


def whole(
    status: int, headers: pyqwest.Headers, body: bytes, limit: int, failure: Exception | None = None
) -> HttpResponse:
    """Return a response, decompressed up to `limit` bytes. `failure` is why the body of an error is not complete."""
    if not is_success(status):
        body = decompress_error(body, content_encoding(headers), min(limit, ERROR_BYTES))
        response = HttpResponse(status, headers, body)
        if failure is not None:
            response.lost = _lost(failure, response)
        return response
    if "content-encoding" in headers:
        body = decompress(body, content_encoding(headers), limit)
    return HttpResponse(status, headers, body)


def _lost(failure: Exception, response: HttpResponse) -> errors.Unavailable | None:
    """Return the error of a connection that was lost while a body was read; None if something else went wrong."""
    error = None if isinstance(failure, errors.InferenceError) else translate(failure, None)
    if not isinstance(error, errors.Unavailable):
        return None
    error.http_status, error.headers = response.status, safe_headers(response.headers.items())
    return error


def content_encoding(headers: pyqwest.Headers) -> str:
    """Return the codings of a body, separated by commas; empty if it has none."""
    return ", ".join(headers.getall("content-encoding"))


def is_success(status: int) -> bool:
    """Return whether an HTTP status means success."""
    return 200 <= status < 300


def media_type(headers: pyqwest.Headers) -> str:
    """Return the media type in lower case, without parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def request_headers(metadata: Metadata, **more: str) -> Metadata:
    """Return the headers of a request: the token, our user agent, and more by name with `_` for `-`.

    They become pyqwest's own only where they are handed over, because the repr of those shows the token.
    """
    return (*metadata, ("user-agent", USER_AGENT), *((name.replace("_", "-"), value) for name, value in more.items()))


def _announced_size(headers: pyqwest.Headers) -> int | None:
    """Return the content-length; None if there is none."""
    text = headers.get("content-length", "")
    return int(text[:20]) if text.isdecimal() else None


def _fetch_error(error: Exception, limit: TimeLimit, timeout: float | None, seconds: float) -> errors.InferenceError:
    """Return what a failed exchange means."""
    if isinstance(error, errors.InferenceError):
        return error
    return no_response(timeout) if limit.expired else translate(error, timeout, seconds)


def _as_ours(error: BaseException, timeout: float | None) -> BaseException:
    if isinstance(error, errors.InferenceError) or not isinstance(error, Exception):
        return error
    return translate(error, timeout)

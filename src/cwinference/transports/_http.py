"""One HTTP exchange over pyqwest, bounded in size and time, with our errors: for Connect, REST and completions."""

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pyqwest

from .. import errors
from .._secrets import Secret
from ..auth import Metadata, with_headers
from ..config import USER_AGENT, Settings
from ._http_response import (
    ERROR_BYTES,
    ERROR_SECONDS,
    HTTP1,
    HttpResponse,
    Received,
    is_success,
    read_body,
    read_body_async,
    whole,
)
from ._interruptible import Opening, interruptible
from ._pool import Lane, Pool
from ._pyqwest import (
    is_early_end,
    is_of_engine,
    is_usable,
    new_transport,
    no_response,
    refuse_after_fork,
    translate,
    transport_options,
)
from ._stream_ends import KEPT, StreamEnds
from ._time_limit import TimeLimit

Release = Callable[[bool], Any]
"""Gives a connection back; returns one that the caller has to close, or None.

Its argument is whether the exchange ends early, before its response does. Over HTTP/2 that resets a stream, and is
counted. Over HTTP/1.1 it only closes a connection that no other exchange uses.
"""


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
        self._sent = _SentHeaders()
        self._is_http1 = self._options["http_version"] == HTTP1
        """Whether the server speaks HTTP/1.1; if that is negotiated, as in the latest response, at first False."""

    def fetch(
        self, verb: str, url: str, headers: Metadata, content: bytes | None, timeout: float | None
    ) -> HttpResponse:
        """Perform one exchange. `timeout` in seconds; None for no limit."""
        refuse_after_fork()
        lane, began = self._pool.take(), time.monotonic()
        early = True
        try:
            stream = lane.connection.client.stream
            opening = Opening(
                lambda: stream(
                    verb, url, self._sent.reveal(verb, headers, content), content, timeout=timeout
                ).__enter__()
            )
            received = interruptible(lambda: self._receive(opening, lane, began), opening.cancel)
            early = received.failure is not None and is_early_end(received.failure)
        except Exception as error:
            early = is_early_end(error)
            if not is_of_engine(error):
                raise
            raise translate(error, timeout, time.monotonic() - began) from None
        finally:
            self._give(lane, began, early)
        return whole(received, self._limit)

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
            opening = Opening(
                lambda: stream(
                    verb, url, self._sent.reveal(verb, headers, content), content, timeout=timeout
                ).__enter__()
            )
            response = interruptible(opening.enter, opening.cancel, first_timeout)
            lane.responded = began
            self._is_http1 = response.http_version == HTTP1
        except BaseException as error:
            self._give(lane, began, is_early_end(error))
            if not is_of_engine(error):
                raise
            raise translate(error, timeout) from None
        return response, lambda early: self._give(lane, began, early)

    def close(self) -> None:
        """Release all connections; in a forked child they are the parent's."""
        if is_usable():
            for connection in self._pool.take_all():
                connection.transport.close()

    def _give(self, lane: Lane[_SyncConnection], began: float, early: bool) -> None:
        spare = self._pool.give(lane, began, early and not self._is_http1)
        if spare is not None:
            spare.transport.close()

    def _receive(self, opening: Opening[pyqwest.SyncResponse], lane: Lane[_SyncConnection], began: float) -> Received:
        with opening.enter() as response:
            lane.responded = began
            self._is_http1 = response.http_version == HTTP1
            chunks, failure = list[Any](), None
            if is_success(response.status):
                read_body(response, chunks, self._limit)
            else:
                read = partial(read_body, response, chunks, self._error_limit)
                try:
                    interruptible(read, response.close, ERROR_SECONDS)
                except Exception as error:
                    failure = _failure_of_body(error)
            return Received(response.status, response.headers, b"".join([*chunks]), failure)

    def _connect(self) -> _SyncConnection:
        transport = new_transport(lambda: pyqwest.SyncHTTPTransport(**self._options))
        return _SyncConnection(transport, pyqwest.SyncClient(transport))


class _AsyncConnection:
    """pyqwest's transport, and its client, which alone returns whole responses."""

    __slots__ = ("client", "kept", "transport")

    def __init__(self, transport: pyqwest.HTTPTransport) -> None:
        self.transport = transport
        self.client = pyqwest.Client(transport)
        self.kept = deque[pyqwest.Response](maxlen=KEPT)
        """The latest complete responses, whose streams may not have ended."""

    async def close(self) -> None:
        """Close the connection, which a kept response would keep open."""
        self.kept.clear()
        await self.transport.aclose()


class AsyncHttp:
    """HTTP for event loops; pyqwest's own threads serve all of them."""

    def __init__(self, settings: Settings, default_version: int, **options: Any) -> None:
        self._limit = settings.max_reply_bytes
        self._error_limit = min(self._limit, ERROR_BYTES)
        self._options = transport_options(settings, default_version) | options
        self._pool = Pool(self._connect)
        self._sent = _SentHeaders()
        self._ends = StreamEnds()
        self._is_http1 = self._options["http_version"] == HTTP1
        """As in `SyncHttp`."""

    async def fetch(
        self, verb: str, url: str, headers: Metadata, content: bytes | None, timeout: float | None
    ) -> HttpResponse:
        """Perform one exchange. `timeout` in seconds; None for no limit."""
        limit = TimeLimit(timeout)
        refuse_after_fork()
        lane, began = self._pool.take(), time.monotonic()
        response: pyqwest.Response | None = None
        chunks, failure, early = list[Any](), None, True
        try:
            with limit:
                response = await lane.connection.transport.execute(
                    pyqwest.Request(verb, url, self._sent.reveal(verb, headers, content), content)
                )
                lane.responded = began
                self._is_http1 = response.http_version == HTTP1
                kept = lane.connection.kept
                if is_success(response.status):
                    await read_body_async(response, chunks, self._limit, self._ends, kept)
                else:
                    with TimeLimit(ERROR_SECONDS):
                        await read_body_async(response, chunks, self._error_limit, self._ends, kept)
            early = False
        except Exception as error:
            early = is_early_end(error)
            if response is not None and not is_success(response.status):
                failure = _failure_of_body(error)
            elif is_of_engine(error):
                raise _fetch_error(error, limit, timeout, time.monotonic() - began) from None
            else:
                raise
        finally:
            if (spare := self._give(lane, began, early)) is not None:
                await spare.close()
        return whole(Received(response.status, response.headers, b"".join(chunks), failure), self._limit)

    async def fetch_unbounded(
        self, verb: str, url: str, headers: Metadata, content: bytes | None, timeout: float | None
    ) -> pyqwest.FullResponse:
        """Perform one exchange and return its whole response, whatever its size, in one step.

        That takes half the CPU time of `fetch`: each further step to pyqwest's threads costs as much as all the rest.
        """
        limit = TimeLimit(timeout)
        lane, began = self._pool.take(), time.monotonic()
        early = True
        try:
            with limit:
                response = await lane.connection.client.execute(verb, url, headers.reveal(), content)
                lane.responded = began
                early = False
                return response
        except Exception as error:
            early = is_early_end(error)
            if not is_of_engine(error):
                raise
            raise _fetch_error(error, limit, timeout, 0.0) from None
        finally:
            if (spare := self._give(lane, began, early)) is not None:
                await spare.close()

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
                    pyqwest.Request(verb, url, self._sent.reveal(verb, headers, content), content)
                )
                lane.responded = began
                self._is_http1 = response.http_version == HTTP1
        except BaseException as error:
            if (spare := self._give(lane, began, is_early_end(error))) is not None:
                await spare.close()
            if not is_of_engine(error):
                raise
            raise _fetch_error(error, limit, timeout, 0.0) from None
        return response, lambda early: self._give(lane, began, early)

    async def close(self) -> None:
        """Release all connections; in a forked child they are the parent's."""
        if is_usable():
            for connection in self._pool.take_all():
                await connection.close()

    def _give(self, lane: Lane[_AsyncConnection], began: float, early: bool) -> _AsyncConnection | None:
        return self._pool.give(lane, began, early and not self._is_http1)

    def _connect(self) -> _AsyncConnection:
        return _AsyncConnection(new_transport(lambda: pyqwest.HTTPTransport(**self._options)))


def request_headers(metadata: Metadata, **more: str) -> Metadata:
    """Return the headers of a request: the token, our user agent, and more by name with `_` for `-`."""
    named = ((name.replace("_", "-"), value) for name, value in more.items())
    return with_headers(metadata, (("user-agent", USER_AGENT), *named))


class _SentHeaders:
    """Headers as pyqwest takes them. It only reads them, so requests with the same ones share an object."""

    def __init__(self) -> None:
        self._latest: tuple[Metadata | None, Secret[pyqwest.Headers]] = (None, Secret(pyqwest.Headers()))

    def reveal(self, verb: str, headers: Metadata, content: bytes | None) -> pyqwest.Headers:
        """Return headers as they are sent. Their repr shows the token, so no variable may hold them.

        pyqwest announces no length for an empty body, and strict servers insist on one.
        """
        if not content and verb in ("POST", "PUT", "PATCH"):
            return pyqwest.Headers((*headers.reveal(), ("content-length", "0")))
        given, sent = self._latest
        if given is not headers:
            sent = Secret(pyqwest.Headers(headers.reveal()))
            self._latest = headers, sent
        return sent.reveal()


def _failure_of_body(error: Exception) -> Exception:
    """Return what was wrong with the body of an error, which keeps its status nevertheless. Raises what is not ours."""
    if isinstance(error, errors.InferenceError) or is_of_engine(error):
        return error
    raise error


def _fetch_error(error: Exception, limit: TimeLimit, timeout: float | None, seconds: float) -> errors.InferenceError:
    """Return what a failed exchange means."""
    return no_response(timeout) if limit.expired else translate(error, timeout, seconds)

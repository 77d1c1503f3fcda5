"""How one attempt of a completion is sent: through the limiter, then by HTTP; and what its response means."""

import math
import time
from typing import Any, Generic, Self, TypeVar

from .._calls.session import closed
from ..auth import Headers, Metadata, with_headers
from ..errors import DeadlineExceeded, ProtocolError
from ..transports.completion_errors import failed_completion, no_stream
from ..transports.completions import (
    AsyncBody,
    AsyncCompletionTransport,
    Exchange,
    HttpResponse,
    SyncBody,
    SyncCompletionTransport,
    is_success,
    refuse_after_fork,
)
from ._connections import Connections
from ._health import Health
from ._limiter import Limiter
from ._request import CompletionCall
from ._stats import Counters
from ._stream_reader import stalled

TransportT = TypeVar("TransportT", SyncCompletionTransport, AsyncCompletionTransport)

_TIMER_SLACK = 0.01
"""By how many seconds a timer may fire early."""


class BaseInferenceSession(Generic[TransportT]):
    """What both sessions have in common."""

    def __init__(
        self, connections: Connections[TransportT], limiter: Limiter, counters: Counters, health: Health
    ) -> None:
        self._connections: Connections[TransportT] = connections
        self._limiter = limiter
        self._counters = counters
        self._health = health
        self.is_closed = False
        self._latest_headers: tuple[Metadata, Headers, Metadata] | None = None

    def __str__(self) -> str:
        return "completions"

    def within(self, limiter: Limiter) -> Self:
        """Return one that sends through another limiter."""
        return type(self)(self._connections, limiter, self._counters, self._health)

    def send(self, call: CompletionCall[Any], metadata: Metadata, timeout: float | None) -> Any:
        """Send one attempt."""
        raise NotImplementedError

    def _after_queue(self, call: CompletionCall[Any], metadata: Metadata) -> tuple[Self, Metadata]:
        """Return what sends a request that has queued, and its token: much may have happened meanwhile."""
        found = call.choose_again()
        if found is None:
            return self, metadata
        health, token = found
        extras = tuple(each for each in metadata.reveal() if each[0] != "authorization")  # what belongs to the call
        here = type(self)(self._connections, self._limiter, self._counters, health)
        return here, with_headers(token, extras) if extras else token

    def _headers(self, metadata: Metadata, more: Headers) -> Metadata:
        """Return both together: the same object as for the latest request, if that had the same."""
        latest = self._latest_headers
        if latest is None or latest[0] is not metadata or latest[1] is not more:
            latest = self._latest_headers = metadata, more, with_headers(metadata, more)
        return latest[2]

    def _count(self, call: CompletionCall[Any]) -> None:
        call.attempts += 1
        if call.attempts > 1:
            self._counters.retry()

    def _received(self, response: HttpResponse, call: CompletionCall[Any], began: float) -> HttpResponse:
        """Return a response that is a success. Raises ApiError."""
        response.attempts = call.attempts
        if not is_success(response.status):
            self._health.leave()
            raise failed_completion(response.status, response.headers, response.body, call.name)
        seconds = self._health.complete(began)
        if self._limiter.is_auto:
            self._limiter.note(seconds, began)
        return response

    def _leave(self) -> None:
        self._limiter.leave()
        self._health.leave()

    def _fail(self, error: BaseException, call: CompletionCall[Any], began: float) -> None:
        self._counters.fail(error)
        self._health.fail(error, was_sent=began != -math.inf)
        if self._limiter.is_auto:
            self._limiter.note_failure(error, began)
        if isinstance(error, ProtocolError):
            error.method = call.name


class SyncInferenceSession(BaseInferenceSession[SyncCompletionTransport]):
    """Sends completions on the calling thread."""

    def send(self, call: CompletionCall[Any], metadata: Metadata, timeout: float | None) -> HttpResponse | SyncBody:
        """Send one attempt; return the response, or for a stream its open body. Raises ApiError or ProtocolError."""
        refuse_after_fork()
        if self.is_closed:
            raise closed()
        self._connections.check_open()
        self._count(call)
        here, began = self, -math.inf
        try:
            remaining = timeout
            if not self._limiter.enter_at_once():
                remaining = self._limiter.enter(timeout)
                here, metadata = self._after_queue(call, metadata)
            began = here._health.begin()
            if call.is_streamed:
                return here._open(call, metadata, remaining, began)
            try:
                transport = self._connections.to(call.endpoint)
                headers = self._headers(metadata, call.headers)
                response = transport.fetch(call.verb, call.url, headers, call.content, remaining)
            except BaseException:
                here._health.leave()
                raise
            finally:
                self._limiter.leave()
            return here._received(response, call, began)
        except BaseException as error:
            here._fail(error, call, began)
            raise

    def _open(
        self,
        call: CompletionCall[Any],
        metadata: Metadata,
        timeout: float | None,
        began: float,
    ) -> SyncBody:
        body: SyncBody | None = None
        started = time.monotonic()
        try:
            transport = self._connections.to(call.endpoint)
            headers = self._headers(metadata, call.headers)
            body = transport.open(call.verb, call.url, headers, call.content, timeout, call.first_token_timeout)
            body.on_close = self._leave
            if not is_success(body.status):
                raise failed_completion(body.status, body.headers, body.read_error(), call.name)
            if not _is_event_stream(body):
                raise no_stream(body.status, body.headers, body.read_error(), call.name)
        except BaseException as error:
            self._leave() if body is None else body.close()
            raise _opening_error(error, call, started) from None
        body.waited, body.attempts = time.monotonic() - started, call.attempts
        body.max_event_bytes = self._connections.settings.max_reply_bytes
        seconds = self._health.respond(began)
        if self._limiter.is_auto:
            self._limiter.note(seconds, began)
        return body


class AsyncInferenceSession(BaseInferenceSession[AsyncCompletionTransport]):
    """Sends completions on the running event loop."""

    async def send(
        self, call: CompletionCall[Any], metadata: Metadata, timeout: float | None
    ) -> HttpResponse | AsyncBody:
        """Send one attempt; as `SyncInferenceSession.send`."""
        refuse_after_fork()
        if self.is_closed:
            raise closed()
        self._connections.check_open()
        self._count(call)
        here, began = self, -math.inf
        try:
            remaining = timeout
            if not self._limiter.enter_at_once():
                remaining = await self._limiter.enter_async(timeout)
                here, metadata = self._after_queue(call, metadata)
            began = here._health.begin()
            if call.is_streamed:
                return await here._open(call, metadata, remaining, began)
            try:
                transport = self._connections.to(call.endpoint)
                headers = self._headers(metadata, call.headers)
                response = await transport.fetch(call.verb, call.url, headers, call.content, remaining)
            except BaseException:
                here._health.leave()
                raise
            finally:
                self._limiter.leave()
            return here._received(response, call, began)
        except BaseException as error:
            here._fail(error, call, began)
            raise

    def begin(
        self, call: CompletionCall[Any], metadata: Metadata, timeout: float | None
    ) -> tuple[Exchange, float] | None:
        """Send one attempt that nobody awaits, if that can be done at once: return it and its time for `finish`.

        Otherwise return None, and nothing was done.
        """
        refuse_after_fork()
        if self.is_closed:
            raise closed()
        transport = self._connections.to(call.endpoint)
        self._connections.check_open()
        if not self._limiter.enter_at_once():
            return None
        exchange: Exchange | None = None
        began = self._health.begin()
        try:
            headers = self._headers(metadata, call.headers)
            exchange = transport.begin(call.verb, call.url, headers, call.content, timeout)
        finally:
            if exchange is None:
                self._leave()
        if exchange is None:
            return None
        self._count(call)
        return exchange, began

    def finish(self, exchange: Exchange, call: CompletionCall[Any], began: float) -> HttpResponse:
        """Return the response to an attempt that was begun, when it is over; to be called once. Raises as `send`."""
        self._limiter.leave()
        try:
            try:
                response = exchange.response()
            except BaseException:
                self._health.leave()
                raise
            return self._received(response, call, began)
        except BaseException as error:
            self._fail(error, call, began)
            raise

    def give_up(self, call: CompletionCall[Any], began: float, error: BaseException) -> None:
        """Note that an attempt that was begun is not awaited any more."""
        self._leave()
        self._fail(error, call, began)

    async def _open(
        self,
        call: CompletionCall[Any],
        metadata: Metadata,
        timeout: float | None,
        began: float,
    ) -> AsyncBody:
        body: AsyncBody | None = None
        started = time.monotonic()
        limits = [each for each in (timeout, call.first_token_timeout) if each is not None]
        try:
            transport = self._connections.to(call.endpoint)
            headers = self._headers(metadata, call.headers)
            body = await transport.open(call.verb, call.url, headers, call.content, min(limits, default=None))
            body.on_close = self._leave
            if not is_success(body.status):
                raise failed_completion(body.status, body.headers, await body.read_error(timeout), call.name)
            if not _is_event_stream(body):
                raise no_stream(body.status, body.headers, await body.read_error(timeout), call.name)
        except BaseException as error:
            self._leave() if body is None else body.abandon()
            raise _opening_error(error, call, started) from None
        body.waited, body.attempts = time.monotonic() - started, call.attempts
        body.max_event_bytes = self._connections.settings.max_reply_bytes
        seconds = self._health.respond(began)
        if self._limiter.is_auto:
            self._limiter.note(seconds, began)
        return body


def _is_event_stream(body: SyncBody | AsyncBody) -> bool:
    """Return whether a response is a stream of events; servers that do not say what it is mean one."""
    return body.content_type in ("text/event-stream", "")


def _opening_error(error: BaseException, call: CompletionCall[Any], started: float) -> BaseException:
    """Return StreamStalled if `first_token_timeout` was what ran out; else the error itself."""
    limit = call.first_token_timeout
    if isinstance(error, DeadlineExceeded) and limit is not None and time.monotonic() - started >= limit - _TIMER_SLACK:
        return stalled(call.name, limit, option=call.first_token_option, is_first=True)
    return error

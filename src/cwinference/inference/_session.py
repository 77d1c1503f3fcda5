"""How one attempt of a completion is sent: through the limiter, then by HTTP; and what its response means."""

import time
from typing import Any, Generic, TypeVar

from ..auth import Metadata
from ..errors import DeadlineExceeded, ProtocolError
from ..transports.completion_errors import failed_completion
from ..transports.completions import (
    AsyncBody,
    AsyncCompletionTransport,
    SyncBody,
    SyncCompletionTransport,
    refuse_after_fork,
)
from ._connections import Connections
from ._limiter import Limiter
from ._request import CompletionCall
from ._stats import Counters
from ._stream_reader import stalled

TransportT = TypeVar("TransportT", SyncCompletionTransport, AsyncCompletionTransport)

_TIMER_SLACK = 0.01
"""By how many seconds a timer may fire early."""


class BaseInferenceSession(Generic[TransportT]):
    """What both sessions have in common."""

    def __init__(self, connections: Connections[TransportT], limiter: Limiter, counters: Counters) -> None:
        self._connections: Connections[TransportT] = connections
        self._limiter = limiter
        self._counters = counters

    def __str__(self) -> str:
        return "completions"

    def _count(self, call: CompletionCall[Any]) -> None:
        call.attempts += 1
        if call.attempts > 1:
            self._counters.retry()


class SyncInferenceSession(BaseInferenceSession[SyncCompletionTransport]):
    """Sends completions on the calling thread."""

    def send(self, call: CompletionCall[Any], metadata: Metadata, timeout: float | None) -> bytes | SyncBody:
        """Send one attempt; return the whole body, or for a stream the open one. Raises ApiError or ProtocolError."""
        refuse_after_fork()
        transport = self._connections.to(call.endpoint)
        self._count(call)
        try:
            remaining = self._limiter.enter(timeout)
            if call.is_streamed:
                return self._open(transport, call, metadata, remaining)
            headers = (*metadata, *call.headers)
            try:
                response = transport.fetch(call.verb, call.url, headers, call.content, remaining)
            finally:
                self._limiter.leave()
            if response.status != 200:
                raise failed_completion(response.status, response.headers, response.body, call.name)
            return response.body
        except BaseException:
            self._counters.fail()
            raise

    def _open(
        self, transport: SyncCompletionTransport, call: CompletionCall[Any], metadata: Metadata, timeout: float | None
    ) -> SyncBody:
        body: SyncBody | None = None
        started = time.monotonic()
        try:
            headers = (*metadata, *call.headers)
            body = transport.open(call.verb, call.url, headers, call.content, timeout, call.first_token_timeout)
            body.on_close = self._limiter.leave
            if body.status != 200:
                raise failed_completion(body.status, body.headers, body.read_all(), call.name)
            _check_event_stream(body.content_type, call.name)
        except BaseException as error:
            self._limiter.leave() if body is None else body.close()
            raise _opening_error(error, call, started) from None
        body.waited = time.monotonic() - started
        return body


class AsyncInferenceSession(BaseInferenceSession[AsyncCompletionTransport]):
    """Sends completions on the running event loop."""

    async def send(self, call: CompletionCall[Any], metadata: Metadata, timeout: float | None) -> bytes | AsyncBody:
        """Send one attempt; as `SyncInferenceSession.send`."""
        refuse_after_fork()
        transport = self._connections.to(call.endpoint)
        self._count(call)
        try:
            # The usual case needs no coroutine.
            remaining = timeout if self._limiter.enter_at_once() else await self._limiter.enter_async(timeout)
            if call.is_streamed:
                return await self._open(transport, call, metadata, remaining)
            headers = (*metadata, *call.headers)
            try:
                response = await transport.fetch(call.verb, call.url, headers, call.content, remaining)
            finally:
                self._limiter.leave()
            if response.status != 200:
                raise failed_completion(response.status, response.headers, response.body, call.name)
            return response.body
        except BaseException:
            self._counters.fail()
            raise

    async def _open(
        self, transport: AsyncCompletionTransport, call: CompletionCall[Any], metadata: Metadata, timeout: float | None
    ) -> AsyncBody:
        body: AsyncBody | None = None
        started = time.monotonic()
        limits = [each for each in (timeout, call.first_token_timeout) if each is not None]
        try:
            headers = (*metadata, *call.headers)
            body = await transport.open(call.verb, call.url, headers, call.content, min(limits, default=None))
            body.on_close = self._limiter.leave
            if body.status != 200:
                raise failed_completion(body.status, body.headers, await body.read_all(timeout), call.name)
            _check_event_stream(body.content_type, call.name)
        except BaseException as error:
            self._limiter.leave() if body is None else body.abandon()
            raise _opening_error(error, call, started) from None
        body.waited = time.monotonic() - started
        return body


def _check_event_stream(content_type: str, method: str) -> None:
    """Refuse a response that is not a stream of events."""
    if content_type not in ("text/event-stream", ""):
        raise ProtocolError(f"the response is {content_type}, not an event stream", method=method, http_status=200)


def _opening_error(error: BaseException, call: CompletionCall[Any], started: float) -> BaseException:
    """Return StreamStalled if `first_token_timeout` was what ran out; else the error itself."""
    limit = call.first_token_timeout
    if isinstance(error, DeadlineExceeded) and limit is not None and time.monotonic() - started >= limit - _TIMER_SLACK:
        return stalled(call.name, limit, is_first=True)
    return error

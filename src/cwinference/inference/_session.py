"""The connections of completions, and how one request is sent over them: through the gate, then by HTTP."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic, TypeVar

from .._calls.rpc import Call
from .._calls.session import Session
from .._locks import lock_of
from .._wire.methods import Method
from ..auth import Metadata
from ..config import Endpoint, Settings
from ..errors import ConfigurationError, DeadlineExceeded, ProtocolError
from ..transports._http import refuse_after_fork
from ..transports.completion_errors import failed_completion
from ..transports.completions import AsyncBody, AsyncCompletionTransport, SyncBody, SyncCompletionTransport
from ._limiter import Counters, Limiter
from ._request import Ask, HttpRequest
from ._stream_reader import stalled

EngineT = TypeVar("EngineT", SyncCompletionTransport, AsyncCompletionTransport)


_TIMER_SLACK = 0.01
"""By how many seconds a timer may be early."""


class Connections(Generic[EngineT]):
    """An engine for each server, opened at the first request and shared by all who ask there."""

    def __init__(self, settings: Settings, open_engine: Callable[[Settings], EngineT]) -> None:
        self.settings = settings
        self._open_engine: Callable[[Settings], EngineT] = open_engine
        self._engines: dict[str, EngineT] = {}
        self._last: tuple[Endpoint, EngineT] | None = None
        self._closed = False
        self._lock = lock_of(self)

    def to(self, endpoint: Endpoint) -> EngineT:
        """The engine for a server."""
        last = self._last
        if last is not None and last[0] is endpoint:
            return last[1]
        key = f"{endpoint.scheme}://{endpoint.authority}"
        with self._lock:
            if self._closed:
                raise ConfigurationError("the client is closed; make a new one")
            if key not in self._engines:
                self._engines[key] = self._open_engine(replace(self.settings, endpoint=endpoint))
            self._last = endpoint, self._engines[key]
            return self._engines[key]

    def take_all(self) -> list[EngineT]:
        """Give the engines up, to be closed; no request can be made any more."""
        with self._lock:
            self._closed = True
            self._last = None
            engines = list(self._engines.values())
            self._engines.clear()
            return engines


class BaseInferenceSession(Generic[EngineT]):
    """What a driver sends with: completions by HTTP, calls of the management API with their own client's session."""

    def __init__(
        self, connections: Connections[EngineT], gate: Limiter, counters: Counters, management: Session[Any] | None
    ) -> None:
        self.connections: Connections[EngineT] = connections
        self.gate = gate
        self.counters = counters
        self._management = management

    def transport_for(self, call: Call[Any]) -> Any:
        """Whatever has to send this call."""
        if isinstance(call, Ask) or self._management is None:
            return self
        return self._management.transport_for(call)

    def _count(self, asked: HttpRequest) -> None:
        asked.sent += 1
        if asked.sent > 1:
            self.counters.repeat()


class SyncInferenceSession(BaseInferenceSession[SyncCompletionTransport]):
    """For threads."""

    def send(
        self, method: Method, request: Any, metadata: Metadata, timeout: float | None, lost: list[str] | None = None
    ) -> bytes | SyncBody:
        """Send one attempt; the whole body, or for a stream an open one. Raises ApiError or ProtocolError."""
        refuse_after_fork()
        asked: HttpRequest = request
        engine = self.connections.to(asked.endpoint)
        self._count(asked)
        try:
            left = self.gate.enter(timeout)
            if asked.streamed:
                return self._open(engine, method, asked, metadata, left)
            headers = (*metadata, *asked.headers)
            try:
                answer = engine.fetch(asked.verb, asked.url, headers, asked.content, left)
            finally:
                self.gate.leave()
            if answer.status != 200:
                raise failed_completion(answer.status, answer.headers, answer.body, method.name)
            return answer.body
        except BaseException:
            self.counters.fail()
            raise

    def _open(
        self,
        engine: SyncCompletionTransport,
        method: Method,
        asked: HttpRequest,
        metadata: Metadata,
        timeout: float | None,
    ) -> SyncBody:
        body: SyncBody | None = None
        started = time.monotonic()
        try:
            headers = (*metadata, *asked.headers)
            body = engine.open(asked.verb, asked.url, headers, asked.content, timeout, asked.first)
            body.on_close = self.gate.leave
            if body.status != 200:
                raise failed_completion(body.status, body.headers, body.rest(), method.name)
            check_event_stream(body.content_type, method.name)
        except BaseException as error:
            self.gate.leave() if body is None else body.close()
            raise opening_failed(error, method.name, asked, started) from None
        body.waited = time.monotonic() - started
        return body


class AsyncInferenceSession(BaseInferenceSession[AsyncCompletionTransport]):
    """For event loops."""

    async def send(
        self, method: Method, request: Any, metadata: Metadata, timeout: float | None, lost: list[str] | None = None
    ) -> bytes | AsyncBody:
        """Send one attempt; as `SyncInferenceSession.send`."""
        refuse_after_fork()
        asked: HttpRequest = request
        engine = self.connections.to(asked.endpoint)
        self._count(asked)
        try:
            left = timeout if self.gate.enter_at_once() else await self.gate.enter_async(timeout)
            if asked.streamed:
                return await self._open(engine, method, asked, metadata, left)
            headers = (*metadata, *asked.headers)
            try:
                answer = await engine.fetch(asked.verb, asked.url, headers, asked.content, left)
            finally:
                self.gate.leave()
            if answer.status != 200:
                raise failed_completion(answer.status, answer.headers, answer.body, method.name)
            return answer.body
        except BaseException:
            self.counters.fail()
            raise

    async def _open(
        self,
        engine: AsyncCompletionTransport,
        method: Method,
        asked: HttpRequest,
        metadata: Metadata,
        timeout: float | None,
    ) -> AsyncBody:
        body: AsyncBody | None = None
        started = time.monotonic()
        limits = [each for each in (timeout, asked.first) if each is not None]
        try:
            headers = (*metadata, *asked.headers)
            body = await engine.open(asked.verb, asked.url, headers, asked.content, min(limits, default=None))
            body.on_close = self.gate.leave
            if body.status != 200:
                raise failed_completion(body.status, body.headers, await body.rest(timeout), method.name)
            check_event_stream(body.content_type, method.name)
        except BaseException as error:
            self.gate.leave() if body is None else body.abandon()
            raise opening_failed(error, method.name, asked, started) from None
        body.waited = time.monotonic() - started
        return body


def check_event_stream(content_type: str, method: str) -> None:
    """Refuse an answer that is no stream of events."""
    if content_type not in ("text/event-stream", ""):
        raise ProtocolError(f"the answer is {content_type}, not a stream of events", method=method, http_status=200)


def opening_failed(error: BaseException, method: str, asked: HttpRequest, started: float) -> BaseException:
    """StreamStalled when the clock of the first token has run out; else the error itself."""
    ours = isinstance(error, DeadlineExceeded) and asked.first is not None
    over = ours and time.monotonic() - started >= (asked.first or 0) - _TIMER_SLACK
    return stalled(method, asked.first, first=True) if over else error

"""Two attempts of one request at the same time, on connections that can be left before a response begins."""

import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from .._calls.session import closed
from ..auth import Metadata, with_headers
from ..errors import ProtocolError
from ..transports.completions import AsyncBody, AsyncCompletionTransport, HttpResponse
from ._connections import Connections
from ._hedging import race
from ._limiter import Limiter
from ._loop_thread import BodyOfLoop, LoopThread
from ._model_server import ModelServer
from ._request import CompletionCall
from ._session import AsyncInferenceSession
from ._stats import Counters


class HedgedCall(Protocol):
    """What a race needs to know of a call."""

    name: str
    attempts: int
    server: ModelServer
    hedges: int
    lost: BaseException | None

    def second(self) -> tuple[ModelServer, Metadata] | None:
        """Return the server of a second attempt and its token; None if there is to be none."""
        ...

    def copy_to(self, server: ModelServer) -> CompletionCall[Any]:
        """Return the same request to a server."""
        ...

    def aim(self, server: ModelServer) -> None:
        """Turn to a server."""
        ...


class Racing:
    """Runs races. `connections` are those of the `Inference` if it is async, else of its own."""

    def __init__(
        self,
        connections: Connections[AsyncCompletionTransport],
        limiter: Limiter,
        counters: Counters,
        thread: LoopThread | None,
    ) -> None:
        self._connections: Connections[AsyncCompletionTransport] = connections
        self._limiter = limiter
        self._counters = counters
        self._thread = thread

    def within(self, limiter: Limiter) -> "Racing":
        """Return one on the same connections with another limiter."""
        return Racing(self._connections, limiter, self._counters, self._thread)

    def run_sync(self, run: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Run a race for a thread; return the response, or for a stream its open body."""
        assert self._thread is not None  # noqa: S101
        begun = self._thread.run(run)
        return BodyOfLoop(begun, self._thread) if isinstance(begun, AsyncBody) else begun

    async def run(
        self, call: HedgedCall, metadata: Metadata, timeout: float | None, after: float
    ) -> HttpResponse | AsyncBody:
        """Send an attempt, and a second one elsewhere if it takes more than `after` seconds; both count as one."""
        if call.server.is_closed:
            raise closed()
        call.attempts += 1
        if call.attempts > 1:
            self._counters.retry()
        began, other = time.monotonic(), list[ModelServer]()
        extras = tuple(each for each in metadata.reveal() if each[0] != "authorization")  # what belongs to the call
        first: Any = call.copy_to(call.server)

        def second() -> Any:
            _turn(call, first.server)
            found = call.second()
            if found is None:
                return None
            server, token = found
            left = None if timeout is None else max(0.001, timeout - (time.monotonic() - began))
            other.append(server)
            call.hedges += 1
            return self._session(server).send(call.copy_to(server), with_headers(token, extras), left)

        try:
            sending = self._session(call.server).send(first, metadata, timeout)
            begun, by_second = await race(sending, after, second, partial(setattr, call, "lost"))
        except BaseException as error:
            _turn(call, first.server)
            self._counters.fail(error)
            if isinstance(error, ProtocolError):
                error.method = call.name
            raise
        _turn(call, other[0] if by_second else first.server)
        begun.attempts = call.attempts + len(other)
        return begun

    def close(self) -> None:
        """Release the connections that are its own; in a forked child they are the parent's. May be called again."""
        thread = self._thread
        if thread is not None:
            for transport in self._connections.take_all():
                if thread.is_alive:
                    thread.run(transport.close)
            if thread.is_alive:
                thread.stop()

    def _session(self, server: ModelServer) -> AsyncInferenceSession:
        """Return what sends to a server; the outcome is counted once, for both attempts together."""
        return AsyncInferenceSession(self._connections, self._limiter, Counters(), server.health)


def _turn(call: HedgedCall, server: ModelServer) -> None:
    """Turn a call to the server of one of its copies, which may have chosen again while it queued."""
    if server is not call.server:
        call.aim(server)

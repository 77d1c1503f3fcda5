"""Completions that are begun on an event loop without a task that waits for each: for who has many to request.

Only the usual case is done like that: the first attempt, on a connection that is open, in a slot that is free. What is
not usual is awaited, as every call is; and so is what has to be done after a failure.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from .._arguments import UNSET
from .._calls.attempts import Context, Progress, first_timeout, recover
from .._calls.drivers import AsyncDriver
from .._calls.flow import Flow, Operation
from ..auth import Metadata
from ..errors import ApiError
from ..transports.completions import Exchange, HttpResponse
from ._request import CompletionCall, CompletionRequest
from ._session import AsyncInferenceSession

log = logging.getLogger("cwinference")

T = TypeVar("T")


class Begun(Generic[T]):
    """A completion whose first attempt is in flight."""

    __slots__ = ("_began", "_call", "_context", "_exchange", "_metadata", "_session", "_started")

    def __init__(
        self,
        call: CompletionCall[T],
        context: Context,
        session: AsyncInferenceSession,
        metadata: Metadata,
        started: float,
        sent: tuple[Exchange, float],
    ) -> None:
        self._call = call
        self._context = context
        self._session = session
        self._metadata = metadata
        self._started = started
        self._exchange, self._began = sent

    def when_over(self, call: Callable[[], object]) -> None:
        """Call a function on the event loop when the attempt is over; at once if it is over already."""
        self._exchange.when_over(call)

    def response(self) -> HttpResponse:
        """Return the response; to be called once, when the attempt is over. Raises ApiError: see `recovery`."""
        response = self._session.finish(self._exchange, self._call, self._began)
        budget = self._context.budget
        if budget.touched:
            budget.succeed()
        return response

    def result(self, response: HttpResponse) -> T:
        """Return what a response means. Raises ApiError or ProtocolError; nothing follows, since it was a success."""
        return self._call.result(response)

    def recovery(self, error: ApiError) -> Flow[T]:
        """Return the steps that follow when the attempt has failed: pause and retry as the rules allow."""
        progress = Progress(self._call, self._context, self._started)
        return recover(self._call, self._context, progress, self._metadata, error)

    def cancel(self, error: BaseException) -> None:
        """Hang up; `error` says why."""
        self._exchange.cancel()
        self._session.give_up(self._call, self._began, error)


class Sender(Generic[T]):
    """Sends requests for completions on an event loop: `begin`, and where that is not possible `perform`."""

    def __init__(self, driver: AsyncDriver, build: Callable[[CompletionRequest], Operation[T]]) -> None:
        """Make one that sends what `build` makes of a request."""
        self.build = build
        self.perform: Callable[[Operation[T]], Awaitable[T]] = driver.bind(_unchanged)
        """Do all that a request needs, and return its result."""
        self._context = driver.context

    def begin(self, operation: Operation[T]) -> Begun[T] | None:
        """Begin with the first attempt, if that can be done at once; else return None, and nothing was done."""
        if not isinstance(operation, CompletionCall):
            return None
        call: CompletionCall[T] = operation
        context: Context = call.context or self._context
        metadata = context.credentials.metadata()
        if metadata is None or context.is_reported or log.isEnabledFor(logging.DEBUG):
            return None
        has_options = call.timeout is not UNSET or call.retry is not UNSET
        timeout = first_timeout(call, context) if has_options else context.first_timeout
        session: Any = context.session
        started = context.clock.monotonic()
        sent = session.begin(call, metadata, timeout)
        return None if sent is None else Begun(call, context, session, metadata, started, sent)


def _unchanged(operation: Operation[T]) -> Operation[T]:
    return operation

"""The two drivers: they perform the steps of a flow, `SyncDriver` for `Client`, `AsyncDriver` for `AsyncClient`.

A single RPC whose first attempt works does not need a flow at all: both drivers try that first, and hand a failure to
`recover`. This is what keeps the facade's cost within a few per cent of a bare stub.
"""

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from typing import Any, ParamSpec, TypeAlias, TypeVar

from google.protobuf.message import Message

from ..auth import Metadata
from ..errors import ApiError, DeadlineExceeded
from ..transports.base import AsyncTransport, Transport, running_loop
from .attempts import Context, Progress, attempts, first_timeout, recover
from .rpc import Call, UnknownOption
from .flow import AskToken, Flow, Pages, Send, Sleep, Step
from .session import Session
from .signatures import async_iterator_of, coroutine_of, iterator_of, result_of, show, unexpected

log = logging.getLogger("cwinference")

P = ParamSpec("P")
T = TypeVar("T")

Operation: TypeAlias = Call[T] | Flow[T]
"""What a declaration returns: one RPC, or several steps."""
Outcome: TypeAlias = tuple[Any, Exception | None]


def _resume(flow: Generator[Any, Any, Any], outcome: Outcome) -> Any:
    """Tell a flow how its step went; gives its next step, or raises StopIteration when it is done."""
    answer, error = outcome
    return flow.send(answer) if error is None else flow.throw(error)


class SyncDriver:
    """Performs operations on the calling thread."""

    def __init__(self, session: Session[Transport], context: Context) -> None:
        self.session = session
        self.context = context

    def __repr__(self) -> str:
        return f"Client({self.session})"

    def bind(self, build: Callable[P, Operation[T]]) -> Callable[P, T]:
        """A method that does what `build` declares."""

        @functools.wraps(build)
        def method(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                operation = build(*args, **kwargs)
                return (
                    operation.result(self._call(operation)) if isinstance(operation, Call) else self._drive(operation)
                )
            except UnknownOption as error:
                raise unexpected(build, error) from None

        return show(method, build, result_of)  # type: ignore[no-any-return]

    def bind_pages(self, build: Callable[P, Pages[T]]) -> Callable[P, Iterator[T]]:
        """A method that iterates over what `build` emits."""

        @functools.wraps(build)
        def method(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            try:
                return self._iterate(build(*args, **kwargs))
            except UnknownOption as error:
                raise unexpected(build, error) from None

        return show(method, build, iterator_of)  # type: ignore[no-any-return]

    def _call(self, call: Call[Any]) -> Message:
        context = self.context
        metadata = context.credentials.metadata()
        if metadata is None or context.on_call is not None or log.isEnabledFor(logging.DEBUG):
            return self._drive(attempts(call, context))
        timeout, started = first_timeout(call, context), context.clock.monotonic()
        try:
            reply = self._send(call, metadata, timeout)
        except ApiError as error:
            return self._drive(recover(call, context, Progress(call, context, started), metadata, error))
        if context.budget.touched:
            context.budget.succeed()
        return reply

    def _send(self, call: Call[Any], metadata: Metadata, timeout: float | None) -> Message:
        transport = self.session.transport_for(call)
        return transport.send(call.method, call.request, metadata, timeout, call.lost)

    def _drive(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                step = _resume(flow, self._outcome(step))
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        finally:
            flow.close()

    def _iterate(self, pages: Pages[T]) -> Iterator[T]:
        try:
            step = next(pages)
            while True:
                if isinstance(step, Step):
                    step = _resume(pages, self._outcome(step))
                else:
                    yield from step.items
                    step = next(pages)
        except StopIteration:
            return
        finally:
            pages.close()

    def _outcome(self, step: Step) -> Outcome:
        try:
            return self._perform(step), None
        except Exception as error:
            return None, error

    def _perform(self, step: Step) -> Any:
        if isinstance(step, Send):
            return self._send(step.call, step.metadata, step.timeout)
        if isinstance(step, Sleep):
            return self.context.clock.sleep(step.seconds)
        return (step.credentials or self.context.credentials).fetch(step.stale)


class AsyncDriver:
    """Performs operations on the running event loop."""

    def __init__(self, session: Session[AsyncTransport], context: Context) -> None:
        self.session = session
        self.context = context

    def __repr__(self) -> str:
        return f"AsyncClient({self.session})"

    def bind(self, build: Callable[P, Operation[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        """A coroutine function that does what `build` declares."""

        @functools.wraps(build)
        async def method(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                operation = build(*args, **kwargs)
                if isinstance(operation, Call):
                    return operation.result(await self._call(operation))
                return await self._drive(operation)
            except UnknownOption as error:
                raise unexpected(build, error) from None

        return show(method, build, coroutine_of)  # type: ignore[no-any-return]

    def bind_pages(self, build: Callable[P, Pages[T]]) -> Callable[P, AsyncIterator[T]]:
        """A method that iterates over what `build` emits."""

        @functools.wraps(build)
        def method(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
            try:
                return self._iterate(build(*args, **kwargs))
            except UnknownOption as error:
                raise unexpected(build, error) from None

        return show(method, build, async_iterator_of)  # type: ignore[no-any-return]

    async def _call(self, call: Call[Any]) -> Message:
        context = self.context
        metadata = context.credentials.metadata()
        if metadata is None or context.on_call is not None or log.isEnabledFor(logging.DEBUG):
            return await self._drive(attempts(call, context))
        timeout, started = first_timeout(call, context), context.clock.monotonic()
        try:
            reply = await self._send(call, metadata, timeout)
        except ApiError as error:
            return await self._drive(recover(call, context, Progress(call, context, started), metadata, error))
        if context.budget.touched:
            context.budget.succeed()
        return reply

    def _send(self, call: Call[Any], metadata: Metadata, timeout: float | None) -> Coroutine[Any, Any, Message]:
        transport = self.session.transport_for(call)
        return transport.send(call.method, call.request, metadata, timeout, call.lost)

    async def _drive(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                step = _resume(flow, await self._outcome(step))
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        finally:
            flow.close()

    async def _iterate(self, pages: Pages[T]) -> AsyncIterator[T]:
        try:
            step = next(pages)
            while True:
                if isinstance(step, Step):
                    step = _resume(pages, await self._outcome(step))
                else:
                    for item in step.items:
                        yield item
                    step = next(pages)
        except StopIteration:
            return
        finally:
            pages.close()

    async def _outcome(self, step: Step) -> Outcome:
        try:
            return await self._perform(step), None
        except Exception as error:
            return None, error

    async def _perform(self, step: Step) -> Any:
        if isinstance(step, Send):
            return await self._send(step.call, step.metadata, step.timeout)
        if isinstance(step, Sleep):
            return await self.context.clock.sleep_async(step.seconds)
        return await self._ask_token(step)

    async def _ask_token(self, step: AskToken) -> Any:
        running_loop()
        limit = asyncio.timeout(step.timeout)
        try:
            async with limit:
                return await (step.credentials or self.context.credentials).fetch_async(step.stale)
        except TimeoutError:
            if limit.expired():
                raise DeadlineExceeded("the whole call's limit was over before the token source answered") from None
            raise

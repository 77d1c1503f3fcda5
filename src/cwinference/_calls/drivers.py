"""The two drivers, which perform the steps of flows: `SyncDriver` for `Client`, `AsyncDriver` for `AsyncClient`.

A single call whose first attempt succeeds needs no flow at all: both drivers try that first, and hand a failure to
`recover`. This fast path is what keeps the cost of the facade within a few percent of a bare stub: through the flow a
call takes 3 us more.
"""

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from typing import Any, ParamSpec, TypeAlias, TypeVar

from .._arguments import UNSET
from .._secrets import forget_locals
from .._tokens import token_timeout
from ..errors import ApiError
from ..transports.base import running_loop
from .attempts import Context, Progress, attempts, first_timeout, recover
from .flow import Call, Flow, GetToken, Operation, Pages, RunFunction, Send, Sleep, Step
from .signatures import async_iterator_of, coroutine_of, iterator_of, method_of, refuse_keywords, result_of, show

log = logging.getLogger("cwinference")

P = ParamSpec("P")
T = TypeVar("T")

Outcome: TypeAlias = tuple[Any, BaseException | None]


def _resume(flow: Generator[Any, Any, Any], outcome: Outcome) -> Any:
    """Give a flow the outcome of its step; return its next step, or raise StopIteration when it is done."""
    result, error = outcome
    return flow.send(result) if error is None else flow.throw(error)


class SyncDriver:
    """Performs operations on the calling thread."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def bind(self, build: Callable[P, Operation[T]]) -> Callable[P, T]:
        """Return a method that does what `build` declares."""

        @functools.wraps(build)
        def method(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                operation = build(*args, **kwargs)
                return self._call(operation) if isinstance(operation, Call) else self._drive(operation)
            except BaseException as error:
                forget_locals(error)
                refuse_keywords(error, build, list(kwargs))
                raise
            finally:
                del args, kwargs

        return show(method, build, result_of)  # type: ignore[no-any-return]

    def bind_pages(self, build: Callable[P, Pages[T]]) -> Callable[P, Iterator[T]]:
        """Return a method that iterates over what `build` emits."""
        return method_of(build, self._iterate, iterator_of)  # type: ignore[no-any-return]

    def _call(self, call: Call[T]) -> T:
        context = call.context or self.context
        metadata = context.credentials.metadata()
        if metadata is None or context.is_reported or log.isEnabledFor(logging.DEBUG):
            return self._drive(attempts(call, context))
        has_options = call.timeout is not UNSET or call.retry is not UNSET
        timeout = first_timeout(call, context) if has_options else context.first_timeout
        started = context.clock.monotonic()
        try:
            response = context.session.send(call, metadata, timeout)
        except ApiError as error:
            return self._drive(recover(call, context, Progress(call, context, started), metadata, error))
        if context.budget.touched:
            context.budget.succeed()
        return call.result(response)

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
        except BaseException as error:
            forget_locals(error)
            raise
        finally:
            pages.close()

    def _outcome(self, step: Step) -> Outcome:
        try:
            return self._perform(step), None
        except BaseException as error:  # a Ctrl-C or a cancellation ends the flow as well, which may add to it
            return None, error

    def _perform(self, step: Step) -> Any:
        match step:
            case Send(call, metadata, timeout, session):
                return session.send(call, metadata, timeout)
            case Sleep(seconds):
                return self.context.clock.sleep(seconds)
            case GetToken(credentials, refused, seconds):
                return credentials.fetch(refused, seconds)
            case RunFunction(run_sync):
                return run_sync()


class AsyncDriver:
    """Performs operations on the running event loop."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def bind(self, build: Callable[P, Operation[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        """Return a coroutine function that does what `build` declares."""

        @functools.wraps(build)
        async def method(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                operation = build(*args, **kwargs)
                return await (self._call(operation) if isinstance(operation, Call) else self._drive(operation))
            except BaseException as error:
                forget_locals(error)
                refuse_keywords(error, build, list(kwargs))
                raise
            finally:
                del args, kwargs

        return show(method, build, coroutine_of)  # type: ignore[no-any-return]

    def bind_pages(self, build: Callable[P, Pages[T]]) -> Callable[P, AsyncIterator[T]]:
        """Return a method that iterates over what `build` emits."""
        return method_of(build, self._iterate, async_iterator_of)  # type: ignore[no-any-return]

    async def _call(self, call: Call[Any]) -> Any:
        context = call.context or self.context
        metadata = context.credentials.metadata()
        if metadata is None or context.is_reported or log.isEnabledFor(logging.DEBUG):
            return await self._drive(attempts(call, context))
        has_options = call.timeout is not UNSET or call.retry is not UNSET
        timeout = first_timeout(call, context) if has_options else context.first_timeout
        started = context.clock.monotonic()
        try:
            response = await context.session.send(call, metadata, timeout)
        except ApiError as error:
            return await self._drive(recover(call, context, Progress(call, context, started), metadata, error))
        if context.budget.touched:
            context.budget.succeed()
        return call.result(response)

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
        except BaseException as error:
            forget_locals(error)
            raise
        finally:
            pages.close()

    async def _outcome(self, step: Step) -> Outcome:
        try:
            return await self._perform(step), None
        except BaseException as error:  # a Ctrl-C or a cancellation ends the flow as well, which may add to it
            return None, error

    async def _perform(self, step: Step) -> Any:
        match step:
            case Send(call, metadata, timeout, session):
                return await session.send(call, metadata, timeout)
            case Sleep(seconds):
                return await self.context.clock.sleep_async(seconds)
            case GetToken():
                return await self._get_token(step)
            case RunFunction(run_async=run_async):
                return await run_async()

    async def _get_token(self, step: GetToken) -> Any:
        running_loop()
        limit = asyncio.timeout(step.timeout)
        try:
            async with limit:
                return await step.credentials.fetch_async(step.refused)
        except TimeoutError:
            if limit.expired():
                raise token_timeout() from None
            raise

"""A worker of a batch on an event loop. Most requests need no turn of its task: it is called when a response is there.

It sends a request as soon as the one before has its response, and its task sleeps until something is not usual.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from ..._secrets import forget_locals
from ...errors import ApiError
from ...transports.completions import HttpResponse
from .._begun import Begun, Sender
from .._model_server import CheckedBody
from .batch import Batch
from .requests import Item

Rest = Callable[[], Awaitable[CheckedBody]]
"""What is left to do for a request."""


class CallbackWorker:
    """Sends one request after another, until there is nothing to do."""

    def __init__(self, batch: Batch, sender: Sender[CheckedBody]) -> None:
        self._batch = batch
        self._sender = sender
        self._item: Item | None = None
        self._begun: Begun[CheckedBody] | None = None
        """The request in flight; None while the task itself has something to do, or nothing is left."""
        self._rest: Rest | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def work(self) -> None:
        """Work until there is nothing to do now."""
        while (rest := await self._next_rest()) is not None:
            await self._do(rest)
            del rest

    async def _do(self, rest: Rest) -> None:
        """Do what is left of a request, and take its outcome."""
        item = self._item
        assert item is not None  # noqa: S101
        try:
            self._batch.complete(item, await rest())
        except asyncio.CancelledError as error:
            self._batch.stop(error)
            raise
        except Exception as error:
            forget_locals(error)
            self._batch.fail(item, error)

    async def _next_rest(self) -> Rest | None:
        """Send until something has to be awaited, and return it; None if there is nothing to do."""
        self._send_next()
        if self._begun is not None:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            except BaseException as error:
                self._stop(error)
                raise
        rest, self._rest = self._rest, None
        return rest

    def _send_next(self) -> None:
        """Begin with the next request; or note what has to be awaited."""
        self._begun = None
        self._item = item = self._batch.take()
        if item is None:
            return
        try:
            operation = self._sender.build(item.request)
            begun = self._sender.begin(operation)
        except Exception as error:
            forget_locals(error)
            self._rest = partial(_raise, error)
            return
        if begun is None:
            self._rest = partial(self._sender.perform, operation)
        else:
            self._begun = begun
            begun.when_over(self._receive)

    def _receive(self) -> None:
        """Take the response to the request in flight, and send the next one."""
        try:
            self._finish()
        except BaseException as error:
            self._begun = None
            self._wake(error)
            return
        if self._begun is None:
            self._wake(None)

    def _finish(self) -> None:
        begun, item = self._begun, self._item
        assert begun is not None and item is not None  # noqa: S101, PT018
        try:
            response = begun.response()
        except ApiError as error:
            forget_locals(error)
            self._begun, self._rest = None, partial(self._sender.perform, begun.recovery(error))
            return
        except Exception as error:
            forget_locals(error)
            self._batch.fail(item, error)
        else:
            self._take(item, begun, response)
        self._send_next()

    def _take(self, item: Item, begun: Begun[CheckedBody], response: HttpResponse) -> None:
        try:
            self._batch.complete(item, begun.result(response))
        except Exception as error:
            forget_locals(error)
            self._batch.fail(item, error)

    def _stop(self, error: BaseException) -> None:
        """Hang up, if something is in flight, and end the batch."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.cancel(error)
        self._batch.stop(error)

    def _wake(self, error: BaseException | None) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            if error is not None:  # the task would not hear of it
                self._batch.stop(error)
        elif error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)


async def _raise(error: Exception) -> CheckedBody:
    raise error

"""A worker of a batch on an event loop. Most requests need no turn of its task: it is called when a response is there.

It sends a request as soon as the one before has its response, and its task sleeps until something is not usual.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from ..._secrets import forget_locals
from ...errors import ApiError
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
            self._fail(item, error)

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
        while (item := self._batch.take()) is not None:
            self._item = item
            try:
                operation = self._sender.build(item.request)
                begun = self._sender.begin(operation)
            except Exception as error:
                self._fail(item, error)
                continue
            if begun is None:
                self._rest = partial(self._sender.perform, operation)
            else:
                self._begun = begun
                begun.when_over(self._receive)
            return

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
            try:
                response = begun.response()
            except ApiError as error:  # of the attempt; what the response means is no reason for another one
                forget_locals(error)
                self._begun, self._rest = None, partial(self._sender.perform, begun.recovery(error))
                return
            self._batch.complete(item, begun.result(response))
        except Exception as error:
            self._fail(item, error)
        self._send_next()

    def _fail(self, item: Item, error: Exception) -> None:
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

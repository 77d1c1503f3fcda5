"""The workers of a batch, on threads or on an event loop. There are never more of them than there is work."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeAlias

from ..._calls.drivers import AsyncDriver, SyncDriver
from ..._calls.flow import Operation
from .._begun import Sender
from .._model_server import CheckedBody
from .._request import CompletionRequest
from .batch import Batch
from .callback_worker import CallbackWorker
from .outcomes import BatchResult

Build: TypeAlias = Callable[[CompletionRequest], Operation[CheckedBody]]
"""Returns the call for a request of the batch."""

_LONGEST_WAIT = 1.0
"""Seconds: on Windows, a wait is not interrupted by Ctrl-C, which has its effect only after it."""


class _Threads:
    """Workers on threads. A worker ends when there is nothing for it to do."""

    def __init__(self, batch: Batch, send: Callable[[CompletionRequest], CheckedBody]) -> None:
        self._batch = batch
        self._send = send
        self._count = 0
        self._lock = threading.Lock()
        self._changed = threading.Event()

    def wake(self) -> None:
        """Note, on any thread, that there may be something to do."""
        self._changed.set()

    def run(self) -> None:
        """Start workers as they are needed, until nothing is left to do."""
        while not self._batch.is_over(self._count):
            for _ in range(self._batch.offer(self._count)):
                if not self._start_worker():
                    break
            self._changed.wait(_LONGEST_WAIT)
            self._changed.clear()

    def _start_worker(self) -> bool:
        """Start one; return False if the system has no more threads, and there are others."""
        with self._lock:
            self._count += 1
        try:
            # Each worker has the context of whoever runs the batch: the current span, for example.
            work = partial(contextvars.copy_context().run, self._work)
            threading.Thread(target=work, name="cwinference batch", daemon=True).start()
        except RuntimeError:
            with self._lock:
                self._count -= 1
            if self._count == 0:
                raise
            return False
        return True

    def _work(self) -> None:
        batch = self._batch
        try:
            while (item := batch.take()) is not None:
                try:
                    body = self._send(item.request)
                except BaseException as error:
                    batch.fail(item, error)
                else:
                    batch.complete(item, body)
        finally:
            with self._lock:
                self._count -= 1
            self.wake()


class _Tasks:
    """Workers on an event loop. A worker ends when there is nothing for it to do."""

    def __init__(self, batch: Batch, sender: Sender[CheckedBody]) -> None:
        self._batch = batch
        self._sender = sender
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._context = contextvars.copy_context()  # not that of the thread which wakes it

    def wake(self) -> None:
        """Note, on any thread, that there may be something to do."""
        _call(self._loop, self._start_workers)

    async def run(self) -> None:
        """Wait until nothing is left to do."""
        try:
            await self._done
        except BaseException:
            self._batch.stop()
            raise
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start_workers(self) -> None:
        if self._done.done():
            return
        if self._batch.is_over(self._count):
            self._done.set_result(None)
            return
        for _ in range(self._batch.offer(self._count)):
            self._count += 1
            task = self._loop.create_task(self._work(), context=self._context.copy())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        try:
            await CallbackWorker(self._batch, self._sender).work()
        finally:
            self._count -= 1
            self._start_workers()


def run_on_threads(batch: Batch, driver: SyncDriver, build: Build) -> BatchResult:
    """Perform a batch on threads of its own, by calls that `build` makes; raise the first error that ends it."""
    finished = threading.Event()
    workers = _Threads(batch, driver.bind(build))
    batch.start(workers.wake)
    try:
        workers.run()
    finally:
        batch.finish(finished.set)
        while not finished.wait(_LONGEST_WAIT):
            pass
    return batch.result()


async def run_on_loop(batch: Batch, driver: AsyncDriver, build: Build) -> BatchResult:
    """Perform a batch on the running loop, likewise."""
    loop = asyncio.get_running_loop()
    workers = _Tasks(batch, Sender(driver, build))
    batch.start(workers.wake)
    try:
        await workers.run()
    finally:
        finished: asyncio.Future[None] = loop.create_future()
        batch.finish(lambda: _call(loop, partial(finished.set_result, None)))
        await _wait_for(finished)
    return batch.result()


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    """Call a function on a loop from any thread, unless the loop is closed."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(function)


async def _wait_for(finished: "asyncio.Future[None]") -> None:
    """Wait, even if canceled, since what is completed has to be written; then the cancellation is raised."""
    canceled: asyncio.CancelledError | None = None
    while not finished.done():
        try:
            await asyncio.wait([finished])
        except asyncio.CancelledError as error:
            canceled = error
    if canceled is not None:
        raise canceled

"""An event loop on a thread, for sync calls that have to be canceled before their response begins.

A blocking exchange can only be left then, not ended: see `transports/_interruptible.py`.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .._locks import lock_of
from ..transports.completions import AsyncBody, refuse_after_fork

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for other threads. The thread is started by the first one."""

    def __init__(self) -> None:
        self._lock = lock_of(self)
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what a coroutine returns; cancel it if this thread is interrupted."""
        refuse_after_fork()
        future = asyncio.run_coroutine_threadsafe(make(), self._running())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """End the thread; what still runs there is left as it is."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_run, args=(self._loop,), name="cwinference hedges", daemon=True).start()
            return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


class BodyOfLoop:
    """The body of a response on a loop's thread, read from another one; as `SyncBody`."""

    def __init__(self, body: AsyncBody, thread: LoopThread) -> None:
        self._body = body
        self._thread = thread
        self.status, self.headers = body.status, body.headers
        self.waited, self.attempts = body.waited, body.attempts

    def read(self, limit: float | None) -> bytes | None:
        """Return the next bytes; None at the end. Raises ApiError: DeadlineExceeded after `limit` seconds."""
        return self._thread.run(lambda: self._body.read(limit))

    def finish(self) -> None:
        """Read the end that should follow the last event, and close."""
        self._thread.run(self._body.finish)

    def close(self) -> None:
        """Hang up, if it has not ended; may be called again."""
        self._thread.run(self._body.close)

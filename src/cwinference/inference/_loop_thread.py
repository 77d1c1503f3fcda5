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

_END_SECONDS = 1.0
"""How long `stop` waits for the end of the thread."""


class LoopThread:
    """Runs coroutines for other threads. The thread is started by the first one."""

    def __init__(self) -> None:
        self._lock = lock_of(self)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._waiting = 0
        """How many threads wait for a coroutine."""
        self._is_stopped = False

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs. In a forked child it does not."""
        return self._thread is not None and self._thread.is_alive()

    def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what a coroutine returns; cancel it if this thread is interrupted."""
        refuse_after_fork()
        future = asyncio.run_coroutine_threadsafe(make(), self._enter())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise
        finally:
            self._leave()

    def stop(self) -> None:
        """End the thread: at once, or when nothing runs there any more. An open stream may still be read after that."""
        with self._lock:
            self._is_stopped = True
            ending = self._end_if_idle()
        if ending is not None:
            ending.join(_END_SECONDS)

    def _enter(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            self._waiting += 1
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_run, args=(self._loop,), name="cwinference hedges", daemon=True)
                self._thread.start()
            return self._loop

    def _leave(self) -> None:
        with self._lock:
            self._waiting -= 1
            self._end_if_idle()

    def _end_if_idle(self) -> threading.Thread | None:
        """Tell the thread to end, if it may; return it then."""
        if self._loop is None or self._waiting or not self._is_stopped:
            return None
        loop, self._loop = self._loop, None
        loop.call_soon_threadsafe(loop.stop)
        return self._thread


def _run(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


class BodyOfLoop:
    """The body of a response on a loop's thread, read from another one; as `SyncBody`."""

    def __init__(self, body: AsyncBody, thread: LoopThread) -> None:
        self._body = body
        self._thread = thread
        self.status, self.headers = body.status, body.headers
        self.waited, self.attempts, self.max_event_bytes = body.waited, body.attempts, body.max_event_bytes

    def read(self, limit: float | None) -> bytes | None:
        """Return the next bytes; None at the end. Raises ApiError: DeadlineExceeded after `limit` seconds."""
        return self._thread.run(lambda: self._body.read(limit))

    def finish(self) -> None:
        """Read the end that should follow the last event, and close."""
        self._thread.run(self._body.finish)

    def close(self) -> None:
        """Hang up, if it has not ended; may be called again."""
        self._thread.run(self._body.close)

"""How many requests are in flight at once: the others queue, first come, first served, across threads and loops."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from .._arguments import check_count
from .._calls.deadline import Deadline
from .._locks import lock_of
from .._retry_rules import Hint
from ..errors import DeadlineExceeded, with_hint

_LEAST_SECONDS = 0.001
"""What is left at least of a timeout for a request that got a slot at the last moment."""


class _Waiter:
    """Somebody in the queue: a thread, or a coroutine of an event loop."""

    __slots__ = ("admitted", "future", "lock")

    def __init__(self, future: "asyncio.Future[None] | None" = None) -> None:
        self.admitted = False
        self.future = future
        self.lock = threading.Lock()
        if future is None:
            self.lock.acquire()  # a thread waits until `admit` releases it

    def admit(self) -> None:
        """Let it in. Raises RuntimeError if its loop is closed."""
        if self.future is None:
            self.lock.release()
        else:
            self.future.get_loop().call_soon_threadsafe(self._wake)
        self.admitted = True

    def _wake(self) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_result(None)


class Limiter:
    """A number of slots: each `enter` takes one, and has to be followed by `leave`."""

    is_auto = False
    """Whether it wants to know how requests went, to find its number by itself."""

    def __init__(self, limit: int) -> None:
        self.limit = self._free = check_count(limit, "limit")
        self.on_growth: Callable[[], object] | None = None
        """Called on any thread when there are more slots than before."""
        self._queue: deque[_Waiter] = deque()
        self._lock = lock_of(self)

    @property
    def in_flight(self) -> int:
        """How many slots are taken."""
        return self.limit - self._free

    @property
    def queued(self) -> int:
        """How many wait for one."""
        return len(self._queue)

    def enter_at_once(self) -> bool:
        """Take a free slot; return False if there is none, or others wait."""
        with self._lock:
            if self._free <= 0 or self._queue:
                return False
            self._free -= 1
            return True

    def enter(self, timeout: float | None) -> float | None:
        """Wait on this thread for a slot; return what is left of `timeout` seconds. Raises DeadlineExceeded."""
        if Limiter.enter_at_once(self):
            return timeout
        deadline = Deadline(timeout, time.monotonic)
        waiter = _Waiter()
        if not self._queue_up(waiter):
            return timeout
        try:
            if not waiter.lock.acquire(timeout=-1 if timeout is None else timeout):
                raise self._timed_out(timeout)
        except BaseException:  # Ctrl-C among them
            self._withdraw(waiter)
            raise
        return _remaining(deadline)

    async def enter_async(self, timeout: float | None) -> float | None:
        """Wait on this loop for a slot; return what is left of `timeout` seconds. Raises DeadlineExceeded."""
        if Limiter.enter_at_once(self):
            return timeout
        deadline = Deadline(timeout, time.monotonic)
        future = asyncio.get_running_loop().create_future()
        waiter = _Waiter(future)
        if not self._queue_up(waiter):
            return timeout
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                await future
        except BaseException as error:
            self._withdraw(waiter)
            if isinstance(error, TimeoutError) and limit.expired():
                raise self._timed_out(timeout) from None
            raise
        return _remaining(deadline)

    def leave(self) -> None:
        """Free a slot, or hand it to the first in the queue."""
        with self._lock:
            self._free += 1
            self._admit()

    def note(self, seconds: float, began: float) -> None:
        """Learn how long a response took. A fixed limit need not know."""

    def note_failure(self, error: BaseException, began: float) -> None:
        """Learn how a request failed. A fixed limit need not know."""

    def _admit(self) -> None:
        """Hand out free slots to the first in the queue."""
        while self._free > 0 and self._queue:
            with suppress(RuntimeError):  # its loop is closed: the next one's turn
                self._queue.popleft().admit()
                self._free -= 1

    def _queue_up(self, waiter: _Waiter) -> bool:
        """Join the queue; return False if a slot has become free in the meantime, which is then taken."""
        with self._lock:
            if self._free <= 0 or self._queue:
                self._queue.append(waiter)
                return True
            self._free -= 1
            return False

    def _withdraw(self, waiter: _Waiter) -> None:
        """Leave the queue; or pass the slot on, if it was admitted at the last moment."""
        with self._lock:
            if not waiter.admitted:
                with suppress(ValueError):  # `leave` has removed it, because its loop was closed
                    self._queue.remove(waiter)
                return
        Limiter.leave(self)  # not that of a limiter which takes a slot of another one too: it has not come to that

    def _timed_out(self, timeout: float | None) -> DeadlineExceeded:
        text = f"timed out after {timeout or 0:.3g} s waiting for one of limit={self.limit} request slots"
        return with_hint(DeadlineExceeded(text), Hint.NOT_SENT)


def _remaining(deadline: Deadline) -> float | None:
    left = deadline.remaining()
    return None if left is None else max(_LEAST_SECONDS, left)

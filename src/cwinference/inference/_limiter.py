"""How many requests are in flight at once: the others queue, first come, first served, across threads and loops."""

import asyncio
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from .._locks import lock_of
from ..config import check_count
from ..errors import DeadlineExceeded


@dataclass(frozen=True)
class Stats:
    """What an `Inference` has done so far and is doing now.

    Attributes:
        in_flight: requests that were sent and whose answers are not complete.
        queued: requests that wait for their turn.
        done: calls that gave their answer.
        failed: calls that raised, or streams that ended early; between two attempts, a call counts here.
        retried: requests that were sent again.
        tokens: tokens that the answers' usage tells of, prompts included.
    """

    in_flight: int
    queued: int
    done: int
    failed: int
    retried: int
    tokens: int


class _Waiter:
    """Somebody in the queue: a thread, or a coroutine of a loop."""

    __slots__ = ("admitted", "future", "lock")

    def __init__(self, future: "asyncio.Future[None] | None" = None) -> None:
        self.admitted = False
        self.future = future
        self.lock = threading.Lock()
        if future is None:
            self.lock.acquire()

    def admit(self) -> None:
        """Let it in. Raises RuntimeError when its loop is closed."""
        if self.future is None:
            self.lock.release()
        else:
            self.future.get_loop().call_soon_threadsafe(self._wake)
        self.admitted = True

    def _wake(self) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_result(None)


class Limiter:
    """Lets a limited number in; `leave` has to follow each entry."""

    def __init__(self, limit: int) -> None:
        self.limit = self._free = check_count(limit, "limit")
        self._queue: deque[_Waiter] = deque()
        self._lock = lock_of(self)

    @property
    def in_flight(self) -> int:
        return self.limit - self._free

    @property
    def queued(self) -> int:
        return len(self._queue)

    def enter_at_once(self) -> bool:
        """Take a place that is free; False when there is none, or others wait."""
        with self._lock:
            if self._free == 0 or self._queue:
                return False
            self._free -= 1
            return True

    def enter(self, timeout: float | None) -> float | None:
        """Wait on this thread for a place; gives what is left of `timeout` seconds. Raises DeadlineExceeded."""
        if self.enter_at_once():
            return timeout
        started = time.monotonic()
        waiter = _Waiter()
        if not self._line_up(waiter):
            return timeout
        try:
            if not waiter.lock.acquire(timeout=-1 if timeout is None else timeout):
                raise _late(timeout)
        except BaseException:  # Ctrl-C among them
            self._withdraw(waiter)
            raise
        return _left(timeout, started)

    async def enter_async(self, timeout: float | None) -> float | None:
        """Wait on this loop for a place; gives what is left of `timeout` seconds. Raises DeadlineExceeded."""
        if self.enter_at_once():
            return timeout
        started = time.monotonic()
        future = asyncio.get_running_loop().create_future()
        waiter = _Waiter(future)
        if not self._line_up(waiter):
            return timeout
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                await future
        except BaseException as error:
            self._withdraw(waiter)
            if isinstance(error, TimeoutError) and limit.expired():
                raise _late(timeout) from None
            raise
        return _left(timeout, started)

    def leave(self) -> None:
        """Give a place back: to the first in the queue, if anybody waits."""
        with self._lock:
            while self._queue:
                with suppress(RuntimeError):  # its loop is closed
                    self._queue.popleft().admit()
                    return
            self._free += 1

    def _line_up(self, waiter: _Waiter) -> bool:
        """Join the queue; False when a place became free meanwhile, which is then taken."""
        with self._lock:
            if self._free == 0 or self._queue:
                self._queue.append(waiter)
                return True
            self._free -= 1
            return False

    def _withdraw(self, waiter: _Waiter) -> None:
        """Leave the queue; or give the place on, when it came at the last moment."""
        with self._lock:
            if not waiter.admitted:
                with suppress(ValueError):  # passed over, because its loop was closed
                    self._queue.remove(waiter)
                return
        self.leave()


class Counters:
    """Counts what became of the calls."""

    def __init__(self) -> None:
        self._lock = lock_of(self)
        self.done = self.failed = self.retried = self.tokens = 0

    def succeed(self, tokens: int) -> None:
        """A call gave its answer."""
        with self._lock:
            self.done += 1
            self.tokens += tokens

    def fail(self) -> None:
        """A call failed, unless it is sent again."""
        with self._lock:
            self.failed += 1

    def repeat(self) -> None:
        """What had failed is sent again."""
        with self._lock:
            self.failed -= 1
            self.retried += 1


def _late(timeout: float | None) -> DeadlineExceeded:
    return DeadlineExceeded(f"no place among the requests in flight within {timeout or 0:.3g} s; limit= sets how many")


def _left(timeout: float | None, started: float) -> float | None:
    return None if timeout is None else max(0.001, timeout - (time.monotonic() - started))

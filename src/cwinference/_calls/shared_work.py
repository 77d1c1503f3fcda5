"""Work that several callers need at the same time, and that one of them does for all: on threads and event loops."""

import asyncio
import threading
from concurrent.futures import Future, wait
from functools import partial

from .._locks import lock_of
from .flow import Flow, RunFunction

LONGEST_WAIT = 30.0
"""Seconds that somebody waits for another one's work at most; then it is their own."""


class SharedWork:
    """Work that may be in progress. Whoever begins with it has to call `end`, whatever becomes of it."""

    def __init__(self) -> None:
        self._lock = lock_of(self)
        self._ended: Future[None] | None = None
        self._thread = 0
        """On which thread it was begun."""

    def begin_or_wait(self, seconds: float | None) -> Flow[bool]:
        """Return True to whoever has to do it; to others False, when it has ended or after `seconds`."""
        with self._lock:
            ended = self._ended
            if ended is None:
                self._ended, self._thread = Future(), threading.get_ident()
                self._ended.set_running_or_notify_cancel()  # a canceled task cancels only its own wait
                return True
        most = LONGEST_WAIT if seconds is None else min(seconds, LONGEST_WAIT)
        yield RunFunction(partial(self._wait, ended, most), partial(_wait_async, ended, most))
        return False

    def end(self) -> None:
        """Let those who wait go on."""
        with self._lock:
            ended, self._ended = self._ended, None
        if ended is not None:
            ended.set_result(None)

    def _wait(self, ended: "Future[None]", seconds: float) -> None:
        if self._thread != threading.get_ident():  # a callback or a signal handler would wait for what is below it
            wait([ended], seconds)


async def _wait_async(ended: "Future[None]", seconds: float) -> None:
    await asyncio.wait([asyncio.wrap_future(ended)], timeout=seconds)

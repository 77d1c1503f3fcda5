"""Work that several callers need at the same time, and that one of them does for all: on threads and event loops."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial

from .._locks import lock_of
from .flow import Flow, RunFunction

_PATIENCE = 2.0
"""Seconds that somebody waits for another one's work at most, or a quarter of the time that they have."""


class _InProgress:
    """Work that somebody does."""

    def __init__(self) -> None:
        self.ended: Future[None] = Future()
        self.ended.set_running_or_notify_cancel()  # a canceled task cancels only its own wait
        self._process, self._thread = os.getpid(), threading.get_ident()

    def is_alive(self) -> bool:
        """Return whether it may end: in a forked child, what a thread of the parent did will not."""
        return self._process == os.getpid()

    def wait(self, seconds: float) -> None:
        """Wait on this thread, unless it is the one that does the work, in whose callback or signal handler this is."""
        if self._thread != threading.get_ident():
            wait([self.ended], seconds)

    async def wait_async(self, seconds: float) -> None:
        """Wait on an event loop."""
        await asyncio.wait([asyncio.wrap_future(self.ended)], timeout=seconds)


class SharedWork:
    """Work that is done once for all who need it at the same time."""

    def __init__(self) -> None:
        self._lock = lock_of(self)
        self._current: _InProgress | None = None

    def do(
        self, is_done: Callable[[], bool], work: Callable[[bool], Flow[None]], seconds: float | None = None
    ) -> Flow[None]:
        """Do some work, or wait for whoever does it now; do it nevertheless if that failed, or takes long.

        Args:
            is_done: whether there is nothing to do any more.
            work: does it; gets whether somebody else was waited for.
            seconds: how much time the caller has; None for no limit.
        """
        mine: _InProgress | None = None
        try:
            with self._lock:
                other = self._current
                if other is None or not other.is_alive():
                    other, mine = None, _InProgress()
                    self._current = mine
            if other is not None:
                most = _PATIENCE if seconds is None else min(_PATIENCE, seconds / 4)
                yield RunFunction(partial(other.wait, most), partial(other.wait_async, most))
                mine = self._replace(other)
            if not is_done():
                yield from work(other is not None)
        finally:
            if mine is not None:
                self._end(mine)

    def _replace(self, other: _InProgress) -> _InProgress | None:
        """Take the place of what has not ended in time, so that later ones wait for this."""
        with self._lock:
            if self._current is not other:
                return None
            self._current = _InProgress()
            return self._current

    def _end(self, mine: _InProgress) -> None:
        with self._lock:
            if self._current is mine:
                self._current = None
        mine.ended.set_result(None)

"""Ends blocking reads that take too long, which pyqwest cannot do by itself once a response has begun."""

import math
import threading
import time
from typing import Protocol

from .._locks import condition_of


class Watched(Protocol):
    """Something that may wait too long."""

    due: float
    """When it has to be ended, on the monotonic clock; infinity while it waits for nothing."""

    def expire(self) -> None:
        """End the wait; called on the watchdog's thread."""
        ...


class Watchdog:
    """Watches any number of waits on one thread, which exists only while there is something to watch."""

    def __init__(self) -> None:
        self._watched: set[Watched] = set()
        self._lock = condition_of(self)
        self._thread: threading.Thread | None = None
        self._wakes_at = -math.inf

    def add(self, watched: Watched) -> None:
        """Start to watch it."""
        with self._lock:
            self._watched.add(watched)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="cwinference streams", daemon=True)
                self._thread.start()

    def remove(self, watched: Watched) -> None:
        """Stop watching it."""
        with self._lock:
            self._watched.discard(watched)
            if not self._watched:
                self._lock.notify()

    def start(self, watched: Watched, seconds: float) -> None:
        """Set its limit: it waits from now on, for `seconds` at most."""
        watched.due = due = time.monotonic() + seconds
        if due < self._wakes_at:
            with self._lock:
                self._lock.notify()

    def _run(self) -> None:
        with self._lock:
            while self._watched:
                self._wakes_at = math.inf  # a wait that starts while we look for the nearest limit then wakes us again
                self._wakes_at = nearest = self._expire_due()
                self._lock.wait(None if nearest == math.inf else max(0.0, nearest - time.monotonic()))
            self._wakes_at = -math.inf
            self._thread = None

    def _expire_due(self) -> float:
        """End the waits that have reached their limits; return when the next one will."""
        now = time.monotonic()
        for each in self._watched:
            if each.due <= now:
                each.due = math.inf
                each.expire()
        return min(each.due for each in self._watched)

"""The requests that were read ahead: one thread puts them in, the workers take them out."""

import threading
from collections import deque
from collections.abc import Callable
from math import inf

from .requests import Item

_AHEAD = 200
"""How many requests are read ahead at most: few, so that they are in the processor's caches when they are sent."""
_HELD = 1000
"""How many are held back at most."""
_BYTES_AHEAD = 64 << 20
"""How many bytes they have at most, if they are several."""


class RequestQueue:
    """A bounded queue. `put` waits for room; `take` never waits.

    `wake` is called, on any thread, when there is something to take after there was not enough, and at the end.
    At first, requests are held back: until `release`, or until there is no room for more.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._end: float = inf
        self._is_full = self._has_ended = self.is_closed = False
        self._is_wanted = self.is_held = True

    @property
    def is_done(self) -> bool:
        """Whether nothing is left, and nothing more will come."""
        with self._lock:
            return self._has_ended and not self._items

    def has_room(self, item: Item) -> bool:
        """Return whether `put` would add a request at once."""
        with self._lock:
            return self._has_room(_size(item))

    def put(self, item: Item) -> bool:
        """Add a request, when there is room; return False if the queue is closed."""
        size = _size(item)
        with self._lock:
            if not self._has_room(size):
                self._is_full, self.is_held = True, False
                self._signal()
                self._room.wait_for(lambda: not self._is_full)
            if self.is_closed:
                return False
            self._items.append(item)
            self._bytes += size
            if self._is_wanted:
                self._signal()
            return True

    def take(self) -> Item | None:
        """Return the next request; None if there is none, or its turn has not come."""
        with self._lock:
            if not self._has_next():
                self._is_wanted = True
                return None
            item = self._items.popleft()
            self._bytes -= _size(item)
            if self._is_full and len(self._items) <= _AHEAD // 2 and self._bytes <= _BYTES_AHEAD // 2:
                self._is_full = False
                self._room.notify()
            return item

    def offer(self, *, is_more_wanted: bool) -> int:
        """Return how many requests there are to take, and note whether to `wake` for more."""
        with self._lock:
            self._is_wanted = is_more_wanted
            return len(self._items) if self._has_next() else 0

    def release(self) -> None:
        """Hold nothing back any longer."""
        with self._lock:
            self.is_held = False
            self._signal()

    def advance(self, end: int) -> None:
        """Hand out requests with numbers below `end` only."""
        with self._lock:
            self._end = end
            self._signal()

    def end(self) -> None:
        """Note that nothing more will come."""
        with self._lock:
            self._has_ended, self.is_held = True, False
            self._wake()

    def close(self) -> None:
        """Drop what is in it, and take nothing more."""
        with self._lock:
            self._items.clear()
            self.is_closed, self._is_full = True, False
            self._room.notify()
        self.end()

    def _has_room(self, size: int) -> bool:
        most = _HELD if self.is_held else _AHEAD
        return len(self._items) < most and (not self._items or self._bytes + size <= _BYTES_AHEAD)

    def _has_next(self) -> bool:
        return bool(self._items) and not self.is_held and self._items[0].number < self._end

    def _signal(self) -> None:
        if self._is_wanted and self._has_next():
            self._is_wanted = False
            self._wake()


def _size(item: Item) -> int:
    return len(item.request.content or b"")

"""How many requests a server has in flight."""

import threading


class InFlight:
    """Lets requests go on only when as many as expected are in flight, and keeps the greatest number that there was."""

    def __init__(self, expected: int) -> None:
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()
        self._together = threading.Barrier(expected, timeout=60)

    def wait_for_others(self) -> None:
        """Wait until there are as many as expected; call it once for each request."""
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        self._together.wait()
        with self._lock:
            self._now -= 1

"""The emulator's time: it runs by itself, or stands still until a test moves it."""

import time
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

SECOND = 1_000_000_000
"""In nanoseconds, the unit of every time inside the emulator."""


class Clock:
    """Nanoseconds since 1970 (UTC) that never go back, whatever happens to the machine's own clock."""

    def __init__(self, start: datetime | None = None, *, running: bool = True) -> None:
        """Begin at a timezone-aware time, now by default; a clock that is not running moves by `advance` alone."""
        start = datetime.now(UTC) if start is None else start
        if start.tzinfo is None:
            raise ValueError("start: a naive datetime; give it a timezone")
        microseconds = (start - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
        self._running = running
        self._base = microseconds * 1000 - (time.monotonic_ns() if running else 0)

    def now(self) -> int:
        """Nanoseconds since 1970 (UTC)."""
        return self._base + time.monotonic_ns() if self._running else self._base

    def advance(self, seconds: float) -> None:
        """Let that many seconds pass at once."""
        if seconds < 0:
            raise ValueError("seconds: time does not go back")
        self._base += nanoseconds(seconds)


def nanoseconds(seconds: float) -> int:
    """Seconds as whole nanoseconds."""
    return round(seconds * SECOND)


def timestamp(moment: int) -> Timestamp:
    """Nanoseconds since 1970 as a message."""
    return Timestamp(seconds=moment // SECOND, nanos=moment % SECOND)


def moment_of(time: Timestamp) -> int:
    """A message as nanoseconds since 1970."""
    return time.seconds * SECOND + time.nanos

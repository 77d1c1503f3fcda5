"""The emulator's clock: it follows real time, or stands still until a test advances it."""

import time
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

SECOND = 1_000_000_000
"""One second in nanoseconds, the unit of every time inside the emulator."""


class EmulatorClock:
    """The time that an emulator lives by, independent of the system clock once it has started.

    A running clock follows real time and never goes back, even if the system clock is set back. A stopped one changes
    only when `advance` is called, so that a test decides when a resource becomes READY:

        with Emulator(ready_after=600, clock=EmulatorClock(running=False)) as emulator:
            ...  # create a gateway: it stays CREATING
            emulator.clock.advance(600)  # now it is READY
    """

    def __init__(self, start: datetime | None = None, *, running: bool = True) -> None:
        """Set the clock.

        Args:
            start: the time at which it starts, with a timezone. None: the current time.
            running: whether it follows real time. False: it changes only by `advance`.

        Raises:
            ValueError: `start` has no timezone.
        """
        start = datetime.now(UTC) if start is None else start
        if start.tzinfo is None:
            raise ValueError("start: expected a datetime with a timezone, got a naive one")
        microseconds = (start - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
        self._running = running
        self._base = microseconds * 1000 - (time.monotonic_ns() if running else 0)

    @property
    def running(self) -> bool:
        """Whether it follows real time."""
        return self._running

    def now(self) -> int:
        """Return the current time in nanoseconds since 1970-01-01 UTC."""
        return self._base + time.monotonic_ns() if self._running else self._base

    def advance(self, seconds: float) -> None:
        """Move the clock forward, whether it is running or not.

        Args:
            seconds: by how much, at least 0; fractions are rounded to whole nanoseconds.

        Raises:
            ValueError: `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError(f"seconds: expected at least 0, since time never goes back, got {seconds!r}")
        self._base += to_nanoseconds(seconds)

    def catch_up(self, moment: int) -> None:
        """Move the clock forward to a time in nanoseconds since 1970-01-01 UTC, unless it is that late already."""
        self._base += max(0, moment - self.now())


def to_nanoseconds(seconds: float) -> int:
    """Convert seconds to whole nanoseconds."""
    return round(seconds * SECOND)


def to_timestamp(nanoseconds: int) -> Timestamp:
    """Convert nanoseconds since 1970 to a protobuf Timestamp."""
    return Timestamp(seconds=nanoseconds // SECOND, nanos=nanoseconds % SECOND)


def from_timestamp(timestamp: Timestamp) -> int:
    """Convert a protobuf Timestamp to nanoseconds since 1970."""
    return timestamp.seconds * SECOND + timestamp.nanos

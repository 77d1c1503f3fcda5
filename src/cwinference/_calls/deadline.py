"""How much time is left: of a call over all its attempts, of a wait, of a stream."""

from collections.abc import Callable

from .._retry_rules import Hint
from ..errors import DeadlineExceeded, with_hint

TIMER_SLACK = 0.001
"""By how many seconds a timer may fire early."""


class Deadline:
    """A time limit that began to run when it was made, or at `started`. `timeout` in seconds; None for no limit."""

    __slots__ = ("_due", "_monotonic", "started", "timeout")

    def __init__(self, timeout: float | None, monotonic: Callable[[], float], started: float | None = None) -> None:
        self._monotonic = monotonic
        self.timeout = timeout
        self.started = monotonic() if started is None else started
        self._due = None if timeout is None else self.started + timeout

    def elapsed(self) -> float:
        """Return the seconds since it began to run."""
        return self._monotonic() - self.started

    def remaining(self) -> float | None:
        """Return the seconds left, 0 or less when it has passed; None for no limit."""
        return None if self._due is None else self._due - self._monotonic()

    def has_passed(self, tolerance: float = 0.0) -> bool:
        """Return whether no time is left, or no more than `tolerance` seconds: timers are not exact."""
        return self._due is not None and self._due - self._monotonic() <= tolerance

    def require(self) -> float | None:
        """Return the seconds left; raise DeadlineExceeded if there are none."""
        left = self.remaining()
        if left is not None and left <= 0:
            raise with_hint(DeadlineExceeded(self.message()), Hint.NOT_SENT)
        return left

    def message(self) -> str:
        """Return what an error says of a call that ran out of time."""
        return f"timed out after {self.timeout or 0:g} s, including retries"

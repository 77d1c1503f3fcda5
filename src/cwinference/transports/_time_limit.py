"""A time limit for async code, like `asyncio.timeout`, but without a timer of its own.

A timer for each call takes a tenth of a Connect call's CPU time. Here all limits of an event loop share one timer,
which fires when the nearest of them may have been reached.
"""

import asyncio
import math
import threading
from types import TracebackType
from typing import Any, Protocol, Self

from .base import running_loop


class TimeLimit:
    """Cancels what the current task awaits inside `with` after some seconds, and raises TimeoutError there."""

    __slots__ = ("_cancels_before", "_limits", "_task", "due", "expired")

    def __init__(self, seconds: float | None) -> None:
        self._limits = limits = limits_of(running_loop())
        self._task: asyncio.Task[Any] | None = None
        self._cancels_before = 0
        self.due = math.inf if seconds is None else limits.loop.time() + seconds
        """When it is reached, on the loop's clock; infinity for no limit."""
        self.expired = False
        """Whether it was reached and ended the work."""

    def __enter__(self) -> Self:
        if self.due != math.inf:
            self._task = task = asyncio.current_task(self._limits.loop)
            self._cancels_before = task.cancelling() if task is not None else 0
            self._limits.watch(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._limits.forget(self)
        if self.expired and self._task is not None:
            # If others canceled the task meanwhile, their cancel must win over our timeout.
            others = self._task.uncancel() > self._cancels_before
            if kind is asyncio.CancelledError and not others:
                raise TimeoutError from error

    def expire(self) -> None:
        """Cancel the work now."""
        self.expired = True
        if self._task is not None:
            self._task.cancel()


class Limited(Protocol):
    """What has a time limit."""

    due: float
    """When that is reached, on the loop's clock; infinity for no limit."""

    def expire(self) -> None:
        """End the work, since the time is over."""


class LoopLimits:
    """The limits that are running on one event loop, and the timer that they share."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting = set[Limited]()
        self._wakes_at = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self.forget = self._waiting.discard
        """Let a limit expire no more."""

    def watch(self, limit: Limited) -> None:
        """Let a limit expire when it is due."""
        if limit.due == math.inf:
            return
        self._waiting.add(limit)
        if limit.due < self._wakes_at:
            self._wake_at(limit.due)

    def _wake_at(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wakes_at = due
        self._timer = None if due == math.inf else self.loop.call_at(due, self._expire_due)

    def _expire_due(self) -> None:
        # First, so that the timer is set again even if the end of one of them is interrupted.
        self._timer, self._wakes_at, now = None, math.inf, self.loop.time()
        for each in [each for each in self._waiting if each.due <= now]:
            self._waiting.discard(each)
            each.expire()
        self._wake_at(min((each.due for each in self._waiting), default=math.inf))


class _ThreadLimits(threading.local):
    limits: LoopLimits | None = None


def limits_of(loop: asyncio.AbstractEventLoop) -> LoopLimits:
    """Return the limits of the running loop; a thread runs one at a time."""
    limits = _local.limits
    if limits is None or limits.loop is not loop:
        limits = _local.limits = LoopLimits(loop)
    return limits


_local = _ThreadLimits()

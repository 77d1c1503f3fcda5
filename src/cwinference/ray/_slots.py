"""The requests that one worker has in flight: as many as it was given, none while all pause."""

import asyncio
import time
from collections.abc import Callable

from ..errors import ApiError
from ..inference._limiter import Limiter

_REFUSALS = frozenset({429, 503})


class Slots(Limiter):
    """Slots whose number others decide. Zero of them is a number too."""

    is_auto = True  # so that it learns of refusals
    limit: int

    def __init__(self, slots: int = 0) -> None:
        super().__init__(1)
        self._paused_until = 0.0
        self.on_refusal: Callable[[float, float], object] | None = None
        """Called with the seconds for which the server asked all to pause, and those since the request was sent."""
        self.on_response: Callable[[float, float], object] | None = None
        """Called with the time at which the request was sent, and the seconds that the response took."""
        self.resize(slots)

    def resize(self, slots: int) -> None:
        """Change their number. What is in flight above it goes on."""
        with self._lock:
            more = slots - self.limit
            self.limit += more
            self._free += more
            self._admit()

    def pause(self, seconds: float) -> None:
        """Admit nobody for so long. A pause is never shortened."""
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)

    def enter_at_once(self) -> bool:
        """Take a free slot; return False if there is none, others wait, or all of them pause."""
        return self._pause() <= 0 and super().enter_at_once()

    async def enter_async(self, timeout: float | None) -> float | None:
        """Wait for a slot, and for the end of the pause; return what is left of the timeout. Raises DeadlineExceeded.

        A pause does not take from the time that a request may take.
        """
        remaining = await super().enter_async(timeout)
        try:
            while (pause := self._pause()) > 0:  # noqa: ASYNC110 - it may have become longer
                await asyncio.sleep(pause)
        except BaseException:
            self.leave()
            raise
        return remaining

    def note(self, seconds: float, began: float) -> None:
        """Learn how long a response took."""
        if self.on_response is not None:
            self.on_response(began, seconds)

    def note_failure(self, error: BaseException, began: float) -> None:
        """Learn that the server asked for a pause."""
        if isinstance(error, ApiError) and error.http_status in _REFUSALS:
            seconds = max(0.0, error.retry_after or 0.0)
            self.pause(seconds)
            if self.on_refusal is not None:
                self.on_refusal(seconds, max(0.0, time.monotonic() - began))

    def _pause(self) -> float:
        return self._paused_until - time.monotonic()

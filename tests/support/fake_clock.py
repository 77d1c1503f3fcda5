"""A clock whose time passes only in its own sleeps."""

from collections.abc import Callable

from cwinference._calls.clock import Clock


class FakeClock:
    """A clock for tests; a client is given its `clock`. `on_sleep` lets the time of something else pass too."""

    def __init__(self, chance: float = 0.5, on_sleep: Callable[[float], object] = lambda _: None) -> None:
        self._on_sleep = on_sleep
        self.now = 1000.0
        self.chance = chance
        self.slept: list[float] = []
        self.clock = Clock(lambda: self.now, self.sleep, self._sleep_async, lambda: self.chance)

    def sleep(self, seconds: float) -> None:
        """Let time pass, and record for how long."""
        self.slept.append(seconds)
        self.now += seconds
        self._on_sleep(seconds)

    async def _sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)

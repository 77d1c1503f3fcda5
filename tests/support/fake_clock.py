"""A clock whose time passes only in its own sleeps."""

from cwinference._calls.clock import Clock


class FakeClock:
    """A clock for tests; a client is given its `clock`."""

    def __init__(self, chance: float = 0.5) -> None:
        self.now = 1000.0
        self.chance = chance
        self.slept: list[float] = []
        self.clock = Clock(lambda: self.now, self.sleep, self._sleep_async, lambda: self.chance)

    def sleep(self, seconds: float) -> None:
        """Let time pass, and record for how long."""
        self.slept.append(seconds)
        self.now += seconds

    async def _sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)

"""Time and randomness, in one place so that tests can replace them."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


def _random() -> float:
    """Return a number from 0 up to 1. Processes that were forked from one another draw different ones."""
    return int.from_bytes(os.urandom(6)) / 2**48


@dataclass(frozen=True, eq=False, repr=False)
class Clock:
    """A client's source of time and randomness: `Client(clock=...)`. Tests replace single functions of it.

    Args:
        monotonic: returns seconds on a clock that never goes back.
        sleep: how `Client` waits for some seconds.
        sleep_async: how `AsyncClient` does.
        random: returns a number from 0 up to 1, for jitter.
    """

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    sleep_async: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = _random

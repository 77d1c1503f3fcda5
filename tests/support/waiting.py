"""Waiting for what other threads, tasks and processes do. Nothing limits it but the time that a test may take.

Conditions are polled, because counts, files and processes have no event. Where there is one, tests wait for it instead.
"""

import asyncio
import threading
from collections.abc import Callable


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for another thread or process."""
    while not condition():
        threading.Event().wait(0.005)


async def wait_until_async(condition: Callable[[], bool]) -> None:
    """Wait for another thread, task or process."""
    await asyncio.to_thread(wait_until, condition)

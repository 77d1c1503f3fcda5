"""Waiting for what other threads and tasks do. Nothing limits it but the time that a test may take."""

import asyncio
import threading
from collections.abc import Callable


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for another thread."""
    while not condition():
        threading.Event().wait(0.005)


async def wait_until_async(condition: Callable[[], bool]) -> None:
    """Wait for another thread or task."""
    await asyncio.to_thread(wait_until, condition)

"""The exit of a process waits until the HTTP library has come to rest.

Its native threads release what a canceled or unread response held in Python, and a helper of ours may still wait for a
response in native code. Python ends such a thread once it is being torn down, and that aborts the process. No interface
of the library shows when it is done, but the kernel shows whether a thread ran.
"""

import atexit
import time
from contextlib import suppress

from ._interruptible import is_busy

_LONGEST_SECONDS = 1.0
"""How long an exit waits at most, for a helper whose server does not respond, for example."""
_REST_SECONDS = 0.01
"""For how long no thread may have run: longer than the 5 ms after which one that waits for Python's lock retries."""
_ENGINE = "tokio"
"""How the names of the library's threads begin."""


def wait_at_exit() -> None:
    """Let the exit of this process wait."""
    atexit.register(_wait)


def _wait() -> None:
    ends, before = time.monotonic() + _LONGEST_SECONDS, None
    while time.monotonic() < ends:
        now = _thread_times()
        if now is not None and now == before and not is_busy():
            return
        before = now
        time.sleep(_REST_SECONDS)


def _thread_times() -> list[str] | None:
    """Return how long each thread of the library has run and waited to run; None if one of them runs now.

    Only Linux shows that; elsewhere the list is empty, and the exit waits for the shortest time.
    """
    from pathlib import Path  # few programs need it

    times = list[str]()
    with suppress(OSError):
        for thread in Path("/proc/self/task").iterdir():
            with suppress(OSError):
                _, is_of_engine, state = (thread / "stat").read_text().partition(f" ({_ENGINE}")
                if state.rpartition(") ")[2].startswith("R"):
                    return None
                if is_of_engine:
                    times.append(f"{thread.name} {(thread / 'schedstat').read_text()}")
    return times

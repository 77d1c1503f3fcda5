"""This process on a core of its own and the far ends on the others, so that they never take turns on one by chance.

Without that, the ratio of two clients that wake threads of their own differs by a quarter from run to run.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_ALL: set[int] = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
_OURS = {min(_ALL)} if len(_ALL) > 1 else _ALL


def settle() -> None:
    """Keep this thread, and those that it starts, on our core."""
    _keep_to(_OURS)


@contextmanager
def elsewhere() -> Iterator[None]:
    """Processes that are started inside run on the other cores."""
    _keep_to(_ALL - _OURS or _ALL)
    try:
        yield
    finally:
        settle()


def _keep_to(cores: set[int]) -> None:
    if cores:
        os.sched_setaffinity(0, cores)

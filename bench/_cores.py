"""This process on a core of its own and the far ends on the others, so that they never take turns on one by chance.

Without that, the ratio of two clients that wake threads of their own differs by a quarter from run to run.
"""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

_ALL: set[int] = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
_OURS = {min(_ALL)} if len(_ALL) > 1 else _ALL


def settle() -> None:
    """Keep this thread, and those that it starts, on our core, and all that is imported out of garbage collections.

    The libraries that we are compared with hold hundreds of thousands of objects, which a user of ours has not.
    """
    _keep_to(_OURS)
    gc.collect()
    gc.freeze()


@contextmanager
def elsewhere() -> Iterator[None]:
    """Processes that are started inside run on the other cores."""
    _keep_to(_ALL - _OURS or _ALL)
    try:
        yield
    finally:
        _keep_to(_OURS)


def _keep_to(cores: set[int]) -> None:
    if cores:
        os.sched_setaffinity(0, cores)

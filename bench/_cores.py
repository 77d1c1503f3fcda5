"""Pin this process to one core and the servers to the others, so that they never share a core by chance.

Without that, the ratio of two clients that both use threads varies by a quarter from run to run.
"""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

_ALL: set[int] = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
_OURS = {min(_ALL)} if len(_ALL) > 1 else _ALL


def settle() -> None:
    """Pin this thread and those that it starts to one core, and exclude everything imported from garbage collection.

    The libraries used for comparison create hundreds of thousands of objects that a user of this library does not have.
    """
    _keep_to(_OURS)
    gc.collect()
    gc.freeze()


@contextmanager
def elsewhere(*, also_here: bool = False) -> Iterator[None]:
    """Run the processes started inside the block on the other cores, or on all cores."""
    _keep_to(_ALL if also_here else _ALL - _OURS or _ALL)
    try:
        yield
    finally:
        _keep_to(_OURS)


def _keep_to(cores: set[int]) -> None:
    if cores:
        os.sched_setaffinity(0, cores)

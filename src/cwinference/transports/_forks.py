"""Async gRPC and forks: gRPC's polling thread does not survive one, and a call in the child would hang for ever.

gRPC mends itself in a forked child unless channels of grpc.aio were open in its parent. Then the child is refused.
"""

import os
from typing import Any
from weakref import WeakSet

from .. import errors

_at_work: WeakSet[Any] = WeakSet()
"""Transports with open channels of grpc.aio."""
_stranded: list[Any] = []
"""In a forked child: the parent's, kept, because to let go of their channels would hang as well."""


def at_work(transport: object) -> None:
    """Note that a transport opens channels; raise when it cannot in this process."""
    if _stranded:
        raise errors.ConfigurationError(
            "this process was forked while an AsyncClient of its parent had gRPC connections open, whose thread does "
            "not survive a fork; close it before forking, fork first, use multiprocessing's 'spawn', or use Client"
        )
    _at_work.add(transport)


def at_rest(transport: object) -> None:
    """Note that a transport's channels are closed."""
    _at_work.discard(transport)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _stranded.extend(_at_work))

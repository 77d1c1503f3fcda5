"""Async gRPC and forks: gRPC's polling thread does not survive a fork, so a call in the child would hang forever.

gRPC repairs itself in a forked child, unless channels of grpc.aio were open in the parent. Then the child is refused.
Nor can it if other threads of the parent were in the middle of calls: some of such children crash inside grpcio, and
nothing here can tell.
"""

import os
from typing import Any
from weakref import WeakSet

from .. import errors

_open: WeakSet[Any] = WeakSet()
"""Transports with open channels of grpc.aio."""
_of_parent: list[Any] = []
"""In a forked child: those of the parent. They are kept, because releasing their channels would hang as well."""


def note_open(transport: object) -> None:
    """Note that a transport opens channels; raise ConfigurationError if it cannot in this process."""
    if _of_parent:
        raise errors.ConfigurationError(
            "this process was forked while an AsyncClient of its parent had gRPC connections open, whose thread does "
            "not survive a fork; close it before forking, fork first, use multiprocessing's 'spawn', or use Client"
        )
    _open.add(transport)


def note_closed(transport: object) -> None:
    """Note that a transport's channels are closed."""
    _open.discard(transport)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _of_parent.extend(_open))

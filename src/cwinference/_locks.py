"""Locks that a forked child can take, although a thread of its parent, which does not exist there, held them."""

import os
import threading
from typing import Any
from weakref import WeakSet

_owners: WeakSet[Any] = WeakSet()


def lock_of(owner: object) -> threading.Lock:
    """The lock that `owner` keeps as its `_lock`; a forked child gets another one there."""
    _owners.add(owner)
    return threading.Lock()


def _renew() -> None:
    for owner in _owners:
        owner._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)

"""Locks that a forked child can acquire even if a thread of its parent, which the child does not have, held them."""

import os
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

_owners: WeakKeyDictionary[Any, Callable[[], Any]] = WeakKeyDictionary()


def lock_of(owner: object) -> threading.Lock:
    """Return a lock for `owner` to keep as `_lock`, which is replaced by a new one in forked children."""
    _owners[owner] = threading.Lock
    return threading.Lock()


def condition_of(owner: object) -> threading.Condition:
    """Return a condition instead; as `lock_of`."""
    _owners[owner] = threading.Condition
    return threading.Condition()


def _renew() -> None:
    for owner, make in list(_owners.items()):
        owner._lock = make()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)

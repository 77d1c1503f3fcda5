"""Locks that a forked child can take, although a thread of its parent, which does not exist there, held them."""

import os
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

_owners: WeakKeyDictionary[Any, Callable[[], Any]] = WeakKeyDictionary()


def lock_of(owner: object) -> threading.Lock:
    """The lock that `owner` keeps as its `_lock`; a forked child gets another one there."""
    _owners[owner] = threading.Lock
    return threading.Lock()


def condition_of(owner: object) -> threading.Condition:
    """The same for a condition."""
    _owners[owner] = threading.Condition
    return threading.Condition()


def _renew() -> None:
    for owner, make in list(_owners.items()):
        owner._lock = make()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)

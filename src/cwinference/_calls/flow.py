"""Behavior written once for both clients: a flow is a generator that yields the steps it wants done.

A flow never blocks and never awaits. It yields a step, is sent the step's answer (or has its error thrown in), and
returns its result. `_drivers.py` holds the two small loops that perform steps, one blocking and one awaiting.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from ..auth import Credentials, Metadata

if TYPE_CHECKING:
    from .rpc import Call

T = TypeVar("T")
ItemT = TypeVar("ItemT")


@dataclass(slots=True)
class Send:
    """Send one attempt of a call; answered with the reply message."""

    call: "Call[Any]"
    metadata: Metadata
    timeout: float | None


@dataclass(slots=True)
class AskToken:
    """Get the token's metadata: the cached one, or a fresh one when the given one was refused."""

    stale: Metadata | None
    timeout: float | None
    credentials: Credentials | None = None
    """Whose token; None: the client's own."""


@dataclass(slots=True)
class Sleep:
    """Let time pass."""

    seconds: float


@dataclass(slots=True)
class Emit(Generic[ItemT]):
    """Hand items to whoever iterates over the flow."""

    items: Iterable[ItemT]


Step: TypeAlias = Send | AskToken | Sleep
Flow: TypeAlias = Generator[Step, Any, T]
Pages: TypeAlias = Generator[Step | Emit[ItemT], Any, None]


def _random() -> float:
    """A number from 0 up to 1; processes that were forked from one draw different ones."""
    return int.from_bytes(os.urandom(6)) / 2**48


@dataclass(frozen=True)
class Clock:
    """Time and chance, in one place so that tests can replace them."""

    monotonic: Callable[[], float] = time.monotonic
    """Seconds on a clock that never goes back."""
    sleep: Callable[[float], None] = time.sleep
    """How `Client` lets seconds pass."""
    sleep_async: Callable[[float], Awaitable[None]] = asyncio.sleep
    """How `AsyncClient` lets seconds pass."""
    random: Callable[[], float] = _random
    """A number from 0 up to 1, for jitter."""

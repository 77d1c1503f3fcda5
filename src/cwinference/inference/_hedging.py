"""Hedging: a request whose response is late is sent elsewhere too; the first to begin wins, the other is canceled."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias

from .._locks import lock_of
from ..transports.completions import AsyncBody, HttpResponse

_PRICE = 20
"""How many requests allow one more hedge: 5 %."""
_SAVED = 100 * _PRICE
"""For how many hedges may be saved at most."""


class HedgeBudget:
    """Allows 5 % of the requests to be hedged, and always one."""

    def __init__(self) -> None:
        self._lock = lock_of(self)
        self._credit = 0
        self._is_first = True

    def count(self) -> None:
        """Count a request."""
        with self._lock:
            self._credit = min(_SAVED, self._credit + 1)

    def take(self) -> bool:
        """Return whether a request that was counted may be hedged."""
        with self._lock:
            if self._credit < _PRICE and not self._is_first:
                return False
            self._is_first = False
            self._credit -= _PRICE
            return True

    def give_back(self) -> None:
        """Note that there was nowhere to send the hedge."""
        with self._lock:
            self._credit += _PRICE
            self._is_first = self._credit < _PRICE


Begun: TypeAlias = HttpResponse | AsyncBody
Sent: TypeAlias = Coroutine[Any, Any, Begun]


async def race(
    first: Sent, after: float, second: Callable[[], Sent | None], on_lost: Callable[[BaseException], object]
) -> tuple[Begun, bool]:
    """Return the response that begins first, and whether it is the second one's, which is sent after some seconds.

    If one of them fails, the other decides; if both do, the first one's error is raised. `on_lost` is given the error
    of the one that does not count, or its cancellation.
    """
    tasks = [asyncio.ensure_future(first)]
    winner: asyncio.Task[Begun] | None = None
    try:
        await asyncio.wait(tasks, timeout=after)
        if not tasks[0].done() and (hedge := second()) is not None:
            tasks.append(asyncio.ensure_future(hedge))
        winner = await _first_success(tasks)
        return winner.result(), winner is not tasks[0]
    finally:
        for lost in await _hang_up([each for each in tasks if each is not winner]):
            if len(tasks) > 1:
                on_lost(lost)


async def _first_success(tasks: Sequence["asyncio.Task[Begun]"]) -> "asyncio.Task[Begun]":
    waiting = set(tasks)
    while waiting:
        _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done() and not task.cancelled() and task.exception() is None:
                return task
    return tasks[0]


async def _hang_up(tasks: Sequence["asyncio.Task[Begun]"]) -> list[BaseException]:
    """Cancel what is on its way, and close what has begun at the same moment; return how each ended."""
    for task in tasks:
        task.cancel()
    ends = list[BaseException]()
    for begun in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(begun, AsyncBody):
            await begun.close()
        ends.append(begun if isinstance(begun, BaseException) else asyncio.CancelledError())
    return ends

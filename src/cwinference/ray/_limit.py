"""The actor that keeps one limit for all workers, and the handle by which they find it."""

import asyncio
import time
from contextlib import suppress
from typing import Any

from ..inference._auto_limiter import Limit, check_limit
from ._ray import check_installed, ray_module
from ._sharing import Demand, Done, Grant, Sharing

_PERIOD = 0.2
"""Seconds between two reports of a worker: what is granted in bulk need not be asked for request by request."""


class Keeper:
    """The actor. Reports wait for their response, so that a pause reaches all workers at once."""

    def __init__(self, limit: Limit) -> None:
        is_restarted = bool(ray_module().get_runtime_context().was_current_actor_reconstructed)
        self._sharing = Sharing(limit, time.monotonic(), is_restarted=is_restarted)
        self._version = 0
        self._changed = asyncio.Event()
        self._error: Exception | None = None

    async def report(self, demand: Demand, version: int) -> tuple[Grant, int]:
        """Return what a worker gets, as soon as there is news, or after a moment."""
        if version == self._version:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _PERIOD)
        return self._sharing.report(demand, time.monotonic()), self._version

    async def refuse(self, pause: float, age: float) -> None:
        """Take the pause that a server asked for, in response to a request of that age, and report it to all."""
        if self._sharing.refuse(pause, time.monotonic(), age):
            self._notify()

    async def stop(self, error: Exception) -> None:
        """Let nothing more be sent, because of an error that every request would have."""
        self._error = self._error or error
        self._sharing.stop = self._sharing.stop or type(error).__name__
        self._notify()

    async def give_up(self) -> None:
        """Let nothing more be sent when too many requests have failed in a row, from now on."""
        self._sharing.gives_up = True

    async def outcome(self) -> tuple[str, Exception | None]:
        """Return why nothing more was sent: empty if everything was; and the error if there was one."""
        return self._sharing.stop, self._error

    async def done(self) -> Done:
        """Return what became of the requests so far."""
        return self._sharing.done

    def _notify(self) -> None:
        self._version += 1
        self._changed.set()
        self._changed = asyncio.Event()


class SharedLimit:
    """One limit for all workers of a cluster together, for `concurrency=` of `Completions`.

    Keep a reference to it for as long as they run. It is a Ray actor, to which the workers report several times a
    second rather than for each request. When the server responds with 429 or 503, all of them pause for as long as it
    asks (`Retry-After`), continue with half as many requests, and return to the full number within half a minute.
    """

    def __init__(self, limit: Limit = 64) -> None:
        """Start the actor, on the node of the driver.

        Args:
            limit: how many requests are in flight at most (64). "auto" finds out how many the server takes.

        Raises:
            ConfigurationError: `limit` is neither a positive number nor "auto", or the extra `ray` is not installed.
        """
        self.limit = check_limit(limit, "limit")
        check_installed()
        ray = ray_module()
        here = ray_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=True
        )
        options: dict[str, Any] = {
            "num_cpus": 0,
            "max_restarts": -1,  # and nothing is repeated for it: the next reports say all that it has to know
            "scheduling_strategy": here,
        }
        self.keeper: Any = ray.remote(Keeper).options(**options).remote(self.limit)

    def __repr__(self) -> str:
        return f"SharedLimit({self.limit!r})"

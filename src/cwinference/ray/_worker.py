"""What a worker does with its rows: it requests completions on an event loop of its own, within its slots."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeAlias
from uuid import uuid4

from ..errors import InferenceError, ProtocolError
from ..inference._model_server import CheckedBody
from ..inference._request import CompletionRequest
from ..inference.batch.outcomes import is_fatal
from ._limit import SharedLimit
from ._sharing import Demand, Done, Grant
from ._slots import Slots
from ._target import Target

Outcome: TypeAlias = CheckedBody | InferenceError | None
"""The body of a completion, or why there is none; None for a request that was not sent because the run ends."""

_AFTER_LOSS = 0.5
"""Seconds to wait for the limit's actor when it does not respond."""

_MOST_RESPONSES = 1000
"""Of how many responses a report says at most how long they took."""

_COMPLETED, _FAILED = Done(completed=1), Done(failed=1)


class Worker:
    """Sends requests to a target. Ray's own loop may be blocked by its queues, so it has another one."""

    def __init__(self, target: Target, concurrency: int | SharedLimit, *, may_end_run: bool = False) -> None:
        """Make one. `may_end_run`: nothing more is sent anywhere after an error that every request would have."""
        self._target = target
        self._may_end_run = may_end_run
        self._keeper: Any = concurrency.keeper if isinstance(concurrency, SharedLimit) else None
        self._is_auto = isinstance(concurrency, SharedLimit) and concurrency.limit == "auto"
        self._name = uuid4().hex
        self._slots = Slots()
        """Those of the attempts, which pause when the server asks for that."""
        self._turns = Slots()
        """Those of the requests: one more, because the time of a request begins with its turn."""
        self._resize(0 if isinstance(concurrency, SharedLimit) else concurrency)
        self._done = Done()
        self._failed_in_a_row = 0
        self._responses: deque[tuple[float, float]] = deque(maxlen=_MOST_RESPONSES)
        """When they were sent, and how long they took. All three since the last report."""
        self._stopped = False
        self._exits = AsyncExitStack()
        self._send: Any = None
        self._can_route: Any = None
        self._opening: asyncio.Lock | None = None
        self._following: asyncio.Task[None] | None = None
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="cwinference requests", daemon=True).start()

    def ask(self, requests: Sequence[CompletionRequest]) -> Awaitable[list[Outcome]]:
        """Return the outcomes of requests, on any loop.

        Raises:
            InferenceError: no request can be sent at all, and that may not end the run.
        """
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._ask(requests), self._loop))

    def note(self, done: Done) -> None:
        """Report also what is known only now: tokens, and requests that were not even sent. On any loop."""

        def add() -> None:
            self._done = self._done.plus(done)

        self._loop.call_soon_threadsafe(add)

    async def _ask(self, requests: Sequence[CompletionRequest]) -> list[Outcome]:
        try:
            await self._open()
        except InferenceError as error:
            if not self._may_end_run:
                raise
            await self._halt(error)
        return await asyncio.gather(*map(self._outcome, requests))

    async def _open(self) -> None:
        """Make the client, unless there is one."""
        if self._opening is None:
            self._opening = asyncio.Lock()
        async with self._opening:
            if self._send is None:
                self._send, self._can_route = await self._exits.enter_async_context(self._target.open(self._slots))
            if self._keeper is not None and self._following is None:
                self._slots.on_refusal = self._keeper.refuse.remote
                if self._is_auto:
                    self._slots.on_response = lambda began, seconds: self._responses.append((began, seconds))
                self._following = asyncio.create_task(self._follow())

    async def _outcome(self, request: CompletionRequest) -> Outcome:
        await self._turns.enter_async(None)
        try:
            if self._stopped:
                return None
            body: CheckedBody = await self._send(request)
            self._done, self._failed_in_a_row = self._done.plus(_COMPLETED), 0
            return body
        except Exception as error:
            if self._may_end_run and isinstance(error, InferenceError) and is_fatal(error, request, self._can_route):
                await self._halt(error)
                return None
            self._done, self._failed_in_a_row = self._done.plus(_FAILED), self._failed_in_a_row + 1
            return error if isinstance(error, InferenceError) else ProtocolError(f"{type(error).__name__}: {error}")
        finally:
            self._turns.leave()

    async def _halt(self, error: InferenceError) -> None:
        """Send nothing more, here and elsewhere."""
        if not self._stopped:
            self._end()
            self._keeper.stop.remote(error)

    def _end(self) -> None:
        self._stopped = True
        self._turns.resize(1_000_000)  # whoever waits for a turn learns that there is none

    async def _follow(self) -> None:
        """Report to the limit's actor, and do as it says."""
        version = -1
        while not self._stopped:
            demand = self._demand()
            try:
                grant, version = await asyncio.wrap_future(self._keeper.report.remote(demand, version).future())
            except Exception:  # it is restarted: until then, what was granted holds
                await asyncio.sleep(_AFTER_LOSS)
            else:
                self._obey(grant)

    def _demand(self) -> Demand:
        """Return what there is to report; begin anew to count what the next report says."""
        now = time.monotonic()
        demand = Demand(
            self._name,
            max(self._slots.limit, self._slots.in_flight),
            self._turns.in_flight + self._turns.queued,
            self._done,
            self._failed_in_a_row,
            tuple((now - began, seconds) for began, seconds in self._responses),
        )
        self._done, self._failed_in_a_row = Done(), 0
        self._responses.clear()
        return demand

    def _obey(self, grant: Grant) -> None:
        if grant.stop:
            self._end()
            return
        if grant.pause:
            self._slots.pause(grant.pause)
        self._resize(grant.slots)

    def _resize(self, slots: int) -> None:
        if slots != self._slots.limit:
            self._slots.resize(slots)
            self._turns.resize(slots + 1 if slots else 0)

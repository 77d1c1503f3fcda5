"""The load: workers on every transport, sync and async, that check the result of each operation."""

import asyncio
import random
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from cwinference import AsyncClient, errors, types
from tests.support.client_kinds import open_client
from tests.support.inference_kinds import AnyInference
from tests.support.ready_gateways import MODEL

from .emulator import TOKEN

FAILURES = (
    errors.Unavailable,
    errors.DeadlineExceeded,
    errors.ResourceExhausted,
    errors.ProtocolError,
    errors.StreamInterrupted,
    errors.StreamStalled,
)
"""The errors that the faults may cause when retries do not help."""

SETTINGS: dict[str, Any] = {"timeout": 5.0, "max_reply_bytes": 1_000_000}
FIELDS: dict[str, Any] = {"core_weave_auth": types.CoreWeaveAuth(), "path_based_routing": types.PathBasedRouting()}
ZONES = ("US-EAST-04A", "US-EAST-08A", "US-WEST-04A")
LATE = 5.0
"""Seconds by which a call may overrun its deadline on a machine that is busy with this load."""
MOST_PROBLEMS = 20


@dataclass
class Counters:
    """The outcomes of the operations."""

    done: Counter[str] = field(default_factory=Counter[str])
    failed: Counter[str] = field(default_factory=Counter[str])
    """Failures by the class of the error."""
    failed_of: Counter[str] = field(default_factory=Counter[str])
    """Failures by the operation."""
    problems: list[str] = field(default_factory=list[str])
    """What must not happen, a line each."""
    undetermined: set[str] = field(default_factory=set[str])
    """Names of gateways that may still exist because their lifecycle was aborted."""

    def fail(self, operation: str, error: Exception) -> None:
        """Count a failure that the faults explain."""
        self.failed[type(error).__name__] += 1
        self.failed_of[operation] += 1

    def problem(self, text: str) -> None:
        """Note something that the faults do not explain."""
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(text)


def is_expected(error: Exception) -> bool:
    """Return whether the faults explain the error.

    Of a corrupted NOT_FOUND or ALREADY_EXISTS only the HTTP status remains.
    """
    corrupted = isinstance(error, errors.Unknown | errors.Unimplemented) and error.http_status in (404, 409)
    return corrupted or isinstance(error, FAILURES)


class Worker:
    """Performs one random operation after the other, on a client that it shares with other workers."""

    def __init__(
        self,
        kind: str,
        endpoint: str,
        client: AsyncClient,
        inference: AnyInference,
        own: types.GatewaySpec,
        counters: Counters,
        seed: int,
    ) -> None:
        """Create a worker. `own` is a gateway that is never changed; its name is also that of the worker."""
        self._name = own.name
        self._kind = kind
        self._endpoint = endpoint
        self._client = client
        self._inference = inference
        self._counters = counters
        self._chance = random.Random(f"{seed} {own.name}")  # noqa: S311
        self._number = 0
        self._own = own
        self._weights: dict[Callable[[], Awaitable[None]], int] = {
            self.read: 60,
            self.read_with_short_timeout: 5,
            self.lifecycle: 3,
            self.chat: 8,
            self.stream: 5,
            self.abandoned_stream: 2,
            self.new_client: 1,
            self.canceled: 8 if kind.endswith("async") else 0,  # a sync call cannot be canceled
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""
        while not stop.is_set():
            (work,) = self._chance.choices(list(self._weights), list(self._weights.values()))
            name = work.__name__
            self._number += 1
            try:
                await work()
            except Exception as error:
                if is_expected(error):
                    self._counters.fail(name, error)
                else:
                    line = traceback.extract_tb(error.__traceback__)[-1]
                    self._counters.problem(f"{self._name}: {name}: {error!r} at {line.filename}:{line.lineno}")
            else:
                self._counters.done[name] += 1

    async def read(self) -> None:
        """Read resources that do not change."""
        match self._chance.randrange(10):
            case 0:
                found = [each.spec for each in await self._client.gateways.list() if each.spec.name == self._name]
                assert found == [self._own]
            case 1:
                assert [each.spec.model.name for each in await self._client.deployments.list()] == [MODEL]
            case 2:
                assert set(ZONES) <= set((await self._client.gateways.parameters()).zones)
            case 3:
                assert [each async for each in self._client.hot_loads.list()] == []
            case _:
                assert (await self._client.gateways.get(self._own.id)).spec == self._own

    async def read_with_short_timeout(self) -> None:
        """Read with a timeout that may be too short."""
        limit, began = self._chance.uniform(0.001, 0.03), time.monotonic()
        try:
            found = await self._client.gateways.get(self._own.id, timeout=limit)
            assert found.spec == self._own
        finally:
            assert time.monotonic() - began < limit + LATE

    async def canceled(self) -> None:
        """Read, complete or stream, and be canceled at a random moment."""
        call = asyncio.ensure_future(self._chance.choice((self.read, self.chat, self.stream))())
        await asyncio.sleep(self._chance.choice((0, 0, 0.001, 0.005, 0.02)))
        call.cancel()
        await asyncio.wait([call])
        if not call.cancelled():
            call.result()

    async def lifecycle(self) -> None:
        """Create a gateway, wait for it, change it, delete it, and wait until it is deleted."""
        gateways, name = self._client.gateways, f"{self._name}-{self._number}"
        self._counters.undetermined.add(name)
        made = await gateways.create(name, zones=ZONES[:1], **FIELDS)
        assert (made.spec.name, list(made.spec.zones)) == (name, list(ZONES[:1]))
        assert (await gateways.wait(made.spec.id, timeout=30)).spec == made.spec
        await self._change(made.spec)
        await gateways.delete(made.spec.id)
        await gateways.wait_deleted(made.spec.id, timeout=30)
        self._counters.undetermined.discard(name)

    async def _change(self, spec: types.GatewaySpec) -> None:
        """Change a gateway. A change that fails may have been made or not, because it is not retried."""
        gateways, possible, certain = self._client.gateways, [list(spec.zones)], True
        for zones in self._chance.sample([ZONES[:2], ZONES[1:], ZONES], 2):
            try:
                if self._chance.random() < 0.5:
                    changed = await gateways.update(spec.id, name=spec.name, zones=zones, **FIELDS)
                else:
                    changed = await gateways.modify(spec.id, zones=zones)
                assert list(changed.spec.zones) == list(zones)
                self._counters.done["change"] += 1
                possible = [list(zones)] if certain else [*possible, list(zones)]
            except FAILURES as error:
                self._counters.fail("change", error)
                possible, certain = [*possible, list(zones)], False
            assert list((await gateways.get(spec.id)).spec.zones) in possible

    async def chat(self) -> None:
        """Request a completion."""
        prompt = self._prompt()
        completion = await self._inference.chat(model=MODEL, messages=[{"role": "user", "content": prompt}])
        assert f'that end in "{prompt}".' in completion.text
        assert completion.finish_reason == "stop"

    async def stream(self) -> None:
        """Read a streamed completion to its end."""
        prompt = self._prompt()
        chunks = await self._inference.read(self._open_stream(prompt))
        assert f'that end in "{prompt}".' in "".join(each.text for each in chunks)

    async def abandoned_stream(self) -> None:
        """Close a streamed completion before its end."""
        assert len(await self._inference.read(self._open_stream(self._prompt()), max_chunks=3)) == 3

    async def new_client(self) -> None:
        """Open another client, and close it after one call."""
        async with open_client(self._kind, self._endpoint, TOKEN, **SETTINGS) as client:
            assert (await client.gateways.get(self._own.id)).spec == self._own

    def _prompt(self) -> str:
        return f"question {self._number} of {self._name}"

    def _open_stream(self, prompt: str) -> Any:
        return self._inference.stream(model=MODEL, messages=[{"role": "user", "content": prompt}])

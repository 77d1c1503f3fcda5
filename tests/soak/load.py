"""The load: workers over every transport, blocking and awaiting, that know what each answer has to be."""

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
from tests.support.inference_kinds import Front
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
"""What the faults may lead to, once the client's repeats are used up."""

SETTINGS: dict[str, Any] = {"timeout": 5.0, "max_reply_bytes": 1_000_000}
FIELDS: dict[str, Any] = {"core_weave_auth": types.CoreWeaveAuth(), "path_based_routing": types.PathBasedRouting()}
ZONES = ("US-EAST-04A", "US-EAST-08A", "US-WEST-04A")
LATE = 5.0
"""Seconds by which a call may overrun its deadline on a machine that is busy with this very load."""
MOST_PROBLEMS = 20


@dataclass
class Counters:
    """What came of the operations."""

    done: Counter[str] = field(default_factory=Counter[str])
    failed: Counter[str] = field(default_factory=Counter[str])
    """By the error's class."""
    failed_of: Counter[str] = field(default_factory=Counter[str])
    """By the operation."""
    problems: list[str] = field(default_factory=list[str])
    """What must not be, each in a line."""
    uncertain: set[str] = field(default_factory=set[str])
    """Names of gateways that may have outlived their story, because it ended early."""

    def fail(self, operation: str, error: Exception) -> None:
        """A failure that the faults explain."""
        self.failed[type(error).__name__] += 1
        self.failed_of[operation] += 1

    def problem(self, text: str) -> None:
        """Something that nothing explains."""
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(text)


def is_explained(error: Exception) -> bool:
    """Whether the faults explain it. Of NOT_FOUND and ALREADY_EXISTS, when spoilt, only the number is left."""
    spoilt = isinstance(error, errors.Unknown | errors.Unimplemented) and error.http_status in (404, 409)
    return spoilt or isinstance(error, FAILURES)


class Worker:
    """One of those that share a client: does one thing after the other, drawn by chance."""

    def __init__(
        self,
        kind: str,
        endpoint: str,
        client: AsyncClient,
        front: Front,
        own: types.GatewaySpec,
        counters: Counters,
        seed: int,
    ) -> None:
        """`own` is a gateway that nobody changes, by whose name the worker goes."""
        self._name = own.name
        self._kind = kind
        self._endpoint = endpoint
        self._client = client
        self._front = front
        self._tally = counters
        self._chance = random.Random(f"{seed} {own.name}")  # noqa: S311
        self._number = 0
        self._own = own
        self._weights: dict[Callable[[], Awaitable[None]], int] = {
            self.read: 60,
            self.hurried: 5,
            self.life: 3,
            self.chat: 8,
            self.streamed: 5,
            self.left: 2,
            self.renewed: 1,
            self.cancelled: 8 if kind.endswith("async") else 0,  # a blocking call cannot be cancelled
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop."""
        while not stop.is_set():
            (work,) = self._chance.choices(list(self._weights), list(self._weights.values()))
            name = work.__name__
            self._number += 1
            try:
                await work()
            except Exception as error:
                if is_explained(error):
                    self._tally.fail(name, error)
                else:
                    line = traceback.extract_tb(error.__traceback__)[-1]
                    self._tally.problem(f"{self._name}: {name}: {error!r} at {line.filename}:{line.lineno}")
            else:
                self._tally.done[name] += 1

    async def read(self) -> None:
        """Read what does not change."""
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

    async def hurried(self) -> None:
        """Read in less time than it may take."""
        limit, began = self._chance.uniform(0.001, 0.03), time.monotonic()
        try:
            found = await self._client.gateways.get(self._own.id, timeout=limit)
            assert found.spec == self._own
        finally:
            assert time.monotonic() - began < limit + LATE

    async def cancelled(self) -> None:
        """Read, ask or stream, and be cancelled at any moment."""
        call = asyncio.ensure_future(self._chance.choice((self.read, self.chat, self.streamed))())
        await asyncio.sleep(self._chance.choice((0, 0, 0.001, 0.005, 0.02)))
        call.cancel()
        await asyncio.wait([call])
        if not call.cancelled():
            call.result()

    async def life(self) -> None:
        """Make a gateway, wait for it, change it, remove it, and wait until it is gone."""
        gateways, name = self._client.gateways, f"{self._name}-{self._number}"
        self._tally.uncertain.add(name)
        made = await gateways.create(name, zones=ZONES[:1], **FIELDS)
        assert (made.spec.name, list(made.spec.zones)) == (name, list(ZONES[:1]))
        assert (await gateways.wait(made.spec.id, timeout=30)).spec == made.spec
        await self._change(made.spec)
        await gateways.delete(made.spec.id)
        await gateways.wait_deleted(made.spec.id, timeout=30)
        self._tally.uncertain.discard(name)

    async def _change(self, spec: types.GatewaySpec) -> None:
        """Changes are sent once, so that one that fails may have happened or not."""
        gateways, possible, sure = self._client.gateways, [list(spec.zones)], True
        for zones in self._chance.sample([ZONES[:2], ZONES[1:], ZONES], 2):
            try:
                if self._chance.random() < 0.5:
                    changed = await gateways.update(spec.id, name=spec.name, zones=zones, **FIELDS)
                else:
                    changed = await gateways.modify(spec.id, zones=zones)
                assert list(changed.spec.zones) == list(zones)
                self._tally.done["change"] += 1
                possible = [list(zones)] if sure else [*possible, list(zones)]
            except FAILURES as error:
                self._tally.fail("change", error)
                possible, sure = [*possible, list(zones)], False
            assert list((await gateways.get(spec.id)).spec.zones) in possible

    async def chat(self) -> None:
        """Ask for a completion."""
        prompt = self._prompt()
        answer = await self._front.chat(model=MODEL, messages=[{"role": "user", "content": prompt}])
        assert f'that end in "{prompt}".' in answer.text
        assert answer.finish_reason == "stop"

    async def streamed(self) -> None:
        """Read a streamed completion to its end."""
        prompt = self._prompt()
        chunks = await self._front.read(self._stream(prompt))
        assert f'that end in "{prompt}".' in "".join(each.text for each in chunks)

    async def left(self) -> None:
        """Leave a streamed completion before its end."""
        assert len(await self._front.read(self._stream(self._prompt()), most=3)) == 3

    async def renewed(self) -> None:
        """Open another client, and close it after a call."""
        async with open_client(self._kind, self._endpoint, TOKEN, **SETTINGS) as client:
            assert (await client.gateways.get(self._own.id)).spec == self._own

    def _prompt(self) -> str:
        return f"question {self._number} of {self._name}"

    def _stream(self, prompt: str) -> Any:
        return self._front.stream(model=MODEL, messages=[{"role": "user", "content": prompt}])

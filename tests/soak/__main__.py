"""The soak: 10 minutes and 200,000 calls unless it is told otherwise. It exits with 1 when it fails.

Every kind of client calls an emulator in a process of its own, in which things go wrong by chance and which reloads now
and then. Every answer is compared with what it has to be, and nothing that either process holds may grow.
"""

import argparse
import asyncio
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any

from cwinference import Client, types
from tests.support.client_kinds import KINDS, open_client
from tests.support.inference_kinds import open_front
from tests.support.ready_gateways import ROUTINGS, deploy

from .emulator import TOKEN, Reloading, reloading
from .load import FIELDS, SETTINGS, ZONES, Counters, Worker
from .report import Result, told
from .watch import Sample, courses, sample, settled

WORKERS = 4
"""On each kind of client."""
FRONT, FRONT_ID = "front", "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
"""The gateway that answers completions."""
SERVING: dict[str, Any] = {"core_weave_auth": types.CoreWeaveAuth(), **ROUTINGS["body"]}
SAMPLES = 400
RELOADS = 30
SHORTEST_RELOAD = 2.0
"""Seconds between two reloads, at least."""
JUDGED_FROM = 60.0
"""Seconds from which on growth is judged; what is shorter is all warming up."""
LONGEST = 3
"""How many times its length it may last to reach its number of calls."""


def main() -> int:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="how long it lasts at least (%(default)s)")
    parser.add_argument("--calls", type=int, default=200_000, help="calls that it makes at least (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the load and of the faults (%(default)s)")
    options = parser.parse_args()
    warnings.simplefilter("error")
    with reloading() as emulator:
        result = asyncio.run(Soak(emulator, options.seed).run(options.seconds, options.calls))
    sys.stdout.write(told(result))
    return 1 if result.problems() else 0


class Soak:
    """One run against one emulator."""

    def __init__(self, emulator: Reloading, seed: int) -> None:
        self._emulator = emulator
        self._seed = seed
        self._tally = Counters()
        self._reloads = 0

    async def run(self, seconds: float, calls: int) -> Result:
        """Open and close everything once, then for real, and look what is left of it."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self._tally.problem(f"event loop: {context}"))
        sys.unraisablehook = lambda found: self._tally.problem(f"unraisable: {found.exc_value!r}")
        owned = self._furnish()
        await self._round(owned, 0.5, 0)
        before = await settled(self._emulator.pid)
        self._emulator.begin(self._seed)
        began = time.monotonic()
        samples = await self._round(owned, seconds, calls)
        lasted = time.monotonic() - began
        calls, faults = self._emulator.end()
        self._look_for_strangers(owned)
        return Result(
            seconds=lasted,
            calls=calls,
            reloads=self._reloads,
            counters=self._tally,
            faults=faults,
            courses=courses(samples),
            judged=seconds >= JUDGED_FROM,
            before=before,
            after=await settled(self._emulator.pid, before),
            complaints=self._emulator.complaints(),
        )

    def _furnish(self) -> Mapping[str, types.GatewaySpec]:
        """A gateway with a model behind it, and one for each worker; those by name."""
        names = [f"{kind}-{number}" for kind in KINDS for number in range(WORKERS)]
        with Client(TOKEN, endpoint=self._emulator.endpoint) as client:
            deploy(client, client.gateways.create(FRONT, id=FRONT_ID, **SERVING, wait=True), wait=True)
            return {name: client.gateways.create(name, zones=ZONES[:1], **FIELDS).spec for name in names}

    async def _round(self, owned: Mapping[str, types.GatewaySpec], seconds: float, calls: int) -> Sequence[Sample]:
        """All workers at work for a while; gives what was held meanwhile."""
        stop = asyncio.Event()
        with ThreadPoolExecutor(len(owned) + 1) as threads:
            asyncio.get_running_loop().set_default_executor(threads)
            async with AsyncExitStack() as opened, asyncio.TaskGroup() as group:
                for kind in KINDS:
                    for worker in await self._hire(kind, owned, opened):
                        group.create_task(worker.run(stop))
                samples = await self._watch(seconds, calls)
                stop.set()
        return samples

    async def _hire(
        self, kind: str, owned: Mapping[str, types.GatewaySpec], opened: AsyncExitStack
    ) -> Sequence[Worker]:
        """The workers on one client and one front, which stay open until all are done."""
        endpoint, place = self._emulator.endpoint, KINDS.index(kind)
        client = await opened.enter_async_context(open_client(kind, endpoint, TOKEN, **SETTINGS))
        version = 1 + place // 2 % 2
        front = await opened.enter_async_context(
            open_front(f"{kind.rpartition('-')[2]}-{version}", f"{endpoint}/gateway/{FRONT_ID}", TOKEN, **SETTINGS)
        )
        mine = [spec for name, spec in owned.items() if name.rpartition("-")[0] == kind]
        return [Worker(kind, endpoint, client, front, spec, self._tally, self._seed) for spec in mine]

    async def _watch(self, seconds: float, calls: int) -> Sequence[Sample]:
        """Look at all figures again and again until time and calls are enough; reload now and then."""
        samples, began = list[Sample](), time.monotonic()
        apart = next_reload = max(SHORTEST_RELOAD, seconds / RELOADS)
        while True:
            await asyncio.sleep(max(0.05, seconds / SAMPLES))
            samples.append(sample(self._emulator.pid))
            passed = time.monotonic() - began
            if passed >= next_reload:
                await asyncio.to_thread(self._emulator.reload)
                self._reloads += 1
                next_reload += apart
            made = await asyncio.to_thread(self._emulator.calls)
            if passed >= seconds and made >= calls:
                return samples
            if passed >= LONGEST * seconds:
                self._tally.problem(f"only {made} of {calls} calls in {passed:.0f} s")
                return samples

    def _look_for_strangers(self, owned: Mapping[str, types.GatewaySpec]) -> None:
        """At the end there are those gateways that must be there, and none that must not."""
        with Client(TOKEN, endpoint=self._emulator.endpoint) as client:
            found = {each.spec.name: each.spec for each in client.gateways.list()}
        del found[FRONT]
        lost = [name for name, spec in owned.items() if found.pop(name, None) != spec]
        strangers = set(found) - self._tally.uncertain
        if lost or strangers:
            self._tally.problem(f"gateways: {lost} are lost, {sorted(strangers)} should be gone")


if __name__ == "__main__":
    sys.exit(main())

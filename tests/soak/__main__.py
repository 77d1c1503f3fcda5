"""The soak test, of 10 minutes and 200,000 calls by default. It exits with 1 if it fails.

Every kind of client calls an emulator in its own process, which injects random faults and reloads from time to time.
The result of every operation is checked, and the resources of neither process may grow.
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
from tests.support.inference_kinds import open_inference
from tests.support.ready_gateways import ROUTINGS, deploy

from .emulator import TOKEN, EmulatorProcess, emulator_process
from .load import FIELDS, SETTINGS, ZONES, Counters, Worker
from .report import Result, report_text
from .watch import Sample, sample, settled, trends

WORKERS = 4
"""How many workers share a client of each kind."""
SHARED, SHARED_ID = "front", "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
"""The gateway that serves completions."""
SHARED_FIELDS: dict[str, Any] = {"core_weave_auth": types.CoreWeaveAuth(), **ROUTINGS["body"]}
SAMPLES = 400
RELOADS = 30
MIN_RELOAD_INTERVAL = 2.0
"""Minimum of seconds between two reloads."""
GROWTH_CHECKED_FROM = 60.0
"""Seconds from which on growth is checked; a shorter run is all warm-up."""
MAX_STRETCH = 3
"""How many times longer it may take to reach the number of calls."""


def main() -> int:
    """Run the soak test with the arguments of the command line, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="minimum duration (default: %(default)s)")
    parser.add_argument("--calls", type=int, default=200_000, help="minimum number of calls (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the load and of the faults (default: %(default)s)")
    options = parser.parse_args()
    warnings.simplefilter("error")
    with emulator_process() as emulator:
        result = asyncio.run(Soak(emulator, options.seed).run(options.seconds, options.calls))
    sys.stdout.write(report_text(result))
    return 1 if result.problems() else 0


class Soak:
    """A run against an emulator."""

    def __init__(self, emulator: EmulatorProcess, seed: int) -> None:
        self._emulator = emulator
        self._seed = seed
        self._counters = Counters()
        self._reloads = 0

    async def run(self, seconds: float, calls: int) -> Result:
        """Run once briefly, then for the given time; compare the resources in use before and after."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self._counters.problem(f"event loop: {context}"))
        sys.unraisablehook = lambda found: self._counters.problem(f"unraisable: {found.exc_value!r}")
        own_gateways = self._create_gateways()
        await self._run_workers(own_gateways, 0.5, 0)
        before = await settled(self._emulator.pid)
        self._emulator.begin(self._seed)
        started = time.monotonic()
        samples = await self._run_workers(own_gateways, seconds, calls)
        duration = time.monotonic() - started
        calls, faults = self._emulator.end()
        self._check_gateways(own_gateways)
        return Result(
            seconds=duration,
            calls=calls,
            reloads=self._reloads,
            counters=self._counters,
            faults=faults,
            trends=trends(samples),
            growth_checked=seconds >= GROWTH_CHECKED_FROM,
            before=before,
            after=await settled(self._emulator.pid, before),
            error_output=self._emulator.error_output(),
        )

    def _create_gateways(self) -> Mapping[str, types.GatewaySpec]:
        """Create a gateway with a model behind it, and one for each worker; return the latter by name."""
        names = [f"{kind}-{number}" for kind in KINDS for number in range(WORKERS)]
        with Client(TOKEN, endpoint=self._emulator.endpoint) as client:
            deploy(client, client.gateways.create(SHARED, id=SHARED_ID, **SHARED_FIELDS, wait=True), wait=True)
            return {name: client.gateways.create(name, zones=ZONES[:1], **FIELDS).spec for name in names}

    async def _run_workers(
        self, own_gateways: Mapping[str, types.GatewaySpec], seconds: float, calls: int
    ) -> Sequence[Sample]:
        """Run all workers, and return the samples that were taken meanwhile."""
        stop = asyncio.Event()
        with ThreadPoolExecutor(len(own_gateways) + 1) as threads:
            asyncio.get_running_loop().set_default_executor(threads)
            async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
                for kind in KINDS:
                    for worker in await self._open_workers(kind, own_gateways, stack):
                        group.create_task(worker.run(stop))
                samples = await self._sample(seconds, calls)
                stop.set()
        return samples

    async def _open_workers(
        self, kind: str, own_gateways: Mapping[str, types.GatewaySpec], stack: AsyncExitStack
    ) -> Sequence[Worker]:
        """Open a client and an inference, which stay open until all workers are done; return their workers."""
        endpoint, index = self._emulator.endpoint, KINDS.index(kind)
        client = await stack.enter_async_context(open_client(kind, endpoint, TOKEN, **SETTINGS))
        version = 1 + index // 2 % 2
        inference = await stack.enter_async_context(
            open_inference(f"{kind.rpartition('-')[2]}-{version}", f"{endpoint}/gateway/{SHARED_ID}", TOKEN, **SETTINGS)
        )
        specs = [spec for name, spec in own_gateways.items() if name.rpartition("-")[0] == kind]
        return [Worker(kind, endpoint, client, inference, spec, self._counters, self._seed) for spec in specs]

    async def _sample(self, seconds: float, calls: int) -> Sequence[Sample]:
        """Take samples until both the time and the number of calls are reached; reload from time to time."""
        samples, started = list[Sample](), time.monotonic()
        interval = next_reload = max(MIN_RELOAD_INTERVAL, seconds / RELOADS)
        while True:
            await asyncio.sleep(max(0.05, seconds / SAMPLES))
            samples.append(sample(self._emulator.pid))
            passed = time.monotonic() - started
            if passed >= next_reload:
                await asyncio.to_thread(self._emulator.reload)
                self._reloads += 1
                next_reload += interval
            made = await asyncio.to_thread(self._emulator.calls)
            if passed >= seconds and made >= calls:
                return samples
            if passed >= MAX_STRETCH * seconds:
                self._counters.problem(f"only {made} of {calls} calls in {passed:.0f} s")
                return samples

    def _check_gateways(self, own_gateways: Mapping[str, types.GatewaySpec]) -> None:
        """Check that exactly those gateways exist that should."""
        with Client(TOKEN, endpoint=self._emulator.endpoint) as client:
            found = {each.spec.name: each.spec for each in client.gateways.list()}
        del found[SHARED]
        missing = [name for name, spec in own_gateways.items() if found.pop(name, None) != spec]
        unexpected = set(found) - self._counters.undetermined
        if missing or unexpected:
            self._counters.problem(
                f"gateways: {missing} are missing or changed, {sorted(unexpected)} should be deleted"
            )


if __name__ == "__main__":
    sys.exit(main())

"""Measure CPU time of this process, with the two sides of a comparison taking turns in one run."""

import asyncio
import gc
import resource
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median, quantiles

AsyncCall = Callable[[], Awaitable[object]]
Call = Callable[[], object]


def cpu() -> float:
    """Return the CPU time used by all threads of this process, in seconds, in user and system mode."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def spread(found: Sequence[float]) -> float:
    """Return how far the middle half of what was found reaches, as a share of the median; 0 for a single figure."""
    if len(found) < 2:
        return 0.0
    low, _, high = quantiles(found, n=4, method="inclusive")
    return (high - low) / abs(median(found) or 1.0)


async def in_flight(call: AsyncCall, at_once: int, calls: int) -> None:
    """Make an async call `calls` times, `at_once` of them concurrently."""

    async def worker() -> None:
        for _ in range(max(1, calls // at_once)):
            await call()

    if at_once == 1:
        await worker()
    else:
        await asyncio.gather(*(worker() for _ in range(at_once)))


def on_threads(call: Call, threads: int, calls: int) -> None:
    """Make a synchronous call `calls` times, spread over a number of threads."""

    def worker(_: int) -> None:
        for _ in range(max(1, calls // threads)):
            call()

    if threads == 1:
        worker(0)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(worker, range(threads)))


async def ratio_async(ours: AsyncCall, theirs: AsyncCall, at_once: int, calls: int, pairs: int) -> list[float]:
    """Return the CPU time of `ours` divided by that of `theirs`, for each pair."""
    ratios = list[float]()
    for call in (ours, theirs):
        await in_flight(call, at_once, calls // 4)
    for turn in range(pairs):
        spent = dict[AsyncCall, float]()
        for call in (ours, theirs) if turn % 2 else (theirs, ours):
            gc.collect()
            before = cpu()
            await in_flight(call, at_once, calls)
            spent[call] = cpu() - before
        ratios.append(spent[ours] / spent[theirs])
    return ratios


def ratio_sync(ours: Call, theirs: Call, threads: int, calls: int, pairs: int) -> list[float]:
    """Return the same ratios for synchronous calls."""
    ratios = list[float]()
    for call in (ours, theirs):
        on_threads(call, threads, calls // 4)
    for turn in range(pairs):
        spent = dict[Call, float]()
        for call in (ours, theirs) if turn % 2 else (theirs, ours):
            gc.collect()
            before = cpu()
            on_threads(call, threads, calls)
            spent[call] = cpu() - before
        ratios.append(spent[ours] / spent[theirs])
    return ratios


async def seconds_async(call: AsyncCall, at_once: int, calls: int, turns: int) -> list[float]:
    """Return the CPU time of one call in seconds, for each turn."""
    await in_flight(call, at_once, max(1, calls // 4))
    found = list[float]()
    for _ in range(turns):
        gc.collect()
        before = cpu()
        await in_flight(call, at_once, calls)
        found.append((cpu() - before) / calls)
    return found

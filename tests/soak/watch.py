"""The resources of both processes, sampled over time, and whether they grow."""

import asyncio
import gc
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from operator import le
from pathlib import Path
from statistics import fmean, linear_regression

MIB = 2**20


@dataclass(frozen=True)
class Figure:
    """A number that must not grow."""

    name: str
    allowed_growth: float
    """By how much the least-squares line may rise over the second half of the soak test."""
    allowed_leak: float
    """By how much it may be higher after everything was closed than before anything was opened."""


MEMORY = "memory of the client, MiB"
FIGURES: Sequence[Figure] = (
    Figure(MEMORY, 8, float("inf")),
    Figure("its descriptors", 16, 4),
    Figure("its threads", 16, 32),  # gRPC and pyqwest keep as many as they needed at once
    Figure("its Python threads", 4, 0),
    Figure("its asyncio tasks", 8, 0),
    Figure("memory of the emulator, MiB", 8, float("inf")),
    Figure("its descriptors (emulator)", 16, 4),
    Figure("its threads (emulator)", 4, 4),
)
"""8 MiB over the 100,000 calls of that half are 84 bytes per call, less than any Python object that could leak."""

Sample = tuple[float, ...]
"""A value of each figure, in the order of `FIGURES`."""


def sample(emulator: int) -> Sample:
    """Return the current values, given the id of the emulator's process."""
    client, server = (_usage(process) for process in (os.getpid(), emulator))
    return (*client, threading.active_count(), len(asyncio.all_tasks()), *server)


def _usage(process: int) -> tuple[float, float, float]:
    """Return resident memory in MiB, and the numbers of descriptors and threads."""
    folder = Path(f"/proc/{process}")
    pages = int((folder / "statm").read_text().split()[1])
    descriptors, threads = (len(list((folder / kind).iterdir())) for kind in ("fd", "task"))
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB, descriptors, threads


async def settled(emulator: int, expected: Sample = ()) -> Sample:
    """Return a sample once no value is above `expected`, or after some seconds: sockets and threads take time to end.

    The helper threads that read bodies of errors end when they have been idle for 2 s.
    """
    end = time.monotonic() + (5 if expected else 1)
    while True:
        gc.collect()
        found = sample(emulator)
        if time.monotonic() > end or (expected and all(map(le, found, expected))):
            return found
        await asyncio.sleep(0.05)


@dataclass(frozen=True)
class Trend:
    """How a figure changed over the second half of the soak test."""

    figure: Figure
    third: float
    """Mean of the third quarter."""
    fourth: float
    """Mean of the fourth quarter."""
    growth: float
    """Rise of the least-squares line over that half."""
    most: float

    @property
    def grows(self) -> bool:
        """Whether it rose by more than allowed."""
        return self.growth > self.figure.allowed_growth


def trends(samples: Sequence[Sample]) -> Sequence[Trend]:
    """Return how each figure changed; the first half of the samples is the warm-up."""
    later = samples[len(samples) // 2 :]
    return [_trend(figure, values) for figure, values in zip(FIGURES, zip(*later, strict=True), strict=True)]


def _trend(figure: Figure, values: Sequence[float]) -> Trend:
    slope, _ = linear_regression(range(len(values)), values)
    middle = len(values) // 2
    return Trend(figure, fmean(values[:middle]), fmean(values[middle:]), slope * (len(values) - 1), max(values))

"""What is held by both processes, sampled over time, and whether it grows."""

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
    """Something that must stay flat."""

    name: str
    growth: float
    """By how much the line of least squares may rise over the second half of the soak."""
    left: float
    """By how much more of it there may be after everything was closed than before anything began."""


MEMORY = "memory of the client, MiB"
FIGURES: Sequence[Figure] = (
    Figure(MEMORY, 8, float("inf")),
    Figure("its descriptors", 16, 4),
    Figure("its threads", 16, 32),  # gRPC and pyqwest keep as many as they once needed at a time
    Figure("its threads of Python's", 4, 0),
    Figure("its asyncio tasks", 8, 0),
    Figure("memory of the emulator, MiB", 8, float("inf")),
    Figure("its descriptors (emulator)", 16, 4),
    Figure("its threads (emulator)", 4, 4),
)
"""8 MiB over the 100,000 calls of that half are 84 bytes a call, less than any Python object that could be lost."""

Sample = tuple[float, ...]
"""A value of each figure, in their order."""


def sample(emulator: int) -> Sample:
    """What is held right now, by this process and by the emulator's, whose id is given."""
    client, server = (_held(process) for process in (os.getpid(), emulator))
    return (*client, threading.active_count(), len(asyncio.all_tasks()), *server)


def _held(process: int) -> tuple[float, float, float]:
    """Resident memory in MiB, descriptors and threads."""
    folder = Path(f"/proc/{process}")
    pages = int((folder / "statm").read_text().split()[1])
    descriptors, threads = (len(list((folder / kind).iterdir())) for kind in ("fd", "task"))
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB, descriptors, threads


async def settled(emulator: int, wanted: Sample = ()) -> Sample:
    """A sample once no figure is above what is wanted, or after a second: sockets and threads end in their time."""
    end = time.monotonic() + 1
    while True:
        gc.collect()
        found = sample(emulator)
        if time.monotonic() > end or (wanted and all(map(le, found, wanted))):
            return found
        await asyncio.sleep(0.05)


@dataclass(frozen=True)
class Course:
    """How one figure went over the second half of the soak."""

    figure: Figure
    half: float
    """Mean of the quarter after the middle."""
    end: float
    """Mean of the last quarter."""
    growth: float
    """Rise of the line of least squares over that half."""
    most: float

    @property
    def grows(self) -> bool:
        """Whether it rose by more than it may."""
        return self.growth > self.figure.growth


def courses(samples: Sequence[Sample]) -> Sequence[Course]:
    """How each figure went; the first half of the samples is the time to warm up."""
    later = samples[len(samples) // 2 :]
    return [_course(figure, values) for figure, values in zip(FIGURES, zip(*later, strict=True), strict=True)]


def _course(figure: Figure, values: Sequence[float]) -> Course:
    slope, _ = linear_regression(range(len(values)), values)
    middle = len(values) // 2
    return Course(figure, fmean(values[:middle]), fmean(values[middle:]), slope * (len(values) - 1), max(values))

"""A benchmark: a figure with a name, a goal, and a function that measures it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ._peer import Peer


@dataclass(frozen=True)
class Effort:
    """How much to measure."""

    pairs: int = 15
    """Number of times that the two sides are measured in turn."""
    calls: int = 2000
    """Calls per turn, for benchmarks that count calls."""


FULL = Effort()
SHORT = Effort(pairs=7, calls=600)


@dataclass(frozen=True)
class Case:
    """A figure to measure, and its goal."""

    name: str
    unit: str
    goal: float
    measure: Callable[[Peer, Effort], Sequence[float]]
    """Returns what each pair or turn gave; the figure is their median."""
    at_least: bool = False
    """Whether higher values are better; by default, lower values are."""
    against: str = ""
    """What the library is compared with."""
    guarded: bool = False
    """Whether `--guard` measures it too; only for ratios, because times depend on the machine and its load."""

    def met(self, value: float) -> bool:
        """Return whether a value meets the goal."""
        return value >= self.goal if self.at_least else value <= self.goal

    def alarming(self, value: float) -> bool:
        """Return whether a value is so far off that something must be broken: a ratio above 1.25, or worse."""
        return value < self.goal / 1.2 if self.at_least else value > max(self.goal, 1.05) * 1.25 / 1.05

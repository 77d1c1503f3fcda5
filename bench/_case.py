"""What a benchmark is: a figure with a name, a goal, and a way to measure it."""

from collections.abc import Callable
from dataclasses import dataclass

from ._peer import Peer


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    pairs: int = 15
    """How often ours and theirs take turns."""
    calls: int = 2000
    """Calls in a turn, where calls are counted."""


FULL = Effort()
SHORT = Effort(pairs=7, calls=600)


@dataclass(frozen=True)
class Case:
    """One figure."""

    name: str
    unit: str
    goal: float
    measure: Callable[[Peer, Effort], float]
    at_least: bool = False
    """Whether more is better; otherwise less is."""
    against: str = ""
    """What ours is compared with."""
    guarded: bool = False
    """Whether `--guard` measures it too: ratios only, since times depend on the machine and on its load."""

    def met(self, value: float) -> bool:
        """Whether a value reaches the goal."""
        return value >= self.goal if self.at_least else value <= self.goal

    def alarming(self, value: float) -> bool:
        """Whether a value is so far off that something must have broken: 1.25 where the goal is 1.05."""
        return value < self.goal / 1.2 if self.at_least else value > self.goal * 1.25 / 1.05

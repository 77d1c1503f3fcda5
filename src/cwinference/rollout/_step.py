"""A step of a rollout, as a gate and `on_step` see it, and the words for what comes of it."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .. import types
from .._html import Displayed, Table
from .._text import one_line

Outcome: TypeAlias = Literal["promoted", "reverted", "paused"]
"""How a run of a rollout has ended."""

Verdict: TypeAlias = Literal["pass", "fail", "wait"]
"""What a gate says of a step: go on, go back, or ask again later."""


@dataclass(frozen=True)
class Step(Displayed):
    """A step of a rollout: what a gate decides on, and what `on_step` gets.

    Attributes:
        number: which step it is, counted from 1.
        of: how many there are.
        percent: the share of the new deployment, in percent of what both have together, that it is to show at most.
        new_weight, old_weight: the weights of the new deployment and of the one it replaces.
        is_passed_over: whether it is left out, because whole weights cannot show it.
        new, old: the two deployments, as they were read last.
        rollout: a random id of the rollout.
    """

    number: int
    of: int
    percent: float
    new_weight: int
    old_weight: int
    is_passed_over: bool
    new: types.Deployment = field(repr=False)
    old: types.Deployment = field(repr=False)
    rollout: str

    def _as_tables(self) -> Iterable[Table]:
        rows = [(each.spec.name, weight) for each, weight in ((self.new, self.new_weight), (self.old, self.old_weight))]
        yield Table(rows, ("NAME", "WEIGHT"), str(self), right={1})

    def __str__(self) -> str:
        what = f"step {self.number} of {self.of}, {self.percent:g} %"
        new, old = (one_line(each.spec.name) for each in (self.new, self.old))
        if self.is_passed_over:
            return f"{what}: skipped, because whole weights with the sum {self.new_weight + self.old_weight} " + (
                "cannot show it"
            )
        return f"{what}: {new} has weight {self.new_weight}, {old} has {self.old_weight}"


Gate: TypeAlias = Callable[[Step], Verdict | Awaitable[Verdict]]
"""Decides after each step; on `AsyncClient` it may be async."""

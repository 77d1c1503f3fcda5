"""Random schedules of a rollout: other people, gates that fail, an API that fails, kills. `make soak` runs 1,000.

Whatever happens, no moment sends more to the new deployment than the step says, nor leaves the two without weight; and
what the rollout returns is true.
"""

import os
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cwinference import errors, types
from cwinference.emulator.behavior import Behavior, Fate
from cwinference.rollout import Step, _journal
from tests.support.rollouts import STEPS, RolloutWorld

SCHEDULES = int(os.environ.get("CWINFERENCE_SCHEDULES", "100"))
SUMS = [(0, 100), (0, 10), (0, 1), (3, 7), (40, 60), (0, 1000)]
FOREIGN: list[dict[str, Any]] = [
    {"traffic": {"weight": 77}},
    {"autoscaling": {"max": 9}},
    {"disabled": True},
    {"runtime": {"version": "0.23.0"}},
]
VERDICTS = [["pass"], ["pass"] * 9 + ["fail"], ["pass", "wait"], ["pass", "wait", "fail"]]
FAILURES = [errors.Unavailable, errors.Internal, errors.DeadlineExceeded, errors.Aborted]


class Killed(BaseException):
    """What stands for the end of the process."""


class Schedule:
    """What happens in one world, decided by a seed."""

    def __init__(self, seed: int, world: RolloutWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        self.random = random.Random(seed)  # noqa: S311
        self.world = world
        self.failure_rate = self.random.choice([0, 0, 0.02, 0.2])
        self.kill_rate = self.random.choice([0, 0, 0.005, 0.03])
        self.foreign_rate = self.random.choice([0, 0, 0.01])
        self.verdicts = self.random.choice(
            [["pass"], ["pass"] * 9 + ["fail"], ["pass", "wait"], ["pass", "wait", "fail"]]
        )
        self.foreign = 0
        """How often somebody else has changed something since the last revert."""
        self.is_dead = self.is_quiet = False
        self.share = 0.0
        """The largest share that the new one may have now, if nobody else has changed the weights."""
        world.session.before = lambda request: self._happens()
        world.session.after = lambda request: self._happens()
        monkeypatch.setattr(_journal, "sync", lambda descriptor: self._maybe_die())
        if self.random.random() < 0.1:
            kind: Any = self.random.choice(["FAILED", "ERROR"])
            world.api.emulated.fates["v2"] = Fate(kind, strikes_after=self.random.uniform(1, 400))

    def gate(self, step: Step) -> Any:
        self._maybe_die()
        if self.random.random() < 0.02:
            raise OSError("the monitoring is down")
        return self.random.choice(self.verdicts)

    def _happens(self) -> None:
        self._check()
        self._maybe_die()
        if self.is_quiet:
            return
        if self.world.path.exists() and self.random.random() < self.foreign_rate:
            self._change()
        if self.random.random() < self.failure_rate:
            raise self.random.choice([errors.Unavailable, errors.Internal, errors.DeadlineExceeded, errors.Aborted])(
                "no"
            )

    def _maybe_die(self) -> None:
        if self.is_dead or (not self.is_quiet and self.random.random() < self.kill_rate):
            self.is_dead = True
            raise Killed

    def _change(self) -> None:
        with suppress(Exception):  # it may be refused, as anybody's
            self.world.change(self.random.choice([self.world.v1, self.world.v2]), **self.random.choice(FOREIGN))
        self.foreign += 1

    def _check(self) -> None:
        new, old = self.world.weights
        assert new + old > 0
        if not self.foreign:
            assert new / (new + old) <= self.share

    def report(self, step: Step) -> None:
        self.share = max(self.share, STEPS[min(step.number, len(STEPS) - 1)] / 100)


@pytest.mark.parametrize("part", range(4))
def test_whatever_happens_it_ends_as_it_says(part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = list[str]()
    for seed in range(part, SCHEDULES, 4):
        folder = tmp_path / str(seed)
        folder.mkdir()
        outcomes.append(_run(seed, folder, monkeypatch))
    assert {"promoted", "reverted"} <= {*outcomes}


def _run(seed: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    weights = SUMS[seed % len(SUMS)]
    world = RolloutWorld(folder, weights, behavior=Behavior(status_lag=seed % 3))
    if seed % 4 == 0:
        world.deploy("other", 50)
    schedule = Schedule(seed, world, monkeypatch)
    schedule.share = max(STEPS[0] / 100, weights[0] / sum(weights))
    ended = _until_it_ends(world, schedule)
    schedule.is_quiet = True
    if ended is None:
        assert world.specs() == world.former or schedule.foreign
        return "not begun"
    if ended == "promoted" and not schedule.foreign:
        assert world.weights == (sum(weights), 0), seed
    if ended == "reverted" and not schedule.foreign:
        assert world.specs() == world.former, seed
    _revert(world, schedule, seed)
    return ended


def _until_it_ends(world: RolloutWorld, schedule: Schedule) -> str | None:
    """Begin the rollout, and resume it whatever ends it, until it is promoted, reverted, or somebody is in the way."""
    rollout: Any = None
    for _ in range(40):
        schedule.is_dead = False
        try:
            if world.path.exists():
                rollout = world.resumed(gate=schedule.gate)
            elif rollout is None:
                rollout = world.rollout(gate=schedule.gate, soak=30, patience=100)
            outcome: str = rollout.run(on_step=schedule.report)
        except Killed:
            rollout = None
        except errors.Conflict:
            assert schedule.foreign
            return "stopped"
        except (errors.ApiError, errors.ResourceFailed, OSError):
            pass
        else:
            if outcome != "paused":
                return outcome
    return "stuck" if world.path.exists() else None


def _revert(world: RolloutWorld, schedule: Schedule, seed: int) -> None:
    """Whatever it is now, it can be reverted when the old one is READY."""
    schedule.is_dead = False
    world.api.emulated.fates.clear()
    rest = [each.runtime for each in world.specs()]
    for name in (world.v1, world.v2):
        if not world.api.deployment(name).spec.disabled:
            world.change(name)
    world.clock.sleep(20)
    assert world.resumed().revert() == "reverted"
    for before, now, runtime in zip(world.former, world.specs(), rest, strict=True):
        expected = types.DeploymentSpec()
        expected.CopyFrom(before)
        expected.runtime.CopyFrom(runtime)
        assert now == expected, seed

"""A rollout that is killed anywhere, and resumed, ends promoted or exactly restored."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cwinference import Client, errors, types
from cwinference.emulator import Emulator
from cwinference.rollout import Step, _journal
from tests.support.ready_gateways import deploy, ready_gateway
from tests.support.rollouts import RolloutWorld


class Killed(BaseException):
    """What stands for the end of the process: nothing that a rollout does afterwards reaches the API or the disk."""


class Killer:
    """Ends a rollout at one of the places where it writes: the number-th attempt, sync, or rename, before or after."""

    def __init__(self, world: RolloutWorld, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
        self.world = world
        self.at: int | None = None
        """At which occasion it kills; None for none."""
        self.occasions = 0
        self._is_dead = False
        self._sync: Callable[[int], None] = _journal.sync
        monkeypatch.setattr(_journal, "sync", self._on_sync if place == "sync" else lambda descriptor: self._alive())
        self._is_counted: Callable[[Any], bool] = lambda request: isinstance(request, types.UpdateDeploymentRequest)
        if place == "call":
            self._is_counted = lambda request: True
        world.session.before = self._on_call if place in ("before a write", "call") else lambda request: self._alive()
        world.session.after = self._on_call if place == "after a write" else lambda request: None

    def revive(self) -> None:
        """Let the next process work undisturbed."""
        self.at, self._is_dead, self.occasions = None, False, 0

    def _alive(self) -> None:
        if self._is_dead:
            raise Killed

    def _occasion(self) -> None:
        self._alive()
        self.occasions += 1
        if self.occasions == self.at:
            self._is_dead = True
            raise Killed

    def _on_call(self, request: Any) -> None:
        if self._is_counted(request):
            self._occasion()
        self._alive()

    def _on_sync(self, descriptor: int) -> None:
        self._occasion()


def promote(world: RolloutWorld) -> None:
    world.rollout(soak=0).run()


def fail(world: RolloutWorld) -> None:
    world.rollout(soak=0, gate=_fails_at_25).run()


def revert(world: RolloutWorld) -> None:
    world.rollout(soak=0).run()
    world.resumed().revert()


def _fails_at_25(step: Step) -> Any:
    return "fail" if step.percent == 25 else "pass"


PLACES = ["before a write", "after a write", "sync", "call"]


@pytest.mark.parametrize("weights", [(0, 100), (0, 10), (30, 70)])
@pytest.mark.parametrize("story", [promote, fail, revert])
@pytest.mark.parametrize("place", PLACES)
def test_killed_anywhere_and_resumed_it_ends_promoted_or_restored(
    place: str,
    story: Callable[[RolloutWorld], None],
    weights: tuple[int, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = RolloutWorld(tmp_path, weights)
    killer = Killer(world, monkeypatch, place)
    story(world)
    occasions = killer.occasions
    assert occasions > 4
    for at in range(1, occasions + 1, 1 if place != "call" else 11):
        (tmp_path / str(at)).mkdir()
        world = RolloutWorld(tmp_path / str(at), weights)
        killer = Killer(world, monkeypatch, place)
        killer.at = at
        with pytest.raises(Killed):
            story(world)
        killer.revive()
        _check_end(world)


def _check_end(world: RolloutWorld) -> None:
    """Resume, and check that it ends promoted or exactly restored, and that a revert restores it from there."""
    if not world.path.exists():
        assert world.specs() == world.former, "nothing was begun"
        return
    rollout = world.resumed(gate=_fails_at_25 if world.phase() == "reverting" else None)
    outcome = rollout.run()
    total = sum(each.traffic.weight for each in world.former)
    assert (outcome, world.weights) == ("promoted", (total, 0)) or (
        outcome == "reverted" and world.specs() == world.former
    )
    assert [each.name for each in world.path.parent.iterdir()] == [world.path.name], "nothing is left next to it"
    assert rollout.revert() == "reverted"
    assert world.specs() == world.former


@pytest.mark.parametrize("place", ["before a write", "after a write", "sync"])
def test_killed_twice_it_can_be_resumed_as_well(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for first in (1, 2, 4, 6):
        for second in (1, 3, 6):
            folder = tmp_path / f"{first} {second}"
            folder.mkdir()
            world = RolloutWorld(folder)
            killer = Killer(world, monkeypatch, place)
            killer.at = first
            with pytest.raises(Killed):
                promote(world)
            killer.revive()
            killer.at = second
            if world.path.exists():
                with suppress(Killed):
                    world.resumed().run()
            killer.revive()
            _check_end(world)


def test_a_failing_disk_stops_it_before_the_write_that_depends_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = RolloutWorld(tmp_path)
    syncs = 0

    def sync(descriptor: int) -> None:
        nonlocal syncs
        syncs += 1
        if syncs > 4:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(_journal, "sync", sync)
    with pytest.raises(OSError, match=r"No space left on device: '.*rollout.json'"):
        world.rollout(soak=0).run()
    assert world.updates == [("v2", 1), ("v1", 99)]
    monkeypatch.undo()
    assert world.resumed().run() == "promoted"


def test_a_journal_is_synced_before_each_write_that_depends_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = RolloutWorld(tmp_path)
    events = list[str]()

    def synced(descriptor: int) -> None:
        events.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    monkeypatch.setattr(_journal, "sync", synced)
    world.session.before = lambda request: (
        events.append("write") if isinstance(request, types.UpdateDeploymentRequest) else None
    )
    world.rollout(soak=0, steps=(5, 100)).run()
    synced_pair = ["file", "folder"]
    assert events == [*synced_pair, *synced_pair, "write", "write", *synced_pair, "write", "write", *synced_pair]


@pytest.mark.parametrize("after_lines", [1, 2, 3])
def test_a_process_that_gets_sigkill_can_be_replaced(after_lines: int, tmp_path: Path) -> None:
    with ready_gateway() as ready:
        client, journal = ready.client, str(tmp_path / "rollout.json")
        deploy(client, ready.gateway, "v1", traffic={"weight": 100}, wait=True)
        deploy(client, ready.gateway, "v2", wait=True)
        client.deployments.delete(ready.deployment.spec.id)
        client.deployments.wait_deleted(ready.deployment.spec.id)
        with _started(ready.emulator, journal) as process:
            assert process.stdout is not None
            for _ in range(after_lines):
                assert process.stdout.readline().startswith("step ")
            process.send_signal(signal.SIGKILL)
        with _started(ready.emulator, journal) as process:
            printed, _ = process.communicate(timeout=60)
        assert printed.splitlines()[-1] == "promoted"
        assert _weights(client) == {"v1": 0, "v2": 100}


def _started(emulator: Emulator, journal: str) -> "subprocess.Popen[str]":
    program = [sys.executable, "-m", "tests.support.rollout_program", emulator.endpoint, emulator.token, journal]
    return subprocess.Popen(program, stdout=subprocess.PIPE, text=True)


def _weights(client: Client) -> dict[str, int]:
    return {each.spec.name: each.spec.traffic.weight for each in client.deployments.list()}


def test_two_processes_cannot_use_one_journal(tmp_path: Path) -> None:
    world = RolloutWorld(tmp_path)

    def gate(step: Step) -> Any:
        with pytest.raises(errors.ConfigurationError, match=r"journal: .*rollout.json is in use by another process"):
            world.resumed().run()
        with pytest.raises(errors.ConfigurationError, match=r"is in use by another process"):
            world.resumed().revert()
        return "pass"

    assert world.rollout(gate=gate, soak=0).run() == "promoted"

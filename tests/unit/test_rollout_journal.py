"""The journal of a rollout: whatever is not a whole journal of this rollout is refused by name, and left alone."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from cwinference import errors
from cwinference.rollout import Step, _journal
from cwinference.rollout._journal import RolloutJournal, on_disk
from cwinference.rollout._record import RolloutRecord, _checksum
from cwinference.rollout._rollout import progress_of
from tests.support.rollouts import RolloutWorld


@pytest.fixture
def world(tmp_path: Path) -> RolloutWorld:
    world = RolloutWorld(tmp_path)
    world.rollout(soak=0, steps=(10, 100), gate=lambda step: "wait", patience=0).run()
    return world


def test_a_journal_that_exists_is_refused_and_says_of_what_it_is(world: RolloutWorld) -> None:
    before = world.path.read_bytes()
    problem = rf"journal: {world.path} exists already \(of the rollout of v2 in place of v1\); for another"
    with pytest.raises(errors.ConfigurationError, match=problem):
        world.client.rollout("v3", replaces="v4", journal=world.path)
    assert world.path.read_bytes() == before


def test_a_directory_is_refused_as_one(tmp_path: Path) -> None:
    world = RolloutWorld(tmp_path)
    with pytest.raises(errors.ConfigurationError, match=f"journal: {tmp_path} is a directory; name a file in it"):
        world.client.rollout("v2", replaces="v1", journal=tmp_path)


def test_progress_shows_whether_a_process_is_at_work(tmp_path: Path) -> None:
    world = RolloutWorld(tmp_path)
    seen = list[Any]()

    def ask(step: Step) -> Any:
        seen.append(progress_of(world.path))
        if step.number == 2:
            raise KeyboardInterrupt
        return "pass"

    with pytest.raises(KeyboardInterrupt):
        world.rollout(soak=0, gate=ask).run()
    seen.append(progress_of(world.path))
    assert [(each["phase"], each["isRun"]) for each in seen] == [
        ("running", True),
        ("running", True),
        ("running", False),
    ]
    assert world.resumed().run() == "promoted"
    assert progress_of(world.path)["isRun"] is False


@pytest.mark.parametrize("content", [b"", b"mine", b"{}\n"])
def test_a_file_of_somebody_else_is_refused_too(tmp_path: Path, content: bytes) -> None:
    world = RolloutWorld(tmp_path)
    world.path.write_bytes(content)
    with pytest.raises(errors.ConfigurationError, match=r"journal: .*rollout.json exists already \((is no|is empty)"):
        world.rollout()
    with pytest.raises(errors.ConfigurationError, match=r"journal: .*rollout.json (is no journal of a|is empty)"):
        world.resumed()
    assert world.path.read_bytes() == content


def test_a_journal_that_appears_in_the_meantime_is_not_overwritten(tmp_path: Path) -> None:
    world = RolloutWorld(tmp_path)
    rollout = world.rollout()
    world.path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(errors.ConfigurationError, match="exists already"):
        rollout.run()
    world.path.unlink()
    world.session.before = lambda request: world.path.write_text("mine")
    with pytest.raises(errors.ConfigurationError, match="exists already"):
        rollout.run()
    assert world.updates == []
    assert world.path.read_text() == "mine"
    assert [each.name for each in tmp_path.iterdir()] == [world.path.name]


def test_a_torn_journal_is_refused_wherever_it_is_torn(world: RolloutWorld) -> None:
    content = world.path.read_bytes()
    for size in range(0, len(content), 7):
        world.path.write_bytes(content[:size])
        with pytest.raises(errors.ConfigurationError, match=r"journal: .*rollout.json is (torn|empty|no journal)"):
            world.resumed()
    world.path.write_bytes(content.replace(b'"new": 10', b'"new": 99'))
    with pytest.raises(errors.ConfigurationError, match="torn or was edited: its checksum is wrong"):
        world.resumed()


def edited(path: Path, **changes: Any) -> None:
    body = json.dumps({**json.loads(path.read_text().rpartition("\nsha256")[0]), **changes})
    path.write_text(f"{body}\n{_checksum(body)}\n")


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "something else"},
        {"phase": "done"},
        {"step": 9},
        {"step": -1},
        {"new": None},
        {"new": {"id": "x"}},
        {"target": [1, 2]},
        {"steps": 5},
        {"more": 1},
    ],
)
def test_a_journal_with_wrong_content_is_refused(world: RolloutWorld, changes: Any) -> None:
    edited(world.path, **changes)
    with pytest.raises(errors.ConfigurationError, match="is no journal of a rollout"):
        world.resumed()


def test_a_journal_of_a_newer_release_is_refused(world: RolloutWorld) -> None:
    edited(world.path, version=2, more=1)
    with pytest.raises(errors.ConfigurationError, match=r"was written by a newer release \(version 2\); upgrade"):
        world.resumed()


def test_a_missing_journal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigurationError, match=r"rollout.json does not exist; client.rollout begins"):
        RolloutWorld(tmp_path).resumed()
    with pytest.raises(errors.ConfigurationError, match="Is a directory"):
        RolloutJournal(tmp_path).read()


def test_a_deployment_that_the_journal_names_has_to_exist(world: RolloutWorld) -> None:
    record: RolloutRecord = RolloutJournal(world.path).read()
    edited(world.path, old={**record.old.__dict__, "id": "00000000-0000-0000-0000-000000000000"})
    with pytest.raises(errors.Conflict, match="Deployment v1 is gone"):
        world.resumed().run()


def test_what_a_killed_process_has_left_is_removed(world: RolloutWorld) -> None:
    folder = world.path.parent
    (folder / f".{world.path.name}.0123.tmp").write_text("torn")
    (folder / ".other.json.0123.tmp").write_text("not ours")
    assert world.resumed().run() == "promoted"
    assert sorted(each.name for each in folder.iterdir()) == [".other.json.0123.tmp", world.path.name]


def test_no_descriptor_is_left_open(world: RolloutWorld) -> None:
    before = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(3):
        world.resumed().run()
        world.resumed().revert()
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_without_locks_as_on_windows_it_works_as_well(
    world: RolloutWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_journal, "_HAS_LOCKS", False)
    assert world.resumed().run() == "promoted"
    assert world.resumed().revert() == "reverted"
    (tmp_path / "another").mkdir()
    assert RolloutWorld(tmp_path / "another").rollout(soak=0).run() == "promoted"


def test_a_journal_stays_where_it_is_when_the_working_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = RolloutWorld(tmp_path)
    monkeypatch.chdir(tmp_path)
    rollout = world.rollout(journal=world.path.name, soak=0)
    monkeypatch.chdir("/")
    assert rollout.run() == "promoted"
    assert world.phase() == "promoted"


async def test_a_cancellation_waits_for_the_record_that_is_being_written() -> None:
    began, may_end, written = threading.Event(), threading.Event(), list[str]()

    def write() -> None:
        began.set()
        may_end.wait(10)
        written.append("record")

    step: Any = next(on_disk(write))
    running = asyncio.create_task(step.run_async())
    await asyncio.to_thread(began.wait)
    running.cancel()
    await asyncio.wait([running], timeout=0)
    assert not running.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert written == ["record"]

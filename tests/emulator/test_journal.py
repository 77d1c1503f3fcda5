"""State on disk: it survives a restart and a kill, and unusable files are reported in one line."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cwinference import State, errors, types
from cwinference.emulator.api.emulated_api import EmulatedApi
from cwinference.emulator.api.journal import Journal, JournalRow
from cwinference.emulator.clock import EmulatorClock
from cwinference.emulator.interfaces import RpcError
from tests.support.emulated_api import START, InProcessApi, request


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def clock() -> EmulatorClock:
    return EmulatorClock(START, running=False)


def everything(api: InProcessApi) -> Sequence[Any]:
    return [
        api(types.ListGatewaysRequest()),
        api(types.ListDeploymentsRequest()),
        api(types.ListCapacityClaimsRequest()),
        api(types.ListHotLoadsRequest()),
    ]


def create_resources(api: InProcessApi) -> None:
    """Create resources of every kind, some of which are not READY yet."""
    api.sample("CreateGateway")
    api.sample("CreateDeployment.newer")
    api.pass_time(10)
    api.sample("CreateHotLoad.full")
    api.sample("CreateCapacityClaim")
    api.pass_time(5)
    api.sample("UpdateGateway")


def test_everything_is_restored_after_a_restart(path: Path, clock: EmulatorClock) -> None:
    first = InProcessApi(clock=clock, journal=Journal(path))
    create_resources(first)
    before = everything(first)
    first.emulated.close()
    second = InProcessApi(clock=clock, journal=Journal(path))
    assert everything(second) == before
    with pytest.raises(RpcError, match="already exists"):
        second.sample("CreateCapacityClaim")
    with pytest.raises(RpcError, match="in use"):
        second.sample("DeleteGateway")
    second.emulated.close()


def test_unfinished_changes_continue_after_a_restart(path: Path, clock: EmulatorClock) -> None:
    restarted = InProcessApi(clock=clock, journal=Journal(path))
    uninterrupted = InProcessApi(clock=EmulatorClock(START, running=False))
    create_resources(restarted)
    create_resources(uninterrupted)
    restarted.emulated.close()
    clock.advance(100)
    uninterrupted.pass_time(100)
    restarted = InProcessApi(clock=clock, journal=Journal(path))
    assert everything(restarted) == everything(uninterrupted)
    hot_load = restarted(types.ListHotLoadsRequest()).hot_loads[0]
    list_replicas = types.ListHotLoadReplicasRequest(hot_load_id=hot_load.spec.id)
    assert restarted(list_replicas) == uninterrupted(list_replicas)
    restarted.emulated.close()


def test_removed_resources_are_removed_from_the_file(path: Path, clock: EmulatorClock) -> None:
    first = InProcessApi(clock=clock, journal=Journal(path))
    create_resources(first)
    first.sample("DeleteDeployment")
    first.pass_time(10)
    before = everything(first)
    assert not before[1].items
    first.emulated.close()
    with closing(sqlite3.connect(path)) as database:
        kinds = {kind for (kind,) in database.execute("select kind from resources")}
    assert kinds == {"gateway", "capacity_claim"}
    second = InProcessApi(clock=clock, journal=Journal(path))
    assert everything(second) == before
    second.emulated.close()


def test_the_order_of_creation_is_kept_across_restarts(path: Path) -> None:
    names = ["one", "two", "three", "four"]
    for name in names:
        api = InProcessApi(journal=Journal(path))
        sent = request("CreateGateway")
        sent.id, sent.name = "", name
        api(sent)
        api.emulated.close()
    last = InProcessApi(journal=Journal(path))
    assert [each.spec.name for each in last(types.ListGatewaysRequest()).items] == names
    last.emulated.close()


def test_update_times_grow_across_restarts(path: Path) -> None:
    late, early = EmulatorClock(START, running=False), EmulatorClock(START, running=False)
    late.advance(1000)
    first = InProcessApi(clock=late, journal=Journal(path))
    gateway = first.sample("CreateGateway")
    first.emulated.close()
    second = InProcessApi(clock=early, journal=Journal(path))
    claim = second.sample("CreateCapacityClaim")
    assert claim.status.updated_at.ToNanoseconds() > gateway.status.updated_at.ToNanoseconds()
    second.emulated.close()


def test_unfinished_changes_continue_though_the_system_clock_was_set_back(path: Path) -> None:
    late = EmulatorClock(START, running=False)
    late.advance(3600)
    first = InProcessApi(clock=late, journal=Journal(path))
    create_resources(first)
    first.sample("DeleteCapacityClaim")
    first.emulated.close()
    second = InProcessApi(clock=EmulatorClock(START, running=False), journal=Journal(path))
    assert State.of(second.gateway()) == State.UPDATING
    second.pass_time(10)
    assert State.of(second.gateway()) == State.of(second.deployment()) == State.READY
    assert second(types.ListHotLoadsRequest()).hot_loads[0].status.HasField("finished_at")
    with pytest.raises(RpcError, match="capacity claim not found"):
        second.claim()
    second.emulated.close()


def test_a_weights_and_biases_key_is_not_written(path: Path) -> None:
    api = InProcessApi(journal=Journal(path))
    sent = request("CreateGateway")
    sent.weights_and_biases_auth.api_key = "wandb-secret"
    api(sent)
    written = b"".join(each.read_bytes() for each in path.parent.iterdir())
    assert sent.id.encode() in written
    assert b"wandb-secret" not in written
    api.emulated.close()


CREATE_FOREVER = """
import sys
from uuid import uuid4
from cwinference import types
from cwinference._wire.methods import METHODS
from cwinference.emulator.api.emulated_api import EmulatedApi
from cwinference.emulator.api.journal import Journal
from cwinference.emulator.interfaces import Caller

api = EmulatedApi(journal=Journal(sys.argv[1]))
while True:
    request = types.CreateGatewayRequest(id=str(uuid4()), name=str(uuid4()))
    api.call(METHODS[types.CreateGatewayRequest], request, Caller("cw1a2b"))
    print(request.id, flush=True)
"""


def test_changes_survive_a_kill_once_their_response_was_sent(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", CREATE_FOREVER, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        created = [process.stdout.readline().strip() for _ in range(200)]
        process.kill()
        created += [line.strip() for line in process.stdout if line.endswith("\n")]
    assert process.returncode == -signal.SIGKILL
    api = InProcessApi(journal=Journal(path))
    known = [each.spec.id for each in api(types.ListGatewaysRequest()).items]
    assert known[: len(created)] == created
    assert len(known) <= len(created) + 1, "at most one was written whose response was not sent"
    api.emulated.close()


def test_one_emulator_at_a_time_can_use_the_file(path: Path) -> None:
    with closing(Journal(path)), pytest.raises(errors.ConfigurationError, match="is in use by another emulator"):
        Journal(path)
    Journal(path).close()


def written_by_newer_release(path: Path) -> None:
    Journal(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute("pragma user_version = 2")


def other_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("create table mine (id)")


def text(path: Path) -> None:
    path.write_text("not a database, but a text that is long enough for SQLite to read its header" * 50)


def directory(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make_unusable", "message"),
    [
        (written_by_newer_release, "was written by a newer release (version 2, this one knows 1)"),
        (other_database, "is an SQLite database of another application"),
        (text, "file is not a database"),
        (directory, "unable to open database file"),
    ],
)
def test_a_file_that_is_not_a_state_file_is_rejected_and_not_changed(
    make_unusable: Callable[[Path], None], message: str, path: Path
) -> None:
    make_unusable(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(errors.ConfigurationError) as caught:
        Journal(path)
    assert str(caught.value).startswith(f"state file {path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert before == (path.read_bytes() if path.is_file() else b"")


@pytest.mark.parametrize("suffix", ["-journal", "-wal"])
@pytest.mark.parametrize("is_link", [False, True])
@pytest.mark.parametrize("is_old", [False, True])
def test_a_file_of_somebody_else_that_sqlite_would_delete_is_named_and_kept(
    suffix: str, is_link: bool, is_old: bool, path: Path
) -> None:
    if is_old:
        Journal(path).close()
    foreign = Path(f"{path}{suffix}")
    foreign.write_bytes(b"A diary")
    given = path.with_name("link") if is_link else path
    if is_link:
        given.symlink_to(path)
    with pytest.raises(errors.ConfigurationError) as caught:
        Journal(given)
    assert str(caught.value) == (
        f"state file {given}: {foreign} is no file of SQLite, which would delete it; move it, or use another file"
    )
    assert foreign.read_bytes() == b"A diary"


@pytest.mark.parametrize("suffix", ["-journal", "-wal"])
def test_a_pipe_in_the_place_of_a_file_of_sqlite_is_refused_and_not_waited_for(suffix: str, path: Path) -> None:
    os.mkfifo(f"{path}{suffix}")
    with pytest.raises(errors.ConfigurationError, match=f"{suffix} is no file of SQLite"):
        Journal(path)


def test_a_path_that_no_file_can_have_is_rejected() -> None:
    with pytest.raises(errors.ConfigurationError, match="^state file .*: embedded null byte$"):
        Journal("a\0b")


@pytest.mark.parametrize("content", [b"", bytes(512), bytes.fromhex("d9d505f920a163d7") + bytes(504)])
def test_a_journal_that_a_killed_emulator_has_left_is_no_obstacle(content: bytes, path: Path) -> None:
    Path(f"{path}-journal").write_bytes(content)
    Journal(path).close()
    Journal(path).close()


def test_a_file_in_a_missing_directory_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigurationError, match="unable to open database file"):
        Journal(tmp_path / "none" / "state.db")


def test_a_file_can_have_any_name_that_is_not_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Journal(":memory:").close()
    assert (tmp_path / ":memory:").exists()
    with pytest.raises(errors.ConfigurationError, match="state: expected the path of a file"):
        Journal("")


@pytest.mark.parametrize("change", ["set plan = 'x'", "set body = x'ff'", "set kind = 'other'"])
def test_a_damaged_file_is_rejected(change: str, path: Path) -> None:
    api = InProcessApi(journal=Journal(path))
    api.sample("CreateGateway")
    api.emulated.close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("update resources " + change)
    with pytest.raises(errors.ConfigurationError, match="is damaged"):
        EmulatedApi(journal=Journal(path))
    Journal(path).close()


class FullDisk(Journal):
    """A journal that cannot write while `full` is true."""

    full = False

    def write(self, changed: Iterable[JournalRow], removed: Iterable[tuple[str, str]]) -> None:
        if self.full:
            raise sqlite3.OperationalError("database or disk is full")
        super().write(changed, removed)


def test_steps_that_could_not_be_written_are_written_later(path: Path, clock: EmulatorClock) -> None:
    journal = FullDisk(path)
    api = InProcessApi(clock=clock, journal=journal)
    api.sample("CreateGateway")
    journal.full = True
    clock.advance(100)
    assert State.of(api.gateway()) is State.READY
    journal.full = False
    before = everything(api)
    api.emulated.close()
    restarted = InProcessApi(clock=clock, journal=Journal(path))
    assert everything(restarted) == before
    restarted.emulated.close()


def test_plans_are_written_as_due_times_and_names_of_steps(path: Path, clock: EmulatorClock) -> None:
    api = InProcessApi(clock=clock, journal=Journal(path))
    api.sample("CreateGateway")
    api.emulated.close()
    with closing(sqlite3.connect(path)) as database:
        (plan,) = database.execute("select plan from resources").fetchone()
    now = clock.now()
    assert json.loads(plan) == [[now + 5 * 10**9, "halfway"], [now + 10 * 10**9, "settled"]]

"""State on disk: everything is there again after a restart and after a kill, and bad files are refused in a line."""

import json
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
from cwinference.emulator.api.journal import Journal, Row
from cwinference.emulator.clock import Clock
from cwinference.emulator.interfaces import Refusal
from tests.support.emulated_api import DEPLOYMENT_ID, START, Emulated, request


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def clock() -> Clock:
    return Clock(START, running=False)


def everything(emulated: Emulated) -> Sequence[Any]:
    return [
        emulated(types.ListGatewaysRequest()),
        emulated(types.ListDeploymentsRequest()),
        emulated(types.ListCapacityClaimsRequest()),
        emulated(types.ListHotLoadsRequest()),
    ]


def live(emulated: Emulated) -> None:
    """Some of everything, some of it on its way."""
    emulated.sample("CreateGateway")
    emulated.sample("CreateDeployment.newer")
    emulated.pass_time(10)
    emulated.sample("CreateHotLoad.full")
    emulated.sample("CreateCapacityClaim")
    emulated.pass_time(5)
    emulated.sample("UpdateGateway")


def test_everything_is_there_again_after_a_restart(path: Path, clock: Clock) -> None:
    first = Emulated(clock=clock, journal=Journal(path))
    live(first)
    before = everything(first)
    first.api.close()
    second = Emulated(clock=clock, journal=Journal(path))
    assert everything(second) == before
    with pytest.raises(Refusal, match="already exists"):
        second.sample("CreateCapacityClaim")
    with pytest.raises(Refusal, match="in use"):
        second.sample("DeleteGateway")
    second.api.close()


def test_what_was_on_its_way_goes_on(path: Path, clock: Clock) -> None:
    kept, forgetful = Emulated(clock=clock, journal=Journal(path)), Emulated(clock=Clock(START, running=False))
    live(kept)
    live(forgetful)
    kept.api.close()
    clock.advance(100)
    forgetful.pass_time(100)
    again = Emulated(clock=clock, journal=Journal(path))
    assert everything(again) == everything(forgetful)
    ask = types.ListHotLoadReplicasRequest(hot_load_id=again(types.ListHotLoadsRequest()).hot_loads[0].spec.id)
    assert again(ask) == forgetful(ask)
    again.api.close()


def test_what_is_gone_stays_gone(path: Path, clock: Clock) -> None:
    first = Emulated(clock=clock, journal=Journal(path))
    live(first)
    first.sample("DeleteDeployment")
    first.pass_time(10)
    before = everything(first)
    assert not before[1].items
    first.api.close()
    with closing(sqlite3.connect(path)) as database:
        kinds = {kind for (kind,) in database.execute("select kind from resources")}
    assert kinds == {"gateway", "capacity_claim"}
    second = Emulated(clock=clock, journal=Journal(path))
    assert everything(second) == before
    second.api.close()


def test_the_order_of_creation_goes_on_where_it_was(path: Path) -> None:
    names = ["one", "two", "three", "four"]
    for name in names:
        emulated = Emulated(journal=Journal(path))
        sent = request("CreateGateway")
        sent.id, sent.name = "", name
        emulated(sent)
        emulated.api.close()
    last = Emulated(journal=Journal(path))
    assert [each.spec.name for each in last(types.ListGatewaysRequest()).items] == names
    last.api.close()


def test_stamps_go_on_where_they_were(path: Path) -> None:
    late, early = Clock(START, running=False), Clock(START, running=False)
    late.advance(1000)
    first = Emulated(clock=late, journal=Journal(path))
    gateway = first.sample("CreateGateway")
    first.api.close()
    second = Emulated(clock=early, journal=Journal(path))
    claim = second.sample("CreateCapacityClaim")
    assert claim.status.updated_at.ToNanoseconds() > gateway.status.updated_at.ToNanoseconds()
    second.api.close()


def test_a_key_for_weights_and_biases_is_not_written(path: Path) -> None:
    emulated = Emulated(journal=Journal(path))
    sent = request("CreateGateway")
    sent.weights_and_biases_auth.api_key = "wandb-secret"
    emulated(sent)
    written = b"".join(each.read_bytes() for each in path.parent.iterdir())
    assert sent.id.encode() in written
    assert b"wandb-secret" not in written
    emulated.api.close()


CREATE_FOR_EVER = """
import sys
from uuid import uuid4
from cwinference import types
from cwinference._wire.methods import METHODS
from cwinference.emulator.api.emulated_api import EmulatedApi
from cwinference.emulator.api.journal import Journal, Row
from cwinference.emulator.interfaces import Caller

api = EmulatedApi(journal=Journal(sys.argv[1]))
while True:
    request = types.CreateGatewayRequest(id=str(uuid4()), name=str(uuid4()))
    api.call(METHODS[types.CreateGatewayRequest], request, Caller("cw1a2b"))
    print(request.id, flush=True)
"""


def test_what_was_answered_survives_a_kill(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", CREATE_FOR_EVER, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        answered = [process.stdout.readline().strip() for _ in range(200)]
        process.kill()
        answered += [line.strip() for line in process.stdout if line.endswith("\n")]
    assert process.returncode == -signal.SIGKILL
    emulated = Emulated(journal=Journal(path))
    known = [each.spec.id for each in emulated(types.ListGatewaysRequest()).items]
    assert known[: len(answered)] == answered
    assert len(known) <= len(answered) + 1, "at most one was kept whose answer was lost"
    emulated.api.close()


def test_one_emulator_at_a_time_holds_the_file(path: Path) -> None:
    with closing(Journal(path)), pytest.raises(errors.ConfigurationError, match="is in use by another emulator"):
        Journal(path)
    Journal(path).close()


def newer(path: Path) -> None:
    Journal(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute("pragma user_version = 2")


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("create table mine (id)")


def text(path: Path) -> None:
    path.write_text("no database at all, but a text that is long enough to be looked at" * 50)


def directory(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (newer, "was written by a newer release (version 2, this one knows 1)"),
        (foreign, "is a database of something else"),
        (text, "file is not a database"),
        (directory, "unable to open database file"),
    ],
)
def test_a_file_that_is_no_state_of_ours_is_refused_and_left_alone(
    spoil: Callable[[Path], None], complaint: str, path: Path
) -> None:
    spoil(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(errors.ConfigurationError) as caught:
        Journal(path)
    assert str(caught.value).startswith(f"state file {path}: ")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert before == (path.read_bytes() if path.is_file() else b"")


def test_a_file_in_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigurationError, match="unable to open database file"):
        Journal(tmp_path / "none" / "state.db")


def test_a_file_may_have_any_name_but_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Journal(":memory:").close()
    assert (tmp_path / ":memory:").exists()
    with pytest.raises(errors.ConfigurationError, match="state: expected the path of a file"):
        Journal("")


@pytest.mark.parametrize("change", ["set plan = 'x'", "set body = x'ff'", "set kind = 'other'"])
def test_a_damaged_file_is_refused(change: str, path: Path) -> None:
    emulated = Emulated(journal=Journal(path))
    emulated.sample("CreateGateway")
    emulated.api.close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("update resources " + change)
    with pytest.raises(errors.ConfigurationError, match="is damaged"):
        EmulatedApi(journal=Journal(path))
    Journal(path).close()


class FullDisk(Journal):
    """A journal that cannot write for a while."""

    full = False

    def write(self, changed: Iterable[Row], removed: Iterable[tuple[str, str]]) -> None:
        if self.full:
            raise sqlite3.OperationalError("database or disk is full")
        super().write(changed, removed)


def test_what_could_not_be_written_is_written_later(path: Path, clock: Clock) -> None:
    journal = FullDisk(path)
    emulated = Emulated(clock=clock, journal=journal)
    emulated.sample("CreateGateway")
    journal.full = True
    with pytest.raises(sqlite3.OperationalError):
        emulated.sample("CreateDeployment")
    journal.full = False
    before = everything(emulated)
    emulated.api.close()
    again = Emulated(clock=clock, journal=Journal(path))
    assert everything(again) == before
    assert State.of(again.deployment(DEPLOYMENT_ID)) is State.CREATING
    again.api.close()


def test_plans_are_kept_as_they_were(path: Path, clock: Clock) -> None:
    emulated = Emulated(clock=clock, journal=Journal(path))
    emulated.sample("CreateGateway")
    emulated.api.close()
    with closing(sqlite3.connect(path)) as database:
        (plan,) = database.execute("select plan from resources").fetchone()
    now = clock.now()
    assert json.loads(plan) == [[now + 5 * 10**9, "halfway"], [now + 10 * 10**9, "settled"]]

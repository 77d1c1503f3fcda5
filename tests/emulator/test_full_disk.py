"""When the state file cannot be written, nothing that was refused is done, reads go on, and the log says why."""

import logging
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pytest

from cwinference import State, errors, types
from cwinference._cli import emulator as command
from cwinference._cli.main import parsed
from cwinference.emulator.api.journal import Journal, JournalRow
from cwinference.emulator.clock import EmulatorClock
from cwinference.emulator.interfaces import RpcError
from tests.support.emulated_api import START, InProcessApi, request

CHANGES = [
    "CreateGateway", "CreateCapacityClaim", "CreateDeployment", "UpdateGateway", "UpdateCapacityClaim",
    "UpdateDeployment", "DeleteDeployment", "DeleteCapacityClaim",
]  # fmt: skip


FULL = "the emulator cannot write its state file, so nothing was changed: database or disk is full"


class FullDisk(Journal):
    """A journal on a disk that is full while `full` is true, and that also cannot be read while `unreadable` is."""

    full = unreadable = False

    def write(self, changed: Iterable[JournalRow], removed: Iterable[tuple[str, str]]) -> None:
        if self.full:
            raise sqlite3.OperationalError("database or disk is full")
        super().write(changed, removed)

    def rows(self, message_types: Any) -> Any:
        if self.unreadable:
            raise errors.ConfigurationError("state file: disk I/O error")
        return super().rows(message_types)


@pytest.fixture
def clock() -> EmulatorClock:
    return EmulatorClock(START, running=False)


@pytest.fixture
def journal(tmp_path: Path) -> FullDisk:
    return FullDisk(tmp_path / "state.db")


@pytest.fixture
def api(journal: FullDisk, clock: EmulatorClock) -> Any:
    """Return an API with one resource of each kind."""
    made = InProcessApi(clock=clock, journal=journal)
    for name in ("CreateGateway", "CreateCapacityClaim", "CreateDeployment"):
        made.sample(name)
    yield made
    made.emulated.close()


def everything(api: InProcessApi) -> list[Any]:
    kinds = (types.ListGatewaysRequest, types.ListDeploymentsRequest, types.ListCapacityClaimsRequest)
    return [api(cast(Any, kind)()) for kind in kinds]


def change(name: str) -> Any:
    """Return a sample request; a create of a resource that does not exist yet."""
    sent = request(name)
    if name.startswith("Create"):
        sent.id, sent.name = "7f0e6c0a-6f0b-4c5e-9a53-0f6f2f6f7a77", "another"
    return sent


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("seconds", [0, 100])
def test_a_change_that_is_refused_is_not_done(
    api: InProcessApi, journal: FullDisk, clock: EmulatorClock, name: str, seconds: float
) -> None:
    """Test also with steps that become due while the disk is full."""
    journal.full = True
    clock.advance(seconds)
    before = everything(api)
    for _ in range(2):
        with pytest.raises(RpcError, match="so nothing was changed: database or disk is full") as caught:
            api(change(name))
        assert caught.value.code == "internal"
        assert without_times(everything(api)) == without_times(before)
    journal.full = False
    assert without_times(everything(api)) == without_times(before)
    api(change(name))
    assert without_times(everything(api)) != without_times(before)


def without_times(lists: list[Any]) -> list[Any]:
    """Return copies without the times of changes: a step that was undone and runs again has a later one."""
    copies = [type(each).FromString(each.SerializeToString()) for each in lists]
    for resource in (item for each in copies for _, items in each.ListFields() for item in items):
        resource.status.ClearField("updated_at")
        for condition in resource.status.conditions:
            condition.ClearField("last_update_time")
    return copies


def test_a_refused_create_does_not_appear_after_a_restart(
    api: InProcessApi, journal: FullDisk, clock: EmulatorClock, tmp_path: Path
) -> None:
    journal.full = True
    with pytest.raises(RpcError):
        api(change("CreateGateway"))
    journal.full = False
    clock.advance(100)
    before = everything(api)
    api.emulated.close()
    restarted = InProcessApi(clock=clock, journal=Journal(tmp_path / "state.db"))
    assert everything(restarted) == before
    assert [each.spec.name for each in before[0].items] != ["another"]
    restarted.emulated.close()


def test_reads_and_steps_go_on_and_the_log_says_why(
    api: InProcessApi, journal: FullDisk, clock: EmulatorClock, caplog: pytest.LogCaptureFixture
) -> None:
    journal.full = True
    assert State.of(api.gateway()) is State.CREATING
    clock.advance(100)
    assert [State.of(api.gateway()) for _ in range(3)] == [State.READY] * 3
    assert [each.levelno for each in caplog.records] == [logging.WARNING]
    assert "state.db: database or disk is full" in caplog.text
    with pytest.raises(RpcError):
        api(change("CreateGateway"))
    assert "a change was refused: cannot write state file" in caplog.text


def test_while_the_file_cannot_be_read_either_nothing_refused_is_shown(api: InProcessApi, journal: FullDisk) -> None:
    journal.full = journal.unreadable = True
    with pytest.raises(RpcError, match="nothing was changed"):
        api(change("CreateGateway"))
    with pytest.raises(RpcError, match="cannot read its state file"):
        everything(api)
    journal.unreadable = False
    assert len(everything(api)[0].items) == 1


def attempt(api: InProcessApi, sent: Any, number: int) -> tuple[str, str | None]:
    """Create a gateway of another name; return the name, and the error if it was refused."""
    sent.id, sent.name = "", f"gateway-{number}"
    try:
        api(sent)
    except RpcError as error:
        return sent.name, error.message
    return sent.name, None


def test_sqlite_itself_is_full(tmp_path: Path, clock: EmulatorClock) -> None:
    journal = Journal(tmp_path / "state.db")
    api = InProcessApi(clock=clock, journal=journal)
    journal._database.execute("pragma max_page_count = 12")
    sent = change("CreateGateway")
    results = [attempt(api, sent, number) for number in range(300)]
    done = [name for name, problem in results if problem is None]
    assert {problem for _, problem in results if problem is not None} == {FULL}
    assert [each.spec.name for each in everything(api)[0].items] == done != []
    api.emulated.close()


def test_the_endpoints_stay_when_a_change_is_undone(tmp_path: Path, clock: EmulatorClock) -> None:
    journal = FullDisk(tmp_path / "state.db")
    api = InProcessApi(clock=clock, journal=journal)
    api.sample("CreateGateway")
    api.pass_time(100)
    assert api.gateway().status.endpoints
    journal.full = True
    api.emulated.public_url = "http://127.0.0.1:7777"
    with pytest.raises(RpcError):
        api(change("CreateCapacityClaim"))
    assert api.gateway().status.endpoints[0].startswith("http://127.0.0.1:7777/")
    api.emulated.close()


@pytest.mark.parametrize(("arguments", "level"), [([], logging.WARNING), (["--log-level", "debug"], logging.DEBUG)])
def test_the_command_logs_to_stderr(
    arguments: list[str], level: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("cwinference")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    with command._logging_to_stderr(parsed(["emulator", *arguments]).params["log_level"]):
        assert logger.level == level
        logging.getLogger("cwinference.emulator").warning("cannot write")
    assert logger.handlers == []
    assert "WARNING cwinference.emulator: cannot write\n" in capsys.readouterr().err

"""`cwinference rollout`: start, status, resume and revert."""

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cwinference.emulator import Fate
from cwinference.rollout import Rollout
from tests.support.commands import CommandLine


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "rollout.json"


def weights(cli: CommandLine) -> Mapping[str, int]:
    with cli.client() as client:
        return {each.spec.name: each.spec.traffic.weight for each in client.deployments.list()}


def gate(text: str) -> str:
    return shlex.join([sys.executable, "-c", text])


START = ["rollout", "start", "llama-2", "--replaces", "llama", "--soak", "0"]


def test_start_reports_each_step_and_how_it_ended(full: CommandLine, journal: Path) -> None:
    ran = full.ok(*START, "--steps", "30%,100", "--journal", journal)
    assert ran.out == "promoted\n"
    assert ran.err.splitlines() == [
        "warning: Deployment llama-2 has a part of the traffic already; if that is from another rollout, go on with "
        "its journal: a revert of this one restores llama-2 to weight 25 and llama to 75",
        "step 1 of 2, 30 %: llama-2 has weight 30, llama has 70",
        "step 2 of 2, 100 %: llama-2 has weight 100, llama has 0",
    ]
    assert weights(full) == {"llama": 0, "llama-2": 100}
    assert full.ok("rollout", "revert", journal, "-o", "json").json == {
        "outcome": "reverted",
        "journal": str(journal),
    }
    assert weights(full) == {"llama": 75, "llama-2": 25}


def test_quiet_says_only_how_it_ended(full: CommandLine, journal: Path) -> None:
    ran = full.ok(*START, "--journal", journal, "--quiet")
    assert (ran.out, ran.err) == ("promoted\n", "")


def test_a_gate_that_fails_is_1_and_the_traffic_is_back(full: CommandLine, journal: Path) -> None:
    text = "import json, sys; sys.exit(json.load(sys.stdin)['percent'] > 30)"
    ran = full(*START, "--steps", "30,60,100", "--journal", journal, "--gate", gate(text))
    assert (ran.code, ran.out) == (1, "reverted\n")
    assert weights(full) == {"llama": 75, "llama-2": 25}


def test_a_paused_one_is_6_and_says_how_to_go_on_and_back(full: CommandLine, journal: Path) -> None:
    waits = gate("raise SystemExit(2)")
    ran = full(*START, "--journal", journal, "--gate", waits, "--patience", "0")
    assert (ran.code, ran.out) == (6, "paused\n")
    resume, revert = (f"cwinference rollout {each} {journal}" for each in ("resume", "revert"))
    assert ran.err.splitlines()[-1] == f"to go on: {resume} --gate {shlex.quote(waits)}; to go back: {revert}", (
        "the journal does not contain the gate, and without it steps would pass that it has not seen"
    )
    assert full.ok("rollout", "status", journal).lines == [
        "paused (the gate says wait), step 1 of 4 (1 %)",
        "llama-2 (new): weight 1, READY; weight 25 before",
        "llama (old): weight 99, READY; weight 75 before",
    ]
    assert full.ok("rollout", "resume", "--journal", journal).out == "promoted\n"
    status = full.ok("rollout", "status", journal, "-o", "json").json
    assert (status["phase"], status["new"]["weight"], status["old"]["formerWeight"]) == ("promoted", 100, 75)


def test_a_change_by_somebody_else_is_5_and_says_how_to_go_back(full: CommandLine, journal: Path) -> None:
    program = (
        "from cwinference import Client\n"
        f"with Client({full.emulator.token!r}, endpoint={full.emulator.endpoint!r}) as client:\n"
        " client.deployments.modify(client.deployments.find('llama').spec.id, autoscaling={'max': 9})"
    )
    ran = full(*START, "--journal", journal, "--gate", gate(program))
    assert ran.code == 5
    assert "Deployment llama: somebody else has changed autoscaling" in ran.err
    assert "llama has 99\nto go back: " in ran.err, "nothing there about revert() in Python"
    assert ran.err.splitlines()[-1] == f"to go back: cwinference rollout revert {journal}"
    status = full.ok("rollout", "status", journal)
    assert status.lines[0] == "unfinished, not running, step 2 of 4 (5 %)"
    assert full.ok("rollout", "revert", journal).out == "reverted\n"
    assert weights(full) == {"llama": 75, "llama-2": 25}


def test_a_gate_that_cannot_be_run_is_noticed_before_the_traffic_moves(full: CommandLine, journal: Path) -> None:
    ran = full(*START, "--journal", journal, "--gate", "./nogate.sh --fast")
    assert ran.code == 2
    assert "--gate: there is no program './nogate.sh' that can be run" in ran.err
    assert not journal.exists()
    assert weights(full) == {"llama": 75, "llama-2": 25}


def test_a_gate_that_gives_no_verdict_pauses_and_is_1_and_says_how_to_go_on(full: CommandLine, journal: Path) -> None:
    odd = gate("raise SystemExit(7)")
    ran = full(*START, "--journal", journal, "--gate", odd)
    assert (ran.code, ran.out) == (1, "")
    assert "exited with 7; expected 0 (pass), 1 (fail) or 2 (wait); the rollout is paused" in ran.err
    resume, revert = (f"cwinference rollout {each} {journal}" for each in ("resume", "revert"))
    assert ran.err.splitlines()[-1] == f"to go on: {resume} --gate {shlex.quote(odd)}; to go back: {revert}"


def test_status_shows_a_deployment_that_is_gone(full: CommandLine, journal: Path) -> None:
    full.ok(*START, "--journal", journal)
    full.ok("dep", "delete", "llama", "--yes", "--wait")
    assert "llama (old): gone; weight 75 before" in full.ok("rollout", "status", journal).out


def test_ctrl_c_is_130_and_says_how_to_go_on_and_back(
    full: CommandLine, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Any, *, on_step: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Rollout, "run", interrupted)
    ran = full(*START, "--journal", journal)
    assert ran.code == 130
    assert f"to go on: cwinference rollout resume {journal}" in ran.err


def test_one_that_is_not_ready_is_5(full: CommandLine, journal: Path) -> None:
    full.emulator.fates["llama-2"] = Fate("ERROR", strikes_after=0)
    ran = full(*START, "--journal", journal)
    assert (ran.code, ran.out) == (5, "")
    assert "Deployment llama-2 is ERROR; a rollout begins when both deployments are READY" in ran.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["rollout", "start", "llama-2", "--journal", "x.json"], "missing option '--replaces'"),
        (
            [*START, "--steps", "1,x", "--journal", "x.json"],
            "expected shares in percent, such as 1,5,25,100, got '1,x'",
        ),
        ([*START, "--steps", "1,5", "--journal", "x.json"], "steps: the last one has to be 100"),
        ([*START, "--soak", "soon", "--journal", "x.json"], "expected a duration, such as 90, 90s"),
        ([*START, "--journal", "x.json", "--gate", "'"], "--gate: No closing quotation"),
        ([*START, "--journal", "x.json", "--gate", " "], "--gate: expected a program and its arguments, got nothing"),
        (["rollout", "resume"], "expected one JOURNAL: the file that `rollout start` was given"),
        (["rollout", "resume", "nowhere.json"], "`cwinference rollout start` begins a rollout"),
        (["rollout", "stat"], "no such command: stat; did you mean"),
    ],
)
def test_wrong_usage_is_2(full: CommandLine, arguments: list[str], problem: str) -> None:
    ran = full(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert problem in ran.err


def test_a_name_that_does_not_exist_is_3_and_names_a_command_that_exists(full: CommandLine, journal: Path) -> None:
    ran = full("rollout", "start", "llama-2", "--replaces", "nope", "--journal", journal)
    assert (ran.code, ran.err.splitlines()[-1]) == (3, "to see them all: cwinference deployments list")


def test_a_journal_that_exists_is_2_and_says_what_goes_on_with_it(full: CommandLine, journal: Path) -> None:
    full.ok(*START, "--journal", journal)
    ran = full(*START, "--journal", journal)
    assert ran.code == 2
    assert "exists already (of the rollout of llama-2 in place of llama)" in ran.err
    assert "`cwinference rollout resume` goes on with this one" in ran.err
    journal.write_text(json.dumps({"mine": 1}))
    assert full("rollout", "status", journal).code == 2

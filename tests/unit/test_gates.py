"""The gates that decide on a step without a model server: by states, and by a program."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cwinference import Inference, State, errors, gates, types
from cwinference.rollout import Step


def deployment(name: str, state: State = State.READY) -> types.Deployment:
    spec = types.DeploymentSpec(id=f"id-{name}", name=name)
    return types.Deployment(spec=spec, status=types.DeploymentStatus(status=state.value))


def step(new: State = State.READY, old: State = State.READY) -> Step:
    return Step(2, 4, 5, 5, 95, False, deployment("v2", new), deployment("v1", old), "rollout-1")


@pytest.mark.parametrize(
    ("new", "old", "verdict"),
    [
        (State.READY, State.READY, "pass"),
        (State.ERROR, State.READY, "fail"),
        (State.FAILED, State.READY, "fail"),
        (State.FAILED, State.FAILED, "fail"),
        (State.UPDATING, State.READY, "wait"),
        (State.READY, State.ERROR, "wait"),
        (State.READY, State.UPDATING, "wait"),
        (State.UNKNOWN, State.READY, "wait"),
    ],
)
def test_ready_passes_only_what_is_ready(new: State, old: State, verdict: str) -> None:
    assert gates.ready()(step(new, old)) == verdict


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


@pytest.mark.parametrize(("code", "verdict"), [(0, "pass"), (1, "fail"), (2, "wait")])
def test_the_exit_code_of_a_command_is_the_verdict(code: int, verdict: str) -> None:
    assert gates.command(program(f"raise SystemExit({code})"))(step()) == verdict


def test_a_command_gets_the_step_as_json_and_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    seen = tmp_path / "seen"
    text = f"import sys; open({str(seen)!r}, 'w').write(sys.stdin.read()); print('data')"
    assert gates.command(program(text))(step()) == "pass"
    assert json.loads(seen.read_text()) == {
        "rollout": "rollout-1",
        "step": 2,
        "of": 4,
        "percent": 5,
        "new": {"id": "id-v2", "name": "v2", "weight": 5, "state": "READY"},
        "old": {"id": "id-v1", "name": "v1", "weight": 95, "state": "READY"},
    }
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("text", ["raise SystemExit(3)", "import os; os.kill(os.getpid(), 9)"])
def test_any_other_end_of_a_command_is_no_verdict(text: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=r"gate '.*': exited with (3|-9); expected 0 \(pass\)"):
        gates.command(program(text))(step())


def test_a_command_may_leave_its_input_unread() -> None:
    assert gates.command(["true"])(step()) == "pass"


def test_a_program_that_does_not_exist_is_refused_at_once(tmp_path: Path) -> None:
    script = tmp_path / "check.sh"
    script.write_text("#!/bin/sh\n")
    for each in ("/nowhere", "no-such-program", str(tmp_path), str(script)):
        with pytest.raises(errors.ConfigurationError, match=f"arguments: there is no program '{each}' that can be run"):
            gates.command([each])


def test_a_program_that_is_gone_by_the_time_it_is_asked_is_no_verdict(tmp_path: Path) -> None:
    script = tmp_path / "check.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    gate = gates.command([str(script)])
    script.unlink()
    with pytest.raises(errors.ConfigurationError, match=f"gate '{script}': No such file or directory"):
        gate(step())


def test_a_command_that_takes_too_long_is_killed_with_its_children() -> None:
    began = time.monotonic()
    with pytest.raises(errors.ConfigurationError, match=r"gate 'sh': did not finish within 0.1 s"):
        gates.command(["sh", "-c", "sleep 60 & sleep 60"], timeout=0.1)(step())
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("check.sh", "arguments: expected a list of a program and its arguments, got 'check.sh'"),
        ([], "arguments: expected a list of a program"),
        (["a", 1], "arguments: expected strings, got 1"),
        (["a\0b"], "arguments: expected strings"),
    ],
)
def test_a_wrong_command_is_refused_at_once(arguments: Any, problem: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=problem):
        gates.command(arguments)


REQUEST = {"model": "m", "prompt": "p"}
BAD: list[tuple[dict[str, Any], str]] = [
    ({"requests": []}, "requests: expected at least one"),
    ({"requests": REQUEST}, "requests: expected mappings with model and messages"),
    ({"requests": "x"}, "requests: expected mappings with model and messages"),
    ({"requests": 5}, "requests: expected mappings with model and messages"),
    ({"requests": [{"model": "m"}]}, "requests: expected mappings with model and messages"),
    ({"min_samples": 0}, "min_samples: expected a whole number above 0, got 0"),
    ({"max_error_rate": 2}, "max_error_rate: expected a number from 0 to 1, got 2"),
    ({"max_error_rate": -1}, "max_error_rate: expected a number of at least 0"),
    ({"max_first_token": 0}, "max_first_token: expected a positive number of seconds"),
    ({"inference": "front"}, "inference: expected what client.inference"),
]


@pytest.mark.parametrize(("options", "problem"), BAD)
def test_a_wrong_probe_is_refused_at_once(options: Any, problem: str) -> None:
    with Inference("http://localhost:1", token="t") as inference:
        arguments: dict[str, Any] = {"inference": inference, "requests": [REQUEST], **options}
        with pytest.raises(errors.ConfigurationError, match=problem):
            gates.probe(arguments.pop("inference"), arguments.pop("requests"), **arguments)

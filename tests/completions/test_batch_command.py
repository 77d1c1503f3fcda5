"""`cwinference batch`: killed and started again, told what cannot work, and what its ends say."""

import json
import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from cwinference.emulator import Emulator
from tests.support.batch_files import NOBODY, answers, echo, expected, lines, request, wait_until
from tests.support.scripted_model_server import Asked, ModelServer, Reply, plain


def test_a_killed_command_goes_on_where_it_was(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join(json.dumps(request(number)) for number in range(300)))

    def answer(got: Asked) -> Reply:
        threading.Event().wait(0.01)
        return echo(got)

    with ModelServer(answer) as there:
        for kill_after in (30, 120, None):
            command = _command(str(source), str(out), "--base-url", there.url, "--concurrency", "8")
            if kill_after is not None:
                wait_until(partial(_reached, there, kill_after))
                command.send_signal(signal.SIGKILL)
            output, _ = command.communicate(timeout=60)
        assert command.returncode == 0
        assert len(there.asked) < 300 + 2 * 80
    assert answers(out) == expected(*range(300))
    assert output.startswith("answered ")
    assert "answered before" in output


def _reached(there: ModelServer, count: int) -> bool:
    return len(there.asked) >= count


def _command(*arguments: str) -> "subprocess.Popen[str]":
    main = "import sys; from cwinference._cli.main import main; sys.exit(main())"
    program = [sys.executable, "-c", main, "batch", *arguments]
    environment = {name: value for name, value in os.environ.items() if "TOKEN" not in name}
    return subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["in", "out"], 2, "--gateway"),
        (["missing.jsonl", "out.jsonl", "--base-url", NOBODY], 2, "requests: missing.jsonl"),
        (["in", "out", "--gateway", "g"], 2, "COREWEAVE_API_TOKEN"),
        (["in", "out", "--base-url", NOBODY, "--concurrency", "0"], 2, "concurrency"),
    ],
)
def test_wrong_arguments_of_the_command_are_told(arguments: list[str], code: int, told: str) -> None:
    command = _command(*arguments)
    _, error = command.communicate(timeout=60)
    assert (command.returncode, told in error) == (code, True)


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(json.dumps(request(number)) for number in range(400)))
    return path


def test_a_closed_port_ends_the_command_early_and_it_says_why(questions: Path, tmp_path: Path) -> None:
    command = _command(str(questions), str(tmp_path / "out.jsonl"), "--base-url", NOBODY)
    output, error = command.communicate(timeout=60)
    summary, told = output.splitlines(), error.splitlines()
    assert command.returncode == 1
    assert len(lines(tmp_path / "out.errors.jsonl")) < 300
    assert summary == [f"answered 0, failed {len(lines(tmp_path / 'out.errors.jsonl'))}, answered before 0"]
    assert told[0].startswith("cwinference batch: ended early")
    assert told[1].startswith("cwinference batch: the first failure: line ")
    assert "refused" in told[1]
    assert told[2] == f"cwinference batch: all failures: {tmp_path / 'out.errors.jsonl'}"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [("gateway", "GetGateway: gateway not found"), ("token", "unauthenticated"), ("endpoint", "unavailable")],
)
def test_a_gateway_that_cannot_be_read_ends_the_command_at_once(
    inference_emulator: Emulator, questions: Path, tmp_path: Path, wrong: str, told: str
) -> None:
    (tmp_path / "token").write_text("CW-SECRET-wrong" if wrong == "token" else inference_emulator.token)
    endpoint = NOBODY if wrong == "endpoint" else inference_emulator.endpoint
    which = ["--gateway", str(uuid4()), "--endpoint", endpoint, "--token-file", str(tmp_path / "token")]
    command = _command(str(questions), str(tmp_path / "out.jsonl"), *which)
    output, error = command.communicate(timeout=60)
    assert (command.returncode, output) == (1, "")
    assert error.startswith("cwinference batch: GetGateway")
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out.errors.jsonl").exists()


def test_a_server_that_wants_a_token_is_told_from_one_that_refuses_it(questions: Path, tmp_path: Path) -> None:
    with ModelServer(lambda _: plain({"error": {"message": "no"}}, 401)) as there:
        command = _command(str(questions), str(tmp_path / "out.jsonl"), "--base-url", there.url)
        _, error = command.communicate(timeout=60)
    assert command.returncode == 1
    assert error.endswith("no token was sent: give --token-file\n")

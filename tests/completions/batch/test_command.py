"""`cwinference batch`: killed and started again, with wrong arguments, and what it prints at the end."""

import json
import re
import signal
import threading
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from cwinference.emulator import Emulator
from tests.support.batch_files import UNREACHABLE, batch_request, echo, echoed_texts, read_lines, read_texts
from tests.support.batch_runs import run_command, start_command
from tests.support.scripted_model_server import HttpRequest, ScriptedModelServer, ScriptedResponse, json_response
from tests.support.waiting import wait_until


def test_a_killed_command_continues_where_it_stopped(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join(json.dumps(batch_request(number)) for number in range(300)))

    may_end = threading.Event()

    def respond(request: HttpRequest) -> ScriptedResponse:
        if kill_after is not None and len(server.requests) > kill_after:
            may_end.wait(60)  # so that it is killed before it ends
        return echo(request)

    with ScriptedModelServer(respond) as server:
        for kill_after in (30, 120, None):
            may_end.clear()
            command = start_command("batch", source, out, "--base-url", server.url, "--concurrency", 8)
            if kill_after is not None:
                wait_until(partial(_reached, server, kill_after))
                wait_until(lambda: out.exists() and out.stat().st_size > 0)
                command.send_signal(signal.SIGKILL)
                command.wait(60)
                may_end.set()
            output, _ = command.communicate(timeout=60)
        assert command.returncode == 0
        assert len(server.requests) < 300 + 2 * 80
    assert read_texts(out) == echoed_texts(*range(300))
    assert re.fullmatch(r"\d+ completed, 0 failed, [1-9]\d* skipped\n", output)


def test_the_command_finds_its_concurrency(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join(json.dumps(batch_request(number)) for number in range(100)))
    with ScriptedModelServer(echo) as server:
        arguments = ("batch", source, out, "--base-url", server.url, "--concurrency", "auto")
        assert run_command(*arguments)[0] == 0
    assert read_texts(out) == echoed_texts(*range(100))


def _reached(server: ScriptedModelServer, count: int) -> bool:
    return len(server.requests) >= count


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["in", "out"], 2, "--gateway"),
        (["missing.jsonl", "out.jsonl", "--base-url", UNREACHABLE], 2, "requests: missing.jsonl"),
        (["in", "out", "--gateway", "g"], 4, "COREWEAVE_API_TOKEN"),
        (["in", "out", "--base-url", UNREACHABLE, "--concurrency", "0"], 2, "concurrency"),
        (["in", "out", "--base-url", UNREACHABLE, "--concurrency", "most"], 2, "a whole number or auto"),
    ],
)
def test_wrong_arguments_are_reported(arguments: list[str], code: int, message: str) -> None:
    returned, _, error = run_command("batch", *arguments)
    assert (returned, message in error) == (code, True)


@pytest.fixture
def requests_file(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(json.dumps(batch_request(number)) for number in range(400)))
    return path


def test_an_unreachable_server_stops_the_command_early_with_the_reason(requests_file: Path, tmp_path: Path) -> None:
    code, output, error = run_command("batch", requests_file, tmp_path / "out.jsonl", "--base-url", UNREACHABLE)
    summary, messages = output.splitlines(), error.splitlines()
    assert code == 1
    assert len(read_lines(tmp_path / "out.errors.jsonl")) < 300
    assert summary == [f"0 completed, {len(read_lines(tmp_path / 'out.errors.jsonl'))} failed, 0 skipped"]
    assert messages[0].startswith("cwinference batch: stopped early")
    assert messages[1].startswith("cwinference batch: first failure: line ")
    assert "refused" in messages[1]
    assert messages[2] == f"cwinference batch: all failures: {tmp_path / 'out.errors.jsonl'}"


@pytest.mark.parametrize(
    ("wrong", "code", "message"),
    [("gateway", 3, "GetGateway: gateway not found"), ("token", 4, "unauthenticated"), ("endpoint", 1, "unavailable")],
)
def test_an_unreadable_gateway_stops_the_command_at_once(
    inference_emulator: Emulator, requests_file: Path, tmp_path: Path, wrong: str, code: int, message: str
) -> None:
    (tmp_path / "token").write_text("CW-SECRET-wrong" if wrong == "token" else inference_emulator.token)
    endpoint = UNREACHABLE if wrong == "endpoint" else inference_emulator.endpoint
    which = ["--gateway", str(uuid4()), "--endpoint", endpoint, "--token-file", str(tmp_path / "token")]
    returned, output, error = run_command("batch", requests_file, tmp_path / "out.jsonl", *which)
    assert (returned, output) == (code, "")
    assert error.startswith("cwinference batch: GetGateway")
    assert message in error
    assert error.splitlines()[1:] == ["once this is fixed, run it again: it continues with what is not completed"]
    assert not (tmp_path / "out.errors.jsonl").exists()


def test_a_missing_token_is_distinguished_from_a_rejected_one(requests_file: Path, tmp_path: Path) -> None:
    with ScriptedModelServer(lambda _: json_response({"error": {"message": "no"}}, 401)) as server:
        code, _, error = run_command("batch", requests_file, tmp_path / "out.jsonl", "--base-url", server.url)
    assert code == 4
    assert error.endswith("no token was sent: use --token-file\n")

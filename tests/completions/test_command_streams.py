"""Every command does its work whatever its streams are, and ends with the code that its work earned."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cwinference import Client
from tests.support.batch_files import UNREACHABLE, batch_request, echo, echoed_texts, read_texts
from tests.support.batch_runs import start_command, write_requests
from tests.support.scripted_model_server import ScriptedModelServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(os.name != "posix", reason="descriptors")

STREAMS: dict[str, dict[str, tuple[int, ...]]] = {
    "both-closed": {"close": (1, 2)},
    "all-closed": {"close": (0, 1, 2)},
    "stdout-closed": {"close": (1,)},
    "stderr-closed": {"close": (2,)},
    "stdout-full": {"full": (1,)},
    "stderr-full": {"full": (2,)},
    "both-full": {"full": (1, 2)},
    "stdout-broken": {"broken": (1,)},
    "stderr-broken": {"broken": (2,)},
    "both-broken": {"broken": (1, 2)},
}
"""What is wrong with which descriptors."""


@pytest.fixture(params=list(STREAMS))
def streams(request: pytest.FixtureRequest) -> dict[str, Any]:
    return STREAMS[str(request.param)]


@contextmanager
def started(streams: dict[str, Any], *arguments: object) -> Generator["subprocess.Popen[str]"]:
    """Start the command with such streams."""
    command = [sys.executable, "-m", "cwinference", *map(str, arguments)]
    closed = "".join(f" {descriptor}>&-" for descriptor in streams.get("close", ()))
    reading, writing = os.pipe()
    os.close(reading)
    with open("/dev/full", "w") as full, os.fdopen(writing, "w") as broken:  # noqa: PTH123
        options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        for name, stream in (("full", full), ("broken", broken)):
            for descriptor in streams.get(name, ()):
                options["stdout" if descriptor == 1 else "stderr"] = stream
        shell = ["sh", "-c", f'exec "$@"{closed}', "sh", *command]
        with subprocess.Popen(shell, text=True, **options) as process:
            yield process


def outcome(streams: dict[str, Any], *arguments: object) -> tuple[int, str]:
    """Run the command; return its exit code and what it printed to both."""
    with started(streams, *arguments) as process:
        output, error = process.communicate(timeout=60)
        return process.returncode, (output or "") + (error or "")


def test_a_batch_is_completed_and_exits_with_0(tmp_path: Path, streams: dict[str, Any]) -> None:
    requests, out = write_requests(tmp_path / "in.jsonl", map(batch_request, range(5))), tmp_path / "out.jsonl"
    with ScriptedModelServer(echo) as server:
        code, printed = outcome(streams, "batch", requests, out, "--base-url", server.url)
    assert code == 0
    assert printed in ("", "5 completed, 0 failed, 0 skipped\n")
    assert read_texts(out) == echoed_texts(*range(5))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["batch", "--help"], 0),
        (["emulator", "--port", "x"], 2),
        (["batch", "missing.jsonl", "out.jsonl", "--base-url", UNREACHABLE], 2),
    ],
)
def test_other_exit_codes_stay_as_they_are(streams: dict[str, Any], arguments: list[str], code: int) -> None:
    found, printed = outcome(streams, *arguments)
    assert found == code
    assert "Traceback" not in printed
    assert "Exception ignored" not in printed


def test_failures_exit_with_1(tmp_path: Path, streams: dict[str, Any]) -> None:
    requests = write_requests(tmp_path / "in.jsonl", [batch_request(0), {"custom_id": "x"}])
    with ScriptedModelServer(echo) as server:
        code, printed = outcome(streams, "batch", requests, tmp_path / "out.jsonl", "--base-url", server.url)
    assert code == 1
    assert "Traceback" not in printed
    assert json.loads((tmp_path / "out.errors.jsonl").read_text())["line"] == 2


def test_the_emulator_serves_until_it_is_stopped(streams: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with started(streams, "emulator", "--port", port, "--host", "127.0.0.1") as process:

        def is_serving() -> bool:
            assert process.poll() is None
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(is_serving)
        with Client("CW-SECRET-emulator-admin", endpoint=f"http://127.0.0.1:{port}") as client:
            assert client.gateways.list() == []
        process.send_signal(signal.SIGTERM)
        output, error = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in (output or "") + (error or "")


def test_ctrl_c_exits_with_130_although_nobody_reads_what_it_prints(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    out = tmp_path / "out.jsonl"
    reading, writing = os.pipe()
    restore = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    arguments = ("batch", tmp_path / "pipe", out, "--base-url", UNREACHABLE)
    with os.fdopen(writing, "w") as broken, start_command(*arguments, before=restore, stderr=broken) as process:
        wait_until(out.exists)
        os.close(reading)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130

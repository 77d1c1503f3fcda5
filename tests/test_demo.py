"""The demo runs, and the next steps that it suggests work. `make demo` runs the same with a real model."""

import contextlib
import io
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

from cwinference.emulator.gateway.models.llama import DEMO_PACKAGES

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "examples" / "demo.py"


def run(*arguments: str, at: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(DEMO), "--ready-after", "0.1", *arguments]
    return subprocess.run(command, cwd=at, capture_output=True, text=True, timeout=60, check=False)


@contextlib.contextmanager
def run_emulator(command: str, at: Path) -> Generator[str]:
    """Run the emulator by the command that the demo printed, but on a free port, and yield its URL."""
    process = subprocess.Popen([*command.split(), "--port", "0"], cwd=at, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def test_the_demo_and_the_next_steps_that_it_suggests_work(tmp_path: Path) -> None:
    run("--state", "demo.sqlite", at=tmp_path)
    done = run("--state", "demo.sqlite", at=tmp_path)
    assert done.returncode == 0, f"second run: {done.stderr}"
    for words in ("CREATING", "READY", "endpoint http://127.0.0.1:", "Ready in ", "built-in text generator"):
        assert words in done.stdout
    assert "\x1b" not in done.stdout
    command = re.search(r"^ +(\S+cwinference emulator .*)$", done.stdout, re.MULTILINE)
    assert command
    with run_emulator(command[1], tmp_path) as endpoint:
        next_steps = done.stdout[done.stdout.index("from cwinference import") :].replace(
            "http://127.0.0.1:8080", endpoint
        )
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(next_steps, {})  # noqa: S102 - our own lines
    assert len(next_steps.strip().splitlines()) == 8
    assert "READY" in output.getvalue()
    assert "built-in text generator" in output.getvalue()


def test_a_missing_model_is_reported_in_one_line(tmp_path: Path) -> None:
    done = run("--model", "nowhere.gguf", at=tmp_path)
    assert (done.returncode, done.stderr) == (1, "demo: model: no such file: nowhere.gguf\n")


def test_the_demo_installs_the_packages_that_the_emulator_names() -> None:
    pinned = (ROOT / "requirements" / "demo.txt").read_text()
    for package in DEMO_PACKAGES:
        assert f"\n{package} " in pinned

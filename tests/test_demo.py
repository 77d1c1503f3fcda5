"""The demo tells its story, and what it says to try next works. `make demo` runs the same with a real model."""

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
def kept_running(command: str, at: Path) -> Generator[str]:
    """The emulator by the command that the demo printed, but on a free port; gives its address."""
    process = subprocess.Popen([*command.split(), "--port", "0"], cwd=at, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def test_the_demo_tells_its_story_and_what_it_says_to_try_next_works(tmp_path: Path) -> None:
    run("--state", "demo.sqlite", at=tmp_path)
    told = run("--state", "demo.sqlite", at=tmp_path)
    assert told.returncode == 0, f"a second time: {told.stderr}"
    for words in ("CREATING", "READY", "endpoint http://127.0.0.1:", "Ready in ", "built-in text generator"):
        assert words in told.stdout
    assert "\x1b" not in told.stdout
    command = re.search(r"^ +(\S+cwinference emulator .*)$", told.stdout, re.MULTILINE)
    assert command
    with kept_running(command[1], tmp_path) as endpoint:
        following = told.stdout[told.stdout.index("from cwinference import") :].replace(
            "http://127.0.0.1:8080", endpoint
        )
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(following, {})  # noqa: S102 - lines of ours
    assert len(following.strip().splitlines()) == 8
    assert "READY" in output.getvalue()
    assert "built-in text generator" in output.getvalue()


def test_a_model_that_cannot_be_had_is_one_line(tmp_path: Path) -> None:
    told = run("--model", "nowhere.gguf", at=tmp_path)
    assert (told.returncode, told.stderr) == (1, "demo: model: no such file: nowhere.gguf\n")


def test_the_packages_that_the_emulator_names_are_those_that_the_demo_installs() -> None:
    pinned = (ROOT / "requirements" / "demo.txt").read_text()
    for package in DEMO_PACKAGES:
        assert f"\n{package} " in pinned

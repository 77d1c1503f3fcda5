"""`make test` says last what failed, also when a crash ends it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = """
import os, signal, time
import pytest

def test_that_passes(): pass

def test_that_fails(): assert False

{more}
"""
CRASH = "def test_that_crashes(): os.kill(os.getpid(), signal.SIGSEGV)"
HANG = "@pytest.mark.timeout(0.2)\ndef test_that_hangs(): time.sleep(60)"


@pytest.mark.parametrize(
    ("more", "code", "end"),
    [
        ("", 1, ["FAILED .*::test_that_fails"]),
        (CRASH, 139, ["FAILED .*::test_that_fails", "CRASHED by SIGSEGV in .*::test_that_crashes"]),
        (HANG, 1, ["FAILED .*::test_that_fails", "FAILED .*::test_that_hangs"]),
    ],
    ids=["failure", "crash", "time-out"],
)
def test_what_failed_comes_last(tmp_path: Path, more: str, code: int, end: list[str]) -> None:
    (tmp_path / "test_a.py").write_text(TESTS.format(more=more))
    (tmp_path / "pytest.ini").touch()
    command = [sys.executable, "-m", "tools.run_tests", "-qq", "--rootdir", str(tmp_path), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100)
    last = [line for line in done.stdout.splitlines() if line][-len(end) :]
    assert done.returncode == code
    for line, expected in zip(last, end, strict=True):
        assert re.match(expected, line)

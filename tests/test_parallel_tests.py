"""`make test` says last what failed, also when a crash ends one of the processes that run the tests."""

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
    ("more", "failures"),
    [
        ("", ["test_that_fails"]),
        (CRASH, ["test_that_fails", "test_that_crashes"]),
        (HANG, ["test_that_fails", "test_that_hangs"]),
    ],
    ids=["failure", "crash", "time-out"],
)
def test_what_failed_comes_last(tmp_path: Path, more: str, failures: list[str]) -> None:
    (tmp_path / "test_a.py").write_text(TESTS.format(more=more))
    (tmp_path / "pytest.ini").touch()
    command = [sys.executable, "-m", "pytest", *flags(), "--rootdir", str(tmp_path), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100)

    *last, summary = done.stdout.splitlines()[-len(failures) - 1 :]
    assert done.returncode != 0
    assert {line.split(" - ")[0].rpartition("::")[2] for line in last} == {*failures}
    assert f"{len(failures)} failed" in summary


def flags() -> list[str]:
    """How the Makefile runs the tests."""
    found = re.search("^IN_PARALLEL = (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found
    return found[1].split()

"""Run the tests, and say at the very end what failed, even if pytest itself is ended by a crash.

pytest prints a summary when it ends. A crash in native code ends it without one, so this notes what happens, as a
plugin of pytest, and reads the notes afterwards.
"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

_NOTES = "CWINFERENCE_TEST_NOTES"
"""The environment variable with the path of the notes: lines of `started` or `failed` and the name of a test."""


def pytest_runtest_logstart(nodeid: str) -> None:
    """Note the test that starts."""
    _note("started", nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note a failure."""
    if report.failed:
        _note("failed", report.nodeid)


def _note(event: str, name: str) -> None:
    if path := os.environ.get(_NOTES):
        with Path(path).open("a") as notes:
            notes.write(f"{event} {name}\n")


def main() -> int:
    """Run pytest with the given arguments, and return its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder, "notes")
        notes.touch()
        command = [sys.executable, "-m", "pytest", "-p", "tools.run_tests", *sys.argv[1:]]
        code = subprocess.run(command, env={**os.environ, _NOTES: str(notes)}).returncode
        if code < 0:
            print(_summary(code, [line.split(" ", 1) for line in notes.read_text().splitlines()]), flush=True)
    return code if code >= 0 else 128 - code


def _summary(code: int, notes: list[list[str]]) -> str:
    started = [name for event, name in notes if event == "started"]
    failed = [f"FAILED {name}" for event, name in notes if event == "failed"]
    crash = f"CRASHED by {signal.Signals(-code).name} in {started[-1] if started else 'no test'}"
    return "\n".join(["", "=== pytest was ended without its summary ===", *failed, crash])


if __name__ == "__main__":
    sys.exit(main())

"""The tutorial, literally: its commands in a shell, its programs as files, and all that it shows as their output."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .pages import PAGES, TUTORIAL, commands
from .test_commands import fits

PAGE = PAGES[TUTORIAL]
SHOWN_ENDPOINT = "http://127.0.0.1:8080"
NOT_HERE = ("python3 -m venv ", ". .venv-tutorial/", "pip install ", "deactivate", "cd .. && rm -r ")
"""What the environment of the tests stands for."""
HASTE = ["--port", "0", "--ready-after", "0.1", "--tokens-per-second", "500"]
"""A free port, and less time than readers have."""
MARK = "@@@ line "

pytestmark = pytest.mark.skipif(
    shutil.which("bash") is None or not Path(sys.executable).with_name("cwinference").exists(),
    reason="needs bash and the installed command",
)


def environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COREWEAVE_", "CW_"))}
    return {**kept, "PATH": path, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONUNBUFFERED": "1"}


@contextmanager
def first_terminal(command: str, shown: str, folder: Path) -> Generator[str]:
    """Run the emulator as the page says, but faster; yield its endpoint."""
    process = subprocess.Popen(
        [*command.split(), *HASTE], cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        printed = "".join(process.stdout.readline() for _ in shown.strip().splitlines())
        assert fits(shown, printed), printed
        yield re.findall(r"http://[\d.:]+", printed)[0]
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0


def second_terminal(endpoint: str) -> str:
    """Return all that is typed there as one script, which says where the output of each command begins."""
    lines = ["set -e"]
    for block in PAGE.of("python", "console"):
        if block.language == "python":
            lines.append(f"cat > {block.file_name} <<'END OF FILE'\n{block.text}END OF FILE")
            continue
        for command in commands(block):
            if not command.text.startswith((*NOT_HERE, "cwinference emulator ")):
                lines += [f"echo '{MARK}{command.line}'", command.text.replace(SHOWN_ENDPOINT, endpoint)]
    return "\n".join(lines)


def test_the_tutorial_works_as_written(tmp_path: Path) -> None:
    typed = [command for block in PAGE.of("console") for command in commands(block)]
    [emulator] = [command for command in typed if command.text.startswith("cwinference emulator ")]
    with first_terminal(emulator.text, emulator.output, tmp_path) as endpoint:
        done = subprocess.run(
            ["bash", "-c", second_terminal(endpoint)],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
        )
    assert done.returncode == 0, done.stdout
    parts = re.findall(rf"^{MARK}(\d+)\n(.*?)(?=^{MARK}|\Z)", done.stdout, re.MULTILINE | re.DOTALL)
    printed = {int(line): text for line, text in parts}
    assert [each.text for each in typed if each.line not in printed and each != emulator] == [
        each.text for each in typed if each.text.startswith(NOT_HERE)
    ]
    for command in typed:
        if command.line in printed:
            assert fits(command.output, printed[command.line]), f"line {command.line}: {printed[command.line]}"

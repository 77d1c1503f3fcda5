"""The command as a process: broken pipes, Ctrl-C while it starts, how fast it starts."""

import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from cwinference.emulator import Emulator
from tests.support.batch_runs import run_command, start_command
from tests.support.commands import CommandLine
from tests.test_house import loaded_by

INTERRUPTED_IMPORT = """
import importlib.abc, signal, sys
class Interrupt(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {name!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
"""


@pytest.mark.parametrize("name", ["click", "cwinference._cli.commands", "cwinference._cli.run", "cwinference.client"])
def test_ctrl_c_while_it_starts_is_130_without_a_traceback(name: str) -> None:
    before = INTERRUPTED_IMPORT.format(name=name)
    assert run_command("gw", "list", "--token-file", os.devnull, before=before) == (130, "", "")


@pytest.mark.skipif(os.name != "posix", reason="pipes")
def test_a_reader_that_has_gone_ends_nothing(full: CommandLine, inference_emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(inference_emulator.token)
    settings = ["--token-file", tmp_path / "token", "--endpoint", inference_emulator.endpoint]
    for arguments in (["status"], ["dep", "describe", "llama"], ["--help"], ["gw", "get", "x"]):
        reading, writing = os.pipe()
        os.close(reading)
        with start_command(*arguments, *settings, stdout=writing, stderr=writing) as command:
            os.close(writing)
            assert command.wait(timeout=60) == (3 if "x" in arguments else 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk")
def test_data_that_could_not_be_written_is_no_success(full: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(full.emulator.token)
    settings = ["--token-file", tmp_path / "token", "--endpoint", full.emulator.endpoint]
    for arguments in (["gw", "list"], ["export"], ["chat", "front", "Hi", "--model=org/llama"], ["doctor", "-o=json"]):
        with open("/dev/full", "w") as disk, start_command(*arguments, *settings, stdout=disk) as command:  # noqa: PTH123
            _, error = command.communicate(timeout=60)
        assert command.returncode == 1
        assert error.splitlines()[-1].endswith(": standard output: No space left on device")


def cpu_ms(arguments: Sequence[str]) -> float:
    """Return the CPU time of a run of the command, with bytecode caches, as an installed package has them."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    program = "import sys; from cwinference._cli.main import main; sys.exit(main())"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program, *arguments], env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_it_starts_fast(option: str) -> None:
    assert min(cpu_ms([option]) for _ in range(5)) < 150


def test_version_and_help_load_no_command_and_no_client() -> None:
    for option in ("--version", "--help"):
        start = "import contextlib, io; from cwinference._cli.main import main"
        loaded = loaded_by(f"{start}\nwith contextlib.redirect_stdout(io.StringIO()): main([{option!r}])")
        assert not {"cwinference.client", "cwinference.types", "google.protobuf", "rich", "yaml", "asyncio"} & loaded

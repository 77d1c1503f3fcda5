"""The command line itself: what it says of itself, and of commands that are wrong."""

import runpy
import sys

import pytest

from cwinference import __version__
from cwinference._cli.main import main


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "cwinference: the following arguments are required: command (see cwinference --help)"),
        (["--colour"], "(see cwinference --help)"),
        (["serve"], "invalid choice: 'serve' (choose from "),
        (["emulator", "--colour"], "cwinference emulator: unrecognized arguments: --colour (see cwinference emulator"),
        (["batch", "a", "b", "--gateway", "g", "c"], "cwinference batch: unrecognized arguments: c (see cwinference b"),
        (["batch", "a", "b"], "one of the arguments --gateway --base-url is required (see cwinference batch --help)"),
        (["emulator", "--tokne", "CW-SECRET-mine"], "unrecognized arguments: --tokne CW-SECRET-*** (see"),
    ],
)
def test_a_wrong_command_is_told_in_one_line_that_names_its_help(
    capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    out, complaint = capsys.readouterr()
    assert (end.value.code, out, complaint.count("\n")) == (2, "", 1)
    assert told in complaint


def test_it_tells_its_version_as_a_module_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["cwinference", "--version"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("cwinference", run_name="__main__")
    assert end.value.code == 0
    assert capsys.readouterr().out == f"cwinference {__version__}\n"

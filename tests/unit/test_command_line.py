"""The command line itself: its help, its version, and what it says of wrong commands."""

import runpy
import sys

import pytest

from cwinference import __version__
from cwinference._cli.main import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--color"], "(see cwinference --help)"),
        (["serve"], "invalid choice: 'serve' (choose from "),
        (["emulator", "--color"], "cwinference emulator: unrecognized arguments: --color (see cwinference emulator"),
        (["batch", "a", "b", "--gateway", "g", "c"], "cwinference batch: unrecognized arguments: c (see cwinference b"),
        (["batch", "a", "b"], "one of the arguments --gateway --base-url is required (see cwinference batch --help)"),
        (["emulator", "--tokne", "CW-SECRET-mine"], "unrecognized arguments: --tokne CW-SECRET-*** (see"),
    ],
)
def test_a_mistake_is_reported_in_one_line_that_mentions_the_help(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    out, error = capsys.readouterr()
    assert (end.value.code, out, error.count("\n")) == (2, "", 1)
    assert message in error


def test_without_a_command_it_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    printed = capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["--help"])
    assert printed == capsys.readouterr()
    assert printed.out.startswith("usage: cwinference ")
    for command in ("batch", "emulator"):
        assert f"\n    {command} " in printed.out


def test_it_prints_its_version_also_when_run_as_a_module(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["cwinference", "--version"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("cwinference", run_name="__main__")
    assert end.value.code == 0
    assert capsys.readouterr().out == f"cwinference {__version__}\n"

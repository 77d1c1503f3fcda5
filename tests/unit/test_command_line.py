"""The command line itself: its help, its version, and what it says of wrong commands."""

import runpy
import sys

import pytest

from cwinference import __version__
from cwinference._cli.main import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--color"], "cwinference: no such option: --color (see cwinference --help)"),
        (["serve"], "cwinference: no such command: serve; choose from "),
        (["emulater"], "no such command: emulater; did you mean emulator? (see cwinference --help)"),
        (["emulator", "--color"], "cwinference emulator: no such option: --color (see cwinference emulator --help)"),
        (["batch", "a", "b", "--gateway", "g", "c"], "cwinference batch: got unexpected extra argument (c) (see cwinf"),
        (["batch", "a", "b"], "give one of --gateway and --base-url (see cwinference batch --help)"),
        (["batch", "a"], "missing argument 'OUT.jsonl' (see cwinference batch --help)"),
        (["emulator", "--tokne", "CW-SECRET-mine"], "no such option: --tokne; did you mean --token? (see"),
        (["emulator", "CW-SECRET-mine"], "got unexpected extra argument (CW-SECRET-*** (see"),
        (["--timeout", "soon", "batch"], "expected a duration above 0, such as 90, 90s, 10m or 1h, got 'soon'"),
    ],
)
def test_a_mistake_is_reported_in_one_line_that_mentions_the_help(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    code = main(arguments)
    out, error = capsys.readouterr()
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert message in error


def test_without_a_command_it_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    printed = capsys.readouterr()
    assert main(["--help"]) == 0
    assert printed == capsys.readouterr()
    assert printed.out.startswith("Usage: cwinference ")
    for command in ("batch", "emulator"):
        assert f"\n  {command} " in printed.out


def test_it_prints_its_version_also_when_run_as_a_module(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["cwinference", "--version"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("cwinference", run_name="__main__")
    assert end.value.code == 0
    assert capsys.readouterr().out == f"cwinference {__version__}\n"

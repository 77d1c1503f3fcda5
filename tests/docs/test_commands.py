"""The commands of every page are accepted, and print what the page shows.

A page's commands run one after the other against an emulator with the resources of `examples/seed.yaml`.
"""

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.exceptions import Exit

from cwinference._cli.main import parsed
from cwinference.emulator import Emulator
from tests.support.commands import CommandLine

from .pages import PAGES, ROOT, TUTORIAL, Block, Command, Page, commands

OURS = re.compile(r"(?:[A-Z_]+=\S+ )*cwinference ")
WITH_COMMANDS = {name: page for name, page in PAGES.items() if page.of("console")}
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def to_run(page: Page) -> Iterator[tuple[Command, str | None]]:
    """Return the commands to run, each with the exit code that the page shows, if any."""
    for block in page.of("console"):
        listed = commands(block)
        for number, command in enumerate(listed):
            following = listed[number + 1] if number + 1 < len(listed) else None
            code = following.output.strip() if following and following.text == "echo $?" else None
            if OURS.match(command.text) and is_run(block, command, code):
                yield command, code


def is_run(block: Block, command: Command, code: str | None) -> bool:
    return block.is_run and bool(command.output.strip() or code or "run" in block.remarks)


def is_accepted(words: list[str]) -> bool:
    try:
        return parsed(words).command.callback is not None
    except Exit as ended:  # --version and --help end it early
        return ended.exit_code == 0


RUN = {name: page for name, page in WITH_COMMANDS.items() if name != TUTORIAL and any(True for _ in to_run(page))}


@pytest.mark.parametrize("name", WITH_COMMANDS)
def test_the_commands_of_a_page_are_accepted(name: str) -> None:
    for block in WITH_COMMANDS[name].of("console"):
        for command in commands(block):
            for part in re.split(r" (?:\||>|>>|&&|\|\|) ", command.text):
                if OURS.match(part):
                    assert is_accepted(shlex.split(OURS.sub("", part, count=1))), f"{name}:{command.line}"
                elif target := re.match(r"make ([a-z-]+)", part):
                    assert f"\n{target[1]}: " in MAKEFILE, f"{name}:{command.line}"


@pytest.mark.parametrize("name", RUN)
def test_commands_print_what_a_page_shows(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = RUN[name]
    page.write_files(folder)
    with Emulator() as emulator:
        cli = CommandLine(emulator, monkeypatch, capsys)
        cli.populate()
        for command, code in to_run(page):
            ran = run(cli, command.text)
            assert ran[0] == int(code or 0), f"{name}:{command.line}: {ran[2]}"
            if command.output.strip():
                assert any(fits(command.output, each) for each in (ran[1], ran[2] + ran[1])), (
                    f"{name}:{command.line}: {ran[1]}\n{ran[2]}"
                )


def run(cli: CommandLine, text: str) -> tuple[int, str, str]:
    """Run a command, or several that are joined by pipes; return the exit code, output and messages of the last."""
    text, _, target = text.partition(" > ")
    code, out, err = 0, "", ""
    for part in text.split(" | "):
        words = shlex.split(OURS.sub("", part, count=1))
        ran = cli(*words, stdin=out)
        code, out, err = ran.code, ran.out, ran.err
    if target:
        Path(target.strip()).write_text(out)
    return code, out, err


def fits(shown: str, printed: str) -> bool:
    """Return whether this was printed; a line `...` stands for any lines, ` ...` at the end of a line for its rest."""
    rest = r"[^\\n]*"
    expected = [
        ".*" if line == "..." else re.sub(r"(\\\.){3}$", rest, re.escape(line)) for line in without_times(shown)
    ]
    return re.fullmatch("\n".join(expected), "\n".join(without_times(printed)), re.DOTALL) is not None


def without_times(text: str) -> list[str]:
    """Return the words of each line; ages, times, ids, ports and paths differ from run to run."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", text.replace(f"{os.getcwd()}/", ""))  # noqa: PTH109
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)", "TIME", text)
    text = re.sub(r":\d{4,5}\b", ":PORT", re.sub(r"\b\d+(?:\.\d+)?(?: ?ms| ?[smhd])\b", "AGE", text))
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]

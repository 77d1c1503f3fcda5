"""Take pictures of the command line for the documentation: `python -m tools.terminal_pictures docs/pictures`.

Commands run in a pseudo-terminal against an emulator, and what its screen shows is written as SVG: text stays text.
"""

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from cwinference import Client
from cwinference.emulator import Emulator
from tests.support.lively_emulator import lively_emulator
from tests.support.terminal import Terminal

_COLUMNS, _ROWS = 120, 40
_WIDTH, _HEIGHT, _MARGIN = 8.4, 19, 16
"""Of a character, and around all of them, in pixels."""
_FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_BACKGROUND, _FOREGROUND = "#0d1117", "#e6edf3"
_COLORS: Mapping[str, str] = {
    "default": _FOREGROUND, "black": "#6e7681", "red": "#ff7b72", "green": "#3fb950", "brown": "#d29922",
    "blue": "#58a6ff", "magenta": "#bc8cff", "cyan": "#39c5cf", "white": "#e6edf3", "brightblack": "#8b949e",
}  # fmt: skip
"""As pyte calls the colors of a terminal; yellow is brown there."""


def svg(command: str, screen: Sequence[Sequence[Any]]) -> str:
    """Return a picture of a command and what it shows, from the characters of a terminal's screen."""
    height = (len(screen) + 1) * _HEIGHT + 2 * _MARGIN
    longest = max(len(command) + 2, *(len("".join(each.data for each in row).rstrip()) for row in screen))
    width = round(longest * _WIDTH) + 2 * _MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        f' role="img" font-family="{_FONT}" font-size="14">',
        f"<title>{escape(command)}</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="{_BACKGROUND}"/>',
        _text(0, 0, f"$ {command}", "#8b949e", bold=False),
    ]
    for number, row in enumerate(screen, 1):
        lines += _row(number, row)
    return "\n".join([*lines, "</svg>", ""])


def _row(number: int, row: Sequence[Any]) -> Iterator[str]:
    """Yield the texts of a line: one for each run of words that look the same."""
    column = 0
    for (color, bold, dim), run in groupby(row, lambda each: (each.fg, each.bold, getattr(each, "dim", False))):
        text = "".join(each.data for each in run)
        for words in re.finditer(r"\S+(?: \S+)*", text):  # SVG makes one space of several
            place, shown = column + words.start(), _COLORS.get(color, f"#{color}")
            yield _text(number, place, words[0], shown, bold=bold, dim=dim)
        column += len(text)


def _text(line: int, column: int, text: str, color: str, *, bold: bool, dim: bool = False) -> str:
    x, y = _MARGIN + column * _WIDTH, _MARGIN + line * _HEIGHT + 14
    style = (' font-weight="bold"' if bold else "") + (' opacity="0.7"' if dim else "")
    length = f' textLength="{len(text) * _WIDTH:.1f}" lengthAdjust="spacingAndGlyphs"'
    return f'<text x="{x:.1f}" y="{y}" fill="{color}"{style}{length}>{escape(text)}</text>'


def take(emulator: Emulator, path: Path, command: str, *, until: str = "") -> None:
    """Run a command, and write a picture of its screen: at its end, or when it shows a text."""
    environment = {"COREWEAVE_API_TOKEN": emulator.token, "COREWEAVE_API_ENDPOINT": emulator.endpoint}
    with Terminal(command.split()[1:], columns=_COLUMNS, rows=_ROWS, environment=environment) as terminal:
        if until:
            terminal.wait_for(until)
        else:
            terminal.wait()
        path.write_text(svg(command, terminal.characters), "utf-8")


def main(folder: Path) -> None:
    """Write the pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    with tempfile.TemporaryDirectory() as temporary, lively_emulator() as emulator:
        os.chdir(temporary)
        write_files(emulator)
        take(emulator, folder / "status.svg", "cwinference status")
        take(emulator, folder / "explain.svg", "cwinference explain deployments ranker")
        take(emulator, folder / "plan.svg", "cwinference plan stack.json")
        take(emulator, folder / "batch.svg", "cwinference batch --gateway chat in.jsonl out.jsonl", until="[00:02")


def write_files(emulator: Emulator) -> None:
    """Write the files that the commands read: a stack with two changes, and the requests of a batch."""
    with Client(emulator.token, endpoint=emulator.endpoint) as client:
        stack: dict[str, Any] = json.loads(client.export(["chat", "llama-v1", "llama-v2"]).to_json())
    deployments = stack["deployments"]
    deployments["llama-v1"]["autoscaling"]["max"] = 8
    deployments["llama-v3"] = {**deployments.pop("llama-v2"), "traffic": {"weight": 0}}
    Path("stack.json").write_text(json.dumps(stack), "utf-8")
    body = {"model": "meta/llama-3.1-8b", "messages": [{"role": "user", "content": "Say something about GPUs."}]}
    Path("in.jsonl").write_text(f"{json.dumps(body)}\n" * 2000, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

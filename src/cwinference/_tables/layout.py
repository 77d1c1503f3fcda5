"""Columns of text that fit: widths, what is cut or left out on a narrow terminal, colors."""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._text import one_line
from .display import Display

_GAP = "  "
_LEAST = 10
"""How wide a column is that is cut on a narrow terminal, at least; before that, others are left out."""
_LEAST_OF_FIRST = 24
"""The same for the name and the state."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: its title, in capitals.
        text: returns what it shows of a row.
        style: returns the style of that, as rich has them.
        key: returns by what `--sort-by` orders; without one, the text.
        is_wide: whether it is shown only by `-o wide`.
        rank: which columns go first when the terminal is narrow: those with the highest.
        is_right: whether it is aligned to the right.
    """

    title: str
    text: Callable[[Any], str]
    style: Callable[[Any], str] | None = None
    key: Callable[[Any], Any] | None = None
    is_wide: bool = False
    rank: int = 5
    is_right: bool = field(default=False, kw_only=True)


def table_lines(columns: Sequence[Column], rows: Sequence[Any], display: Display, *, fit: bool = True) -> list[str]:
    """Return the lines of a table. On a terminal it fits the width if `fit`; otherwise nothing is cut.

    Args:
        columns: its columns.
        rows: what the columns show.
        display: where it will be printed.
        fit: whether cells may be cut and columns left out.
    """
    cells = [[one_line(column.text(row)) for column in columns] for row in rows]
    widths = [
        max(map(width_of, (column.title, *(line[place] for line in cells)))) for place, column in enumerate(columns)
    ]
    limit = display.width if fit else None
    shown = [*range(len(columns))]
    if limit is not None:
        shown, widths = _fitting(columns, widths, limit)
        display.left_out.update((column.title, None) for place, column in enumerate(columns) if place not in shown)
    ellipsis = "…" if display.has_shapes else "~"

    def line(texts: Sequence[str], styles: Sequence[str]) -> str:
        parts = list[str]()
        for place in shown:
            text = cut(texts[place], widths[place], ellipsis)
            padding = " " * (widths[place] - width_of(text))
            painted = display.paint(text, styles[place])
            parts.append(padding + painted if columns[place].is_right else painted + padding)
        return _GAP.join(parts).rstrip()

    found = [line([each.title for each in columns], ["bold"] * len(columns))]
    for row, texts in zip(rows, cells, strict=True):
        found.append(line(texts, [each.style(row) if each.style else "" for each in columns]))
    return found


def cut(text: str, width: int, ellipsis: str) -> str:
    """Return the text, cut to a width."""
    if width_of(text) <= width:
        return text
    kept, room = "", width - 1
    for character in text:
        room -= width_of(character)
        if room < 0:
            break
        kept += character
    return (kept + ellipsis)[:width] if width > 1 else kept or ellipsis


def _fitting(columns: Sequence[Column], widths: Sequence[int], limit: int) -> tuple[list[int], list[int]]:
    """Return which columns are shown, and how wide each is: the widest are cut, and the least needed left out."""
    shown, fitted = [*range(len(columns))], [*widths]
    while True:
        room = limit - len(_GAP) * (len(shown) - 1)
        if sum(fitted[each] for each in shown) <= room:
            return shown, fitted
        least = {each: min(fitted[each], _LEAST if columns[each].rank > 1 else _LEAST_OF_FIRST) for each in shown}
        others = [each for each in shown if columns[each].rank > 1]
        if sum(least.values()) <= room or len(shown) == 1 or (not others and len(shown) == 2):
            return shown, _shrunk(fitted, least, room)
        shown.remove(max(others or shown, key=lambda each: (columns[each].rank, each)))


def _shrunk(widths: list[int], least: Mapping[int, int], room: int) -> list[int]:
    """Cut the columns that have most to spare until all fit."""
    while sum(widths[each] for each in least) > max(1, room):
        widest = max(least, key=lambda each: (max(0, widths[each] - least[each]), widths[each]))
        widths[widest] -= 1
    return widths


def width_of(text: str) -> int:
    """Return how many places of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )

"""Small tables for notebooks, as HTML.

Servers may put anything into what a table shows. So every cell is escaped, and marked as no mathematics: notebooks
would otherwise typeset what is between dollar signs.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ._text import printable

_TABLE = '<table class="tex2jax_ignore mathjax_ignore">'
_LEFT, _RIGHT = "text-align:left;white-space:pre-wrap", "text-align:right"


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        rows: its rows; the first cell of each is a title if there are no `titles`.
        titles: the titles of its columns; none for a table of names and values.
        caption: what is shown above it; may be empty.
        right: the places of columns that are aligned to the right.
    """

    rows: Sequence[Sequence[object]]
    titles: Sequence[str] = ()
    caption: str = ""
    right: Collection[int] = ()


class Displayed:
    """What notebooks show as tables, and IPython in a terminal as the text that `print` shows."""

    __slots__ = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # IPython prefers the `__repr__` of a class to what its bases have.
        setattr(cls, "_repr_pretty_", Displayed._repr_pretty_)  # noqa: B010 - to mypy it is no assignment

    def _as_tables(self) -> Iterable[Table]:
        """Return the tables."""
        raise NotImplementedError

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": printable(str(self)), "text/html": html_of(self._as_tables())}

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        print_lines(printable(str(self)), printer)


def print_lines(text: str, printer: Any) -> None:
    """Print a text by a printer of IPython's, with the indentation of what it is in."""
    for number, line in enumerate(text.splitlines()):
        if number:
            printer.break_()
        printer.text(line)


def html_of(tables: Iterable[Table]) -> str:
    """Return tables as HTML."""
    return "".join(f"{_TABLE}{''.join(_parts(each))}</table>" for each in tables)


def _parts(table: Table) -> Iterator[str]:
    if table.caption:
        yield f'<caption style="{_LEFT}">{_escaped(table.caption)}</caption>'
    if table.titles:
        titles = [_cell(each, "th", place in table.right) for place, each in enumerate(table.titles)]
        yield f"<thead>{_row(titles)}</thead>"
    yield "<tbody>"
    for row in table.rows:
        yield _row(
            _cell(each, "td" if table.titles or place else "th", place in table.right) for place, each in enumerate(row)
        )
    yield "</tbody>"


def _row(cells: Iterable[str]) -> str:
    return f"<tr>{''.join(cells)}</tr>"


def _cell(value: object, tag: str, is_right: bool) -> str:
    return f'<{tag} style="{_RIGHT if is_right else _LEFT}">{_escaped(str(value))}</{tag}>'


def _escaped(text: str) -> str:
    from html import escape  # only notebooks need it

    # JSON may have halves of surrogate pairs, which no notebook can store.
    return escape(printable(text).encode("utf-8", "backslashreplace").decode())

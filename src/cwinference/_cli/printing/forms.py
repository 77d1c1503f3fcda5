"""The forms of `-o`: from resources to text."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from google.protobuf.message import Message

from ..._tables.display import Display
from ..._tables.layout import Column, table_lines
from ..._text import one_line, printable
from ..._yaml import dump_yaml
from ...messages import to_dict
from ..exit_codes import USAGE
from ..failures import CommandError
from ..output import as_json
from ..parsing.suggestions import did_you_mean


def json_text(resources: Sequence[Message], *, single: bool) -> str:
    """Return a JSON object for a single resource, and an array for a list."""
    found = [to_dict(each) for each in resources]
    return as_json(found[0] if single and len(found) == 1 else found)


def ndjson_text(values: Iterable[Any]) -> str:
    """Return each value as JSON on a line of its own."""
    return "\n".join(as_json(each, indent=None) for each in values)


def yaml_text(value: Any) -> str:
    """Return plain data as YAML.

    Raises:
        ConfigurationError: PyYAML is not installed.
    """
    return printable(dump_yaml(value)).rstrip("\n")


def table_text(
    columns: Sequence[Column],
    rows: Sequence[Any],
    screen: Display,
    *,
    wide: bool = False,
    chosen: str | None = None,
    order: str | None = None,
) -> str:
    """Return a table.

    Args:
        columns: all columns that there are.
        rows: what they show.
        screen: where it will be printed.
        wide: whether it has all columns, and is not cut.
        chosen: the titles of the columns that it has, separated by commas.
        order: the title of the column to sort by; with a `-` before it, in reverse.

    Raises:
        CommandError: there is no such column.
    """
    usual = [each for each in columns if wide or not each.is_wide]
    shown = usual if chosen is None else chosen_from(columns, chosen)
    return "\n".join(table_lines(shown, sorted_by(columns, rows, order), screen, fit=not wide))


def chosen_from(columns: Sequence[Column], titles: str) -> Sequence[Column]:
    """Return the columns with these titles, which are separated by commas.

    Raises:
        CommandError: there is no such column.
    """
    return [_column(columns, title, "--columns") for title in titles.split(",")]


def sorted_by(columns: Sequence[Column], rows: Sequence[Any], order: str | None) -> Sequence[Any]:
    """Return the rows in the order of a column."""
    if order is None:
        return rows
    column = _column(columns, order.removeprefix("-"), "--sort-by")
    key: Callable[[Any], Any] = column.key or (lambda row: column.text(row).lower())
    return sorted(rows, key=key, reverse=order.startswith("-"))


def names_text(names: Iterable[str]) -> str:
    """Return names, each on a line."""
    return "\n".join(map(one_line, names))


def _column(columns: Sequence[Column], title: str, option: str) -> Column:
    by_title: Mapping[str, Column] = {each.title.lower(): each for each in columns}
    found = by_title.get(title.strip().lower())
    if found is None:
        hint = did_you_mean(title, by_title, choose=True)
        raise CommandError(f"{option}: there is no column {title.strip()!r}{hint}", code=USAGE)
    return found

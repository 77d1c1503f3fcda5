"""Messages of the API, and lists of them, as HTML and as text. What is secret in them is not shown."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from google.protobuf.message import Message

from .. import types
from .._html import Table, html_of
from .._tables.columns import columns_of, has_columns
from .._tables.context import TableContext
from .._tables.display import PlainDisplay
from .._tables.layout import Column, table_lines
from .._text import printable
from ..messages import without_secrets
from ..resources._comparison import CONFIDENTIAL, WRITE_ONLY, is_map
from ..status import AnyResource, describe, met_text, name_of

MOST = 100
"""How many messages of a list are shown."""


def message_html(message: Message) -> str:
    """Return a message as HTML: of a resource what the command line shows, and its conditions; else all that is set."""
    if not isinstance(message, AnyResource | types.HotLoad):
        return html_of([Table([*_fields(_safe(message))], caption=type(message).__name__)])
    cells = [(each.title, each.text(message)) for each in _columns(type(message), PlainDisplay(has_shapes=True))]
    return html_of([Table([each for each in cells if each[1]], caption=name_of(message)), *_conditions(message)])


def message_text(message: Message) -> str:
    """Return a message as text: of a resource what `describe` returns, else all that is set."""
    if isinstance(message, AnyResource | types.HotLoad):
        return describe(message)
    return f"{type(message).__name__}\n{printable(str(_safe(message)))}".rstrip()


def list_html(values: Iterable[Any]) -> str | None:
    """Return messages of one kind, for which there are columns, as a table; None for anything else."""
    messages = _listed(values)
    if not messages:
        return None
    columns = _usual(messages, PlainDisplay(has_shapes=True))
    rows = [[each.text(message) for each in columns] for message in messages[:MOST]]
    right = {place for place, each in enumerate(columns) if each.is_right}
    return html_of([Table(rows, [each.title for each in columns], _count(messages), right)])


def list_text(values: Iterable[Any]) -> str | None:
    """Return the same as text."""
    messages = _listed(values)
    if not messages:
        return None
    display = PlainDisplay()
    lines = table_lines(_usual(messages, display), messages[:MOST], display)
    return "\n".join(lines if len(messages) <= MOST else [*lines, _count(messages)])


def _listed(values: Iterable[Any]) -> Sequence[Message]:
    """Return them as a list; an empty one if they are not of one kind, for which there are columns."""
    found = [*values]
    kinds: set[type[Any]] = {type(each) for each in found}
    return found if len(kinds) == 1 and has_columns(*kinds) else []


def _count(messages: Sequence[Message]) -> str:
    name = f"{type(messages[0]).__name__}{'s'[: len(messages) != 1]}"
    return f"{len(messages):,} {name}{f', the first {MOST} of them' if len(messages) > MOST else ''}"


def _usual(messages: Sequence[Message], display: PlainDisplay) -> Sequence[Column]:
    return [each for each in _columns(type(messages[0]), display) if not each.is_wide]


def _columns(kind: type[Message], display: PlainDisplay) -> Sequence[Column]:
    return columns_of(kind, TableContext(display, now=datetime.now(UTC)))


def _conditions(resource: Any) -> Iterator[Table]:
    rows = [
        (each.type, met_text(each.status), each.zone, each.reason, each.message) for each in resource.status.conditions
    ]
    if rows:
        yield Table(rows, ("CONDITION", "MET", "ZONE", "REASON", "MESSAGE"))


def _safe(message: Message) -> Message:
    """Return a copy with `***` in place of credentials, and of values where people put credentials."""
    return without_secrets(message, "***", WRITE_ONLY | CONFIDENTIAL)


def _fields(message: Message, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield what is set, by the paths of fields."""
    for field, value in cast(Any, message).ListFields():
        place = f"{path}{field.name}"
        kind = field.message_type
        if kind is None:
            values = value if field.is_repeated else [value]
            yield place, ", ".join(str(_name(field, each)) for each in values)
        elif is_map(field):
            for key in sorted(value):
                inside = value[key]
                if isinstance(inside, Message):
                    yield from _fields(inside, f"{place}[{key}].")
                else:
                    yield f"{place}[{key}]", str(inside)
        elif kind.full_name == types.Timestamp.DESCRIPTOR.full_name:
            yield place, value.ToJsonString()
        elif field.is_repeated:
            for number, each in enumerate(value):
                yield from _fields(each, f"{place}[{number}].")
        else:
            inside = [*_fields(value, f"{place}.")]
            yield from inside or [(place, "(empty)")]


def _name(field: Any, value: Any) -> object:
    known = None if field.enum_type is None else field.enum_type.values_by_number.get(value)
    return value if known is None else known.name

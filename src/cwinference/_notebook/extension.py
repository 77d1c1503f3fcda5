"""Registers with IPython how messages are shown. It gets IPython's shell as an argument, and never imports IPython."""

from collections.abc import Callable
from typing import Any, TypeAlias, cast
from weakref import WeakKeyDictionary

from google.protobuf.message import Message

from .. import types
from .._html import print_lines
from ..following import View
from .messages import list_html, list_text, message_html, message_text

_Before: TypeAlias = list[tuple[Any, type, Any]]
"""Formatters of a shell with types, and what they used for each before."""

_changed: WeakKeyDictionary[Any, _Before] = WeakKeyDictionary()
"""What was changed, by the shell."""


def load(shell: Any) -> None:
    """Show messages of the API, lists of them and views of caches as tables, or as text in a terminal."""
    if shell in _changed:
        return
    before: _Before = []
    formatters = shell.display_formatter.formatters
    html, plain = formatters["text/html"], formatters["text/plain"]

    def use(formatter: Any, kind: type, printer: Callable[..., Any]) -> None:
        before.append((formatter, kind, formatter.for_type(kind, printer)))

    for kind in _messages():
        use(html, kind, message_html)
        use(plain, kind, _print_message)
    for sequence in (list, tuple):
        use(html, sequence, _html_printer(html.for_type(sequence)))
        use(plain, sequence, _text_printer(plain.for_type(sequence)))
    use(html, View, _view_html)
    _changed[shell] = before


def unload(shell: Any) -> None:
    """Undo `load`."""
    for formatter, kind, former in _changed.pop(shell, []):
        if former is None:
            formatter.pop(kind, None)
        else:
            formatter.for_type(kind, former)


def _messages() -> list[type[Message]]:
    named = [getattr(types, name) for name in types.__all__]
    return [each for each in named if isinstance(each, type) and issubclass(each, Message)]


def _print_message(message: Message, printer: Any, cycle: bool) -> None:
    print_lines(message_text(message), printer)


def _view_html(view: View[Any]) -> str | None:
    return list_html(view.values())


def _html_printer(former: Any) -> Callable[[Any], str | None]:
    """Return what shows lists, and leaves those of others to what showed them before."""

    def show(values: Any) -> str | None:
        found = list_html(values) if type(values) in (list, tuple) else None
        if found is not None:
            return found
        own: Any = former or getattr(cast(Any, type(values)), "_repr_html_", None)
        shown: str | None = None if own is None else own(values)
        return shown

    return show


def _text_printer(former: Any) -> Callable[[Any, Any, bool], None]:
    def show(values: Any, printer: Any, cycle: bool) -> None:
        found = list_text(values) if type(values) in (list, tuple) else None
        if found is None:
            former(values, printer, cycle)
        else:
            print_lines(found, printer)

    return show

"""The messages and enums of the API in the Python reference, from the comments of proto/."""

import ast
import re
from functools import cache
from typing import Protocol

from . import docstrings
from .public_names import SOURCE, value_of

_DOCS = SOURCE / "cwinference" / "_type_docs.py"
_INNER = re.compile(r"(?:list|dict)\[(?:str, )?(?P<name>[A-Z]\w+(?:\.\w+)*)\]|(?P<alone>[A-Z]\w+(?:\.\w+)*)")


class Style(Protocol):
    """What a message's entry needs of a style."""

    def entry(self, kind: str, headings: list[str], body: str, /) -> str:
        """Return an entry."""
        ...


@cache
def documented() -> dict[str, str]:
    """Return the docstrings of messages and enums by their names."""
    value = value_of(_DOCS, "DOCS")
    assert value is not None
    found: dict[str, str] = ast.literal_eval(value)
    return found


def message_entry(path: str, style: object) -> str:
    """Return the entry of a message or an enum: `types.Gateway`."""
    name = path.removeprefix("types.")
    as_directive = type(style).__name__ == "Site"

    def link(section: str, text: str) -> str:
        if section == "type" and as_directive:
            found = _INNER.fullmatch(text)
            inner = found and (found["name"] or found["alone"])
            if inner and inner in documented():
                return f"{{py:class}}`{text} <types.{inner}>`"
        return f"`{text}`"

    entry = getattr(style, "entry")  # noqa: B009
    text: str = entry("class", [path], docstrings.markdown(documented()[name], link))
    return text

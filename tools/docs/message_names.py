"""The messages and enums of the API: their docstrings, which are the comments of proto/, and their names in types."""

import ast
import re
from functools import cache

from .public_names import SOURCE, value_of

_DOCS = SOURCE / "cwinference" / "_type_docs.py"
_INNER = re.compile(r"(?:(?:list|dict)\[(?:\w+, )?)?(?P<name>[A-Z]\w+(?:\.\w+)*)\]?")


@cache
def documented() -> dict[str, str]:
    """Return the docstrings by the names: `Condition.Status`."""
    value = value_of(_DOCS, "DOCS")
    assert value is not None
    found: dict[str, str] = ast.literal_eval(value)
    return found


def message_in(type: str) -> str | None:
    """Return the message or enum in the type of a field: `list[Condition]`, `CoreWeaveAuth, oneof auth`; or None."""
    found = _INNER.fullmatch(type.partition(", oneof")[0])
    return found["name"] if found is not None and found["name"] in documented() else None

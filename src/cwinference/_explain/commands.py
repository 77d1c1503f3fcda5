"""The commands that mend something, as they are typed."""

import shlex
from collections.abc import Iterable


def modify(kind: str, name: str, **fields: str) -> str:
    """Return the command that changes fields; `__` in a keyword stands for the `.` of its option."""
    options: list[str] = []
    for field, value in fields.items():
        option = "--" + field.replace("__", ".").replace("_", "-")
        options += [f"{option}={value}"] if value in ("true", "false") else [option, value]
    return command(kind, "modify", name, *options)


def command(*words: str) -> str:
    """Return any other command."""
    return shlex.join(["cwinference", *words])


def listed(values: Iterable[str], most: int = 8) -> str:
    """Return values, sorted, as a list in a sentence; "nothing" if there are none."""
    found = sorted(values)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more if found else "nothing"

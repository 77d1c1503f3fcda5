"""Tables of the emulator: faults, fates and behavior, and its admin routes."""

import inspect
import json
import re
from collections.abc import Iterable, Iterator
from importlib import resources
from typing import Any

from cwinference.emulator import Behavior, Fate, Faults
from cwinference.emulator.faults.options import DEFAULTS

from . import docstrings
from .tables import table

_KIND = re.compile(r'^"(?P<kind>\w+)": (?P<text>.+)$', re.DOTALL)


def faults() -> str:
    """Return the table of the kinds of faults and their options."""
    return table(
        ("kind", "what goes wrong", "options, with defaults"),
        ((f"`{kind}`", text.removesuffix(" No options."), _options(options)) for kind, text, options in _kinds()),
    )


def selection() -> str:
    """Return the list of what selects the calls that a fault happens to."""
    items = arguments_of(Faults.add)
    return table(("key", "meaning, with the default"), ((f"`{name}`", text) for name, text in items if name in _KEYS))


def behavior() -> str:
    """Return the table of the keys of `[behavior]`."""
    return table(("key", "meaning"), ((f"`{name}`", text) for name, text in arguments_of(Behavior)))


def fates() -> str:
    """Return the table of the keys of a fate."""
    return table(("key", "meaning"), ((f"`{name}`", text) for name, text in arguments_of(Fate)))


def routes() -> str:
    """Return the table of the admin routes, from their OpenAPI document."""
    text = resources.files("cwinference.emulator.admin").joinpath("openapi.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return table(
        ("route", "what it does", "body", "responds"),
        (
            (
                f"`{verb.upper()} {path}`",
                operation["summary"] + ("" if operation.get("security") != [] else " Needs no token."),
                _body(operation.get("requestBody", {}), document["components"]["schemas"]),
                _success(operation["responses"]),
            )
            for path, verbs in document["paths"].items()
            for verb, operation in verbs.items()
        ),
    )


def bodies() -> str:
    """Return the table of what the bodies of the admin routes contain, from the same document."""
    text = resources.files("cwinference.emulator.admin").joinpath("openapi.json").read_text("utf-8")
    schemas: dict[str, Any] = json.loads(text)["components"]["schemas"]
    return table(
        ("body", "members"),
        ((f"`{name}`", _described(schema)) for name, schema in schemas.items() if name in _BODIES),
    )


_BODIES = ("Reset", "Advance", "Fate", "NewFault", "State", "Resource", "Clock", "Count")
"""The ones that people write, and what they are most likely to read."""

_KEYS = ("method", "path", "deployment", "nth", "probability", "seed", "times")


def _options(options: Iterable[tuple[str, str]]) -> str:
    return "; ".join(f"`{name}`: {meaning.rstrip('.')}" for name, meaning in options) or "none"


def _kinds() -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    """Yield each kind with what goes wrong, and its options with their meanings."""
    documented = inspect.getdoc(Faults) or ""
    for block in documented.split("\n\n"):
        found = _KIND.match(block)
        if found:
            kind, names = found["kind"], [*DEFAULTS[found["kind"]]]  # type: ignore[index]
            lines = found["text"].splitlines()
            start = next((n for n, line in enumerate(lines) if line.strip().split(":")[0] in names), len(lines))
            yield kind, " ".join(map(str.strip, lines[:start])), list(_pairs(lines[start:]))


def arguments_of(documented: object) -> list[tuple[str, str]]:
    """Return the arguments in a docstring, with their meanings."""
    text = inspect.getdoc(documented) or ""
    section = text.partition("Args:\n")[2].partition("\n\n")[0]
    return list(_pairs(section.splitlines()))


def _pairs(lines: list[str]) -> Iterator[tuple[str, str]]:
    for item in docstrings.list_items(lines) if lines else ():
        name, _, text = item.partition(": ")
        yield name, text


def _described(schema: dict[str, Any]) -> str:
    """Return the members of a JSON object, and what its description adds."""
    return ". ".join(filter(None, ["; ".join(_members(schema)), schema.get("description", "")]))


def _members(schema: dict[str, Any]) -> Iterator[str]:
    """Yield the members of a JSON object: name, kind and meaning of each."""
    for name, member in schema["properties"].items():
        needed = "" if name in schema["required"] else ", optional"
        meaning = member.get("description", "").rstrip(".")
        yield f"`{name}` ({_kind(member)}{needed})" + (f": {meaning}" if meaning else "")


def _kind(member: dict[str, Any]) -> str:
    """Return what kind of value a member has."""
    if "anyOf" in member:
        return " or ".join(_kind(each) for each in member["anyOf"])
    if "enum" in member:
        return " or ".join(f'"{each}"' for each in member["enum"])
    if "const" in member:
        return str(member["const"])
    return f"`{name}`" if (name := member.get("$ref", "").rpartition("/")[2]) else str(member["type"])


def _schema(body: dict[str, Any]) -> str:
    """Return the name of what a request or response contains, with a mark if it may be left out."""
    content = body.get("content", {}).get("application/json", {}).get("schema", {})
    name = content.get("$ref", "").rpartition("/")[2]
    if not name:
        return _kind(content) if "anyOf" in content else "JSON" if content else ""
    return f"`{name}`" if body.get("required", True) else f"`{name}`, optional"


def _body(body: dict[str, Any], schemas: dict[str, Any]) -> str:
    """Return what a request contains: the name of its schema, and the fields of that."""
    name = _schema(body)
    schema = schemas.get(name.partition("`")[2].partition("`")[0], {})
    fields = [*schema.get("properties", {})]
    needed = [f"`{field}`" for field in fields if field in schema.get("required", ())]
    others = [f"`{field}`" for field in fields if field not in schema.get("required", ())]
    named = ", and optionally ".join(filter(None, [", ".join(needed), ", ".join(others)]))
    return f"{name} with {named}" if named else name


def _success(responses: dict[str, Any]) -> str:
    status = next(each for each in responses if each.startswith("2"))
    return f"{status} {_schema(responses[status])}".strip()

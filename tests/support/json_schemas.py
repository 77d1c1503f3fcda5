"""Whether a value fits a JSON schema: as much of the standard as the tests need, and nothing is ignored silently."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

_TYPES: Mapping[str, Any] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: not isinstance(value, bool) and (isinstance(value, int) or value == int(value)),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}
_CHECKS: Mapping[str, Any] = {
    "enum": lambda value, allowed: value in allowed,
    "const": lambda value, allowed: value == allowed,
    "minimum": lambda value, least: not _is_number(value) or value >= least,
    "maximum": lambda value, most: not _is_number(value) or value <= most,
    "exclusiveMinimum": lambda value, least: not _is_number(value) or value > least,
    "exclusiveMaximum": lambda value, most: not _is_number(value) or value < most,
    "multipleOf": lambda value, unit: not _is_number(value) or value % unit == 0,
    "minLength": lambda value, least: not isinstance(value, str) or len(value) >= least,
    "maxLength": lambda value, most: not isinstance(value, str) or len(value) <= most,
    "pattern": lambda value, pattern: not isinstance(value, str) or re.search(pattern, value),
    "minItems": lambda value, least: not isinstance(value, list) or len(_items(value)) >= least,
    "maxItems": lambda value, most: not isinstance(value, list) or len(_items(value)) <= most,
}
_IGNORED = {"description", "title", "default", "format", "$defs", "definitions", "$schema", "examples"}


def mistakes(value: Any, schema: Any, root: Any = None, path: str = "$") -> list[str]:
    """Return where a value does not fit a schema."""
    return list(_mistakes(value, schema, schema if root is None else root, path))


def _mistakes(value: Any, schema: Any, root: Any, path: str) -> Iterator[str]:
    if schema in (True, {}):
        return
    for word, expected in schema.items():
        if word == "$ref":
            target = root
            for step in expected.removeprefix("#/").split("/"):
                target = target[step]
            yield from _mistakes(value, target, root, path)
        elif word == "type":
            kinds = [expected] if isinstance(expected, str) else expected
            if not any(_TYPES[kind](value) for kind in kinds):
                yield f"{path}: {value!r} is no {expected}"
        elif word in ("anyOf", "oneOf"):
            if all(mistakes(value, each, root, path) for each in expected):
                yield f"{path}: {value!r} fits none of {expected}"
        elif word == "allOf":
            for each in expected:
                yield from _mistakes(value, each, root, path)
        elif word in ("properties", "required", "additionalProperties"):
            if isinstance(value, dict):
                yield from _of_object(cast(dict[str, Any], value), word, schema, root, path)
        elif word == "items":
            for index, each in enumerate(_items(value)):
                yield from _mistakes(each, expected, root, f"{path}[{index}]")
        elif word in _CHECKS:
            if not _CHECKS[word](value, expected):
                yield f"{path}: {value!r} violates {word} {expected!r}"
        else:
            assert word in _IGNORED, f"{word}: this check does not know it"


def _of_object(value: dict[str, Any], word: str, schema: Any, root: Any, path: str) -> Iterator[str]:
    known = schema.get("properties", {})
    if word == "required":
        yield from (f"{path}.{name} is missing" for name in schema[word] if name not in value)
    elif word == "properties":
        for name in value.keys() & known.keys():
            yield from _mistakes(value[name], known[name], root, f"{path}.{name}")
    else:
        for name in value.keys() - known.keys():
            if schema[word] is False:
                yield f"{path}.{name} is unknown"
            else:
                yield from _mistakes(value[name], schema[word], root, f"{path}.{name}")


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

"""Makes values that fit a JSON schema, always the same for the same schema; refuses what it does not understand."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

Schema = Mapping[str, Any]

_DEPTH = 4
"""Beyond it, what need not be there is left out, and alternatives that end are tried first."""
_MAX_DEPTH = 40
_MAX_ITEMS, _MAX_LENGTH = 100, 10_000
_MAX_NUMBER = 1e300
_NOTES = {
    "$schema", "$id", "$defs", "definitions", "$comment", "title", "description", "default", "example", "examples",
    "deprecated", "readOnly", "writeOnly", "nullable", "strict", "propertyNames", "maxProperties", "minProperties",
}  # fmt: skip
"""Words that do not matter here; those about the properties of an object are checked in `_object`."""
_FORMATS = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_WORDS_OF = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "minItems", "maxItems"},
    "string": {"minLength", "maxLength", "format"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
}
_ALWAYS = {"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"}


class UnsupportedSchema(Exception):
    """A schema that asks for what this cannot make, or that no value fits; its text says where."""


@dataclass(slots=True)
class _Root:
    """The whole schema, and how many more values may be made for it."""

    schema: object
    left: int = 10_000


def value_for(schema: object) -> Any:
    """Return a value that fits a schema, or raise `UnsupportedSchema`."""
    return _value(schema, _Root(schema), "$", 0)


def _value(schema: object, root: _Root, path: str, depth: int) -> Any:
    if schema is True or schema == {}:
        return {}
    if not isinstance(schema, dict):
        raise UnsupportedSchema(f"{path}: expected a schema, got {json.dumps(schema)[:50]}")
    fields = cast(dict[str, Any], schema)
    root.left -= 1
    if depth > _MAX_DEPTH or root.left < 0:
        raise UnsupportedSchema(f"{path}: the schema has no end")
    for word, merge in _COMBINED.items():
        if word in fields:
            others = {name: value for name, value in fields.items() if name != word}
            return merge(fields[word], others, root, path, depth)
    kind = _kind(fields, path)
    known = _NOTES | _ALWAYS | _WORDS_OF.get("number" if kind == "integer" else kind, set[str]())
    every = known.union(*_WORDS_OF.values())
    if unknown := [word for word in fields if word not in every and not word.startswith("x-")]:
        raise UnsupportedSchema(f"{path}: the emulator's text generator does not know {unknown[0]!r}")
    if "const" in fields:
        return fields["const"]
    if "enum" in fields:
        return _first(fields["enum"], path)
    return _MAKERS[kind](fields, root, path, depth)


def _kind(schema: Schema, path: str) -> str:
    given = schema.get("type")
    kinds = cast(list[object], given) if isinstance(given, list) else [given]
    if given is None:
        return next((kind for kind, words in _WORDS_OF.items() if words & schema.keys()), "object")
    known = [each for each in kinds if isinstance(each, str) and each in _MAKERS]
    if not known:
        raise UnsupportedSchema(f"{path}.type: expected one of {', '.join(_MAKERS)}, got {json.dumps(given)[:50]}")
    return known[0]


def _first(values: object, path: str) -> Any:
    every = cast(list[object], values) if isinstance(values, list) else []
    if not every:
        raise UnsupportedSchema(f"{path}.enum: expected a list of values")
    return every[0]


def _reference(target: object, others: Schema, root: _Root, path: str, depth: int) -> Any:
    if not isinstance(target, str) or not target.startswith("#"):
        raise UnsupportedSchema(f"{path}.$ref: expected a reference inside the schema, got {target!r}")
    found: Any = root.schema
    for step in filter(None, target.removeprefix("#").split("/")):
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or name not in found:
            raise UnsupportedSchema(f"{path}.$ref: there is no {target}")
        found = cast(dict[str, Any], found)[name]
    return _value(_merged(found, others, path), root, path, depth + 1)


def _alternatives(schemas: object, others: Schema, root: _Root, path: str, depth: int) -> Any:
    if not isinstance(schemas, list) or not schemas:
        raise UnsupportedSchema(f"{path}: expected a list of schemas")
    candidates = cast(list[object], schemas)
    if depth > _DEPTH:
        candidates = sorted(candidates, key=_is_nested)
    reason = UnsupportedSchema(f"{path}: no alternative fits")
    for candidate in candidates:
        try:
            return _value(_merged(candidate, others, path), root, path, depth + 1)
        except UnsupportedSchema as error:
            reason = error
    raise reason


def _is_nested(schema: object) -> bool:
    return not isinstance(schema, dict) or cast(Schema, schema).get("type") in ("object", "array", None)


def _all(schemas: object, others: Schema, root: _Root, path: str, depth: int) -> Any:
    if not isinstance(schemas, list):
        raise UnsupportedSchema(f"{path}.allOf: expected a list of schemas")
    merged: Any = others
    for each in cast(list[object], schemas):
        merged = _merged(each, merged, path)
    return _value(merged, root, path, depth + 1)


_COMBINED: Mapping[str, Callable[[object, Schema, _Root, str, int], Any]] = {
    "$ref": _reference,
    "allOf": _all,
    "anyOf": _alternatives,
    "oneOf": _alternatives,
}


def _merged(first: object, second: Schema, path: str) -> object:
    """Return a schema that both together are, if they do not say different things about one word."""
    if first is True:
        return second
    if not isinstance(first, dict):
        raise UnsupportedSchema(f"{path}: expected a schema")
    merged = dict(cast(Schema, first))
    for word, value in second.items():
        if word not in merged or word in _NOTES or merged[word] == value:
            merged[word] = value
        elif word == "properties" and _are(dict, merged[word], value) and not merged[word].keys() & value.keys():
            merged[word] = {**merged[word], **value}
        elif word == "required" and _are(list, merged[word], value):
            merged[word] = [*merged[word], *value]
        else:
            raise UnsupportedSchema(f"{path}: the emulator's text generator cannot combine two {word!r}")
    return merged


def _are(kind: type, *values: object) -> bool:
    return all(isinstance(each, kind) for each in values)


def _object(schema: Schema, root: _Root, path: str, depth: int) -> dict[str, Any]:
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not _are(dict, properties) or not _are(list, required) or not _are(str, *required):
        raise UnsupportedSchema(f"{path}: expected properties as an object, and required as a list of names")
    least, most = _bounds(schema, "minProperties", "maxProperties", _MAX_ITEMS, path)
    value: dict[str, Any] = {}
    for name, each in cast(dict[str, object], properties).items():
        if name in required or depth < _DEPTH:
            try:
                value[name] = _value(each, root, f"{path}.{name}", depth + 1)
            except UnsupportedSchema:
                if name in required:
                    raise
    for name in cast(list[str], required):
        if name not in value:
            value[name] = _value(schema.get("additionalProperties", True), root, f"{path}.{name}", depth + 1)
    if not least <= len(value) <= most:
        raise UnsupportedSchema(f"{path}: the emulator's text generator cannot make so many properties")
    if value and schema.get("propertyNames", True) is not True:
        raise UnsupportedSchema(f"{path}: the emulator's text generator does not know 'propertyNames'")
    return value


def _array(schema: Schema, root: _Root, path: str, depth: int) -> Sequence[Any]:
    least, most = _bounds(schema, "minItems", "maxItems", _MAX_ITEMS, path)
    count = least if depth >= _DEPTH or most < 1 else max(least, 1)
    return [_value(schema.get("items", True), root, f"{path}[{index}]", depth + 1) for index in range(count)]


def _string(schema: Schema, root: _Root, path: str, depth: int) -> str:
    least, most = _bounds(schema, "minLength", "maxLength", _MAX_LENGTH, path)
    text = _FORMATS.get(str(schema.get("format")))
    if text is None:
        name = path.rpartition(".")[2].partition("[")[0].strip("$") or "text"
        return name.ljust(least, "x")[: int(min(most, _MAX_LENGTH))]
    if not least <= len(text) <= most:
        raise UnsupportedSchema(f"{path}: no {schema['format']} of this length is known")
    return text


def _bounds(schema: Schema, low: str, high: str, limit: int, path: str) -> tuple[int, float]:
    least, most = schema.get(low, 0), schema.get(high, math.inf)
    if not _is_number(least) or not _is_number(most) or not 0 <= least <= min(most, limit):
        raise UnsupportedSchema(f"{path}: cannot make something with {low} {least!r} and {high} {most!r}")
    return math.ceil(least), most


def _number(schema: Schema, root: _Root, path: str, depth: int) -> float:
    return _in_range(schema, path, 0.5)


def _integer(schema: Schema, root: _Root, path: str, depth: int) -> int:
    return int(_in_range(schema, path, 1))


def _in_range(schema: Schema, path: str, finest: float) -> float:
    """Return the number nearest to 1 that is in the range of a schema, and a multiple of what it says."""
    for word in _WORDS_OF["number"]:
        if word in schema and not (_is_number(schema[word]) and abs(schema[word]) <= _MAX_NUMBER):
            raise UnsupportedSchema(f"{path}.{word}: expected a number of at most {_MAX_NUMBER:g}")
    unit = schema.get("multipleOf", 1)
    if unit <= 0 or (finest == 1 and unit % 1):
        raise UnsupportedSchema(f"{path}.multipleOf: cannot make a multiple of {unit!r}")
    least = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf))
    most = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf))
    start = min(max(least, 1.0), most)
    quotient = start / unit
    if not math.isfinite(quotient):
        raise UnsupportedSchema(f"{path}.multipleOf: cannot make a multiple of {unit!r}")
    near = math.floor(quotient)
    candidates = [unit * (near + step) for step in (0, 1, -1, 2)]
    if finest < 1 and "multipleOf" not in schema:
        candidates.append((least + most) / 2)
    for each in candidates:
        if _fits(each, schema):
            return float(each) if isinstance(each, float) else int(each)
    raise UnsupportedSchema(f"{path}: no number is in this range")


def _fits(number: float, schema: Schema) -> bool:
    return (
        math.isfinite(number)
        and schema.get("minimum", -math.inf) <= number <= schema.get("maximum", math.inf)
        and schema.get("exclusiveMinimum", -math.inf) < number < schema.get("exclusiveMaximum", math.inf)
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_MAKERS: Mapping[str, Callable[[Schema, _Root, str, int], Any]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "number": _number,
    "integer": _integer,
    "boolean": lambda schema, root, path, depth: True,
    "null": lambda schema, root, path, depth: None,
}

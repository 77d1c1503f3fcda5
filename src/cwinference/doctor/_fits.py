"""Whether what came in an unknown field of a binary message can be what came under a key of JSON."""

import struct
from base64 import b64decode
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Any, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp

from .._wire.binary import FIXED32, FIXED64, GROUP, LENGTH_DELIMITED, VARINT, read_varint, tag, value_of
from ._pairs import canonical, known_part, unknown_fields

WIRE_TYPES = {
    VARINT: "varint",
    FIXED64: "64-bit",
    LENGTH_DELIMITED: "length-delimited",
    GROUP: "group",
    FIXED32: "32-bit",
}
"""What protobuf's documentation calls the wire types."""


class Fit(IntEnum):
    """How well a binary value and a JSON value go together."""

    NOT = 0
    POSSIBLE = 1
    """The types go together, but the values cannot be compared, as of an unknown enum, or are equal in a rare type."""
    EXACT = 2
    """The values are equal."""


def fit(wire_type: int, values: Sequence[Any], json: Any) -> Fit:
    """Return how well the values of an unknown field fit a JSON value."""
    if isinstance(json, list):
        return _fit_list(wire_type, values, cast(Any, json))
    if isinstance(json, dict):
        return _fit_object(wire_type, values, cast(dict[str, Any], json))
    if len(values) != 1:
        return Fit.NOT
    return _fit_single(wire_type, values[0], json)


def fit_known(field: FieldDescriptor, wire_type: int, values: Sequence[Any], json: Message) -> Fit:
    """Return whether they are the value that a message has in a field: they are read as if they had its number."""
    if wire_type == GROUP:
        return Fit.NOT
    start = tag(field.number, wire_type)
    try:
        read: Any = type(json).FromString(b"".join(start + value_of(wire_type, value) for value in values))
    except DecodeError:
        return Fit.NOT
    expected = known_part(json)
    for other, _ in expected.ListFields():
        if other.number != field.number:
            expected.ClearField(other.name)
    if unknown_fields(read) or canonical(known_part(read)) != canonical(expected):
        return Fit.NOT
    return Fit.EXACT if canonical(read) == canonical(expected) else Fit.POSSIBLE  # there is something new in it


def _fit_single(wire_type: int, value: Any, json: Any) -> Fit:
    if wire_type == LENGTH_DELIMITED:
        return _fit_text(value, json) if isinstance(json, str) else Fit.NOT
    number = _number(json)
    if number is None:
        # Another string than a number: an enum's name, whose number is not known.
        return Fit.POSSIBLE if isinstance(json, str) and json.isupper() and wire_type == VARINT else Fit.NOT
    if number in _readings(wire_type, value):
        return Fit.EXACT
    return Fit.POSSIBLE if wire_type == VARINT and number == _from_zigzag(value) else Fit.NOT


def _from_zigzag(value: int) -> int:
    """Return the number that a value of the rare types sint32 and sint64 means."""
    return (value >> 1) ^ -(value & 1)


def _number(json: Any) -> float | None:
    """Return a number or a bool; 64-bit integers are strings in JSON."""
    for kind in (int, float):
        try:
            return None if json is None else json if isinstance(json, float) else kind(json)
        except (ValueError, TypeError):
            continue
    return None


def _readings(wire_type: int, value: int) -> set[float]:
    """Return the numbers that a value may mean: the type of the field is not known."""
    if wire_type == VARINT:
        return {value, value - (1 << 64) if value >> 63 else value}
    if wire_type in (FIXED32, FIXED64):
        size, real, whole = (4, "<f", "<i") if wire_type == FIXED32 else (8, "<d", "<q")
        packed = value.to_bytes(size, "little")
        floating = struct.unpack(real, packed)[0]
        shortest = (
            {float(f"{floating:.{digits}g}") for digits in (6, 7, 8, 9)} if wire_type == FIXED32 else set[float]()
        )
        return {float(value), float(struct.unpack(whole, packed)[0]), floating, *shortest}
    return set()


def _fit_text(value: bytes, json: str) -> Fit:
    if value == json.encode():
        return Fit.EXACT
    for kind in (Timestamp, Duration):
        expected = kind()
        try:
            expected.FromJsonString(json)
        except ValueError:
            continue
        return Fit.EXACT if _parsed(value, kind) == expected else Fit.NOT
    try:
        return Fit.EXACT if json and value == b64decode(json, validate=True) else Fit.NOT
    except ValueError:
        return Fit.NOT


def _parsed(value: bytes, kind: type[Any]) -> Any:
    try:
        return kind.FromString(value)
    except DecodeError:
        return None


def _fit_list(wire_type: int, values: Sequence[Any], json: list[Any]) -> Fit:
    if len(values) == len(json):
        worst = min(
            (fit(wire_type, [value], each) for value, each in zip(values, json, strict=True)), default=Fit.EXACT
        )
        if worst is not Fit.NOT:
            return worst
    is_packed = wire_type == LENGTH_DELIMITED and not any(isinstance(each, dict | list) for each in json)
    return _fit_packed(values, json) if is_packed else Fit.NOT


def _fit_packed(values: Sequence[bytes], json: list[Any]) -> Fit:
    """Compare numbers that are packed into one value, as repeated numbers mostly are. Enums have names in JSON."""
    data, numbers = b"".join(values), [_number(each) for each in json]
    for size, wire_type in ((4, FIXED32), (8, FIXED64)):
        if len(data) == size * len(json):
            parts = (int.from_bytes(data[start : start + size], "little") for start in range(0, len(data), size))
            if all(number in _readings(wire_type, part) for number, part in zip(numbers, parts, strict=True)):
                return Fit.EXACT
    varints = [*_varints(data)]
    if all(isinstance(each, str) and each.isupper() for each in json):
        return Fit.POSSIBLE if len(varints) == len(json) else Fit.NOT
    is_equal = len(varints) == len(json) and all(
        number in _readings(VARINT, part) for number, part in zip(numbers, varints, strict=True)
    )
    return Fit.EXACT if is_equal else Fit.NOT


def _varints(data: bytes) -> Iterator[int]:
    position = 0
    while position < len(data):
        try:
            value, position = read_varint(data, position)
        except IndexError:
            return
        yield value


def _fit_object(wire_type: int, values: Sequence[Any], json: dict[str, Any]) -> Fit:
    """Compare a message of a type that is not known, or a map: all of JSON's texts have to be in it."""
    if wire_type != LENGTH_DELIMITED:
        return Fit.NOT
    contents: list[Any] = []
    for value in values:
        try:
            contents.append(Empty.FromString(value))
        except DecodeError:
            return Fit.NOT
    if not json:
        return Fit.EXACT if not any(values) else Fit.NOT
    expected = set(_texts(json))
    if not expected:
        return Fit.POSSIBLE
    found = {text for each in contents for text in _texts_in(each)}
    return Fit.EXACT if expected <= found else Fit.NOT


def _texts(json: Any) -> Iterator[bytes]:
    """Yield the texts in a JSON value that binary contains as they are: not enum names, nor numbers."""
    if isinstance(json, str):
        if json and not json.isupper() and _number(json) is None:
            yield json.encode()
    elif hasattr(json, "__iter__"):
        for each in json.values() if hasattr(json, "values") else json:
            yield from _texts(each)


def _texts_in(message: Any) -> Iterator[bytes]:
    """Yield whatever may be a text in a message of an unknown type."""
    for (_, wire_type), values in unknown_fields(message).items():
        if wire_type == LENGTH_DELIMITED:
            for each in values:
                yield each
                try:
                    yield from _texts_in(Empty.FromString(each))
                except DecodeError:
                    continue

"""Reads messages from their JSON form as strictly as the official ProtoJSON parsers in other languages.

`google.protobuf.json_format` accepts more than the specification and the servers that are written in Go: `[]` and `"x"`
for an empty message, `true` and 1.5 for an enum, "1_0" and digits of other scripts for a number, a field that is given
twice. A client that sends such a text would work against the emulator only.

As in connect-go and grpc-gateway, unknown fields and unknown names of enum values are ignored.
"""

import json
import re
from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Any, NoReturn, TypeAlias, cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from ..interfaces import RpcError
from ..rules.formats import quote_key

JsonFields: TypeAlias = Iterable[tuple[str, Any]]
"""The names and values of a JSON object in the order of the text. A name can occur more than once."""

_LONGEST_SHOWN = 100
"""Characters of a wrong value that an error message repeats."""
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
"""A JSON escape of one half of a surrogate pair."""
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,5})?")
"""A JSON number; only those whose value is an integer are accepted for one."""
_ENUM_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,9})")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:Z|[+-](?:[01][0-9]|2[0-4]):(?:[0-5][0-9]|60))"
)
"""RFC 3339, and what the parsers in Go and in Python accept in addition: an hour of one digit, and offsets to 24:60."""
_RANGES = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31),
    FieldDescriptor.TYPE_UINT32: (0, 2**32),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63),
    FieldDescriptor.TYPE_UINT64: (0, 2**64),
}
"""For each type of integer in the API's messages, the least value, and the first beyond the largest."""


class _Number(str):
    """A JSON number as it is written: as a float it could lose digits."""

    __slots__ = ()


class _Object(list[tuple[str, Any]]):
    """A JSON object with all of its names, also those that occur twice."""

    __slots__ = ()


_EMPTY = _Object()
"""Stands for all empty objects, of which a text can contain a million."""


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    return _Object(pairs) if pairs else _EMPTY


@lru_cache(maxsize=1024)
def _number(text: str) -> _Number:
    """Return a number; frequent ones are one object, because a text can contain two million of them."""
    return _Number(text)


class _WrongValue(ValueError):
    """A value that its field cannot have."""


def parse_object(body: bytes) -> JsonFields:
    """Parse a text that must be a JSON object in UTF-8. Raises `RpcError` when it is not."""
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_number,
            parse_float=_number,
            parse_constant=_refuse_constant,
        )
        if _SURROGATE.search(body):
            # Python's parser accepts half a surrogate pair. Encoding it raises UnicodeEncodeError, a ValueError.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise RpcError("invalid_argument", f"the body is not JSON: {str(error)[:200]}") from None
    if not isinstance(value, _Object):
        raise RpcError("invalid_argument", "the body is not a JSON object")
    return value


def fill_message(message: Message, fields: JsonFields) -> None:
    """Set the fields of an empty message from their JSON form.

    Args:
        message: the message.
        fields: names, as in JSON or as in the .proto file, and values, as `parse_object` returns them. Of values that
            come from elsewhere, integers must be written as strings, as in a URL's query.

    Raises:
        RpcError: a field has the wrong type or form, or is given more than once. The text names it by its path.
    """
    try:
        _fill(message, fields, "")
    except _WrongValue as error:
        raise RpcError("invalid_argument", str(error)) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not valid in JSON")


def _fill(message: Any, fields: JsonFields, path: str) -> None:
    known = _fields_by_name(message.DESCRIPTOR)
    seen: set[str] = set()
    for name, value in fields:
        field = known.get(name)
        if field is None:
            continue
        field_path = f"{path}{field.name}"
        if field.name in seen:
            raise _WrongValue(f"{field_path}: given more than once")
        seen.add(field.name)
        if value is None:
            continue
        oneof = field.containing_oneof
        if oneof is not None and message.WhichOneof(oneof.name) is not None:
            raise _WrongValue(f"{field_path}: {message.WhichOneof(oneof.name)} is given too, and only one may be")
        _set_field(message, field, value, field_path)


def _fields_by_name(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    return {name: field for field in descriptor.fields for name in (field.name, field.json_name)}


def _set_field(message: Any, field: FieldDescriptor, value: Any, path: str) -> None:
    if field.is_repeated and field.message_type is not None and field.message_type.GetOptions().map_entry:
        _fill_map(getattr(message, field.name), field.message_type.fields_by_name["value"], value, path)
    elif field.is_repeated:
        if not isinstance(value, list) or isinstance(value, _Object):
            raise _wrong(path, "a list", value)
        _fill_list(getattr(message, field.name), field, cast(Iterable[Any], value), path)
    elif field.message_type is not None:
        child = getattr(message, field.name)
        child.SetInParent()
        _fill_submessage(child, value, path)
    elif (scalar := _scalar(field, value, path)) is not None:
        setattr(message, field.name, scalar)


def _fill_map(target: Any, field: FieldDescriptor, value: Any, path: str) -> None:
    """Fill a map from strings to scalars; the API has no others."""
    if not isinstance(value, _Object):
        raise _wrong(path, "an object", value)
    for key, item in value:
        item_path = f"{path}[{quote_key(key)}]"
        if key in target:
            raise _WrongValue(f"{item_path}: given more than once")
        if (scalar := _scalar(field, item, item_path)) is not None:
            target[key] = scalar


def _fill_list(target: Any, field: FieldDescriptor, values: Iterable[Any], path: str) -> None:
    for index, value in enumerate(values):
        item_path = f"{path}[{index}]"
        if field.message_type is not None:
            _fill_submessage(target.add(), value, item_path)
        elif (scalar := _scalar(field, value, item_path)) is not None:
            target.append(scalar)


def _fill_submessage(message: Any, value: Any, path: str) -> None:
    if isinstance(message, Timestamp):
        _fill_time(message, value, path)
    elif isinstance(value, _Object):
        _fill(message, value, f"{path}.")
    else:
        raise _wrong(path, "an object", value)


def _fill_time(message: Timestamp, value: Any, path: str) -> None:
    expected = "a time with its offset, such as 2026-01-31T12:00:00Z"
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise _wrong(path, expected, value)
    try:
        message.FromJsonString(value)
        message.ToJsonString()  # also checks that the time in UTC is in the years 1 to 9999
    except (ValueError, OverflowError):
        raise _wrong(path, expected, value) from None


def _scalar(field: FieldDescriptor, value: Any, path: str) -> Any:
    """Return the value of a scalar field; None for the unknown name of an enum value, which is ignored."""
    if field.enum_type is not None:
        return _enum_number(field.enum_type, value, path)
    if field.type == FieldDescriptor.TYPE_STRING:
        return _checked(str(value), isinstance(value, str) and not isinstance(value, _Number), "a string", value, path)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return _checked(value, isinstance(value, bool), "true or false", value, path)
    number = _integer(value) if isinstance(value, str) else None
    least, beyond = _RANGES[field.type]
    expected = f"an integer from {least} to {beyond - 1}"
    return _checked(number, number is not None and least <= number < beyond, expected, value, path)


def _checked(result: Any, valid: bool, expected: str, value: Any, path: str) -> Any:
    if not valid:
        raise _wrong(path, expected, value)
    return result


def _integer(text: str) -> int | None:
    """Return the value of an integer in any notation, such as `8`, `8.0`, `80e-1`; None if it is not an integer."""
    if not _INTEGER.fullmatch(text):
        return None
    number = Decimal(text)
    if abs(number) >= 2**64 or number != number.to_integral_value():
        return None
    return int(number)


def _enum_number(enum: EnumDescriptor, value: Any, path: str) -> int | None:
    if isinstance(value, _Number):
        number = _integer(value)
        if number is None or not -(2**31) <= number < 2**31:
            raise _wrong(path, f"the name of a {enum.name}, or its number", value)
        return number
    if not isinstance(value, str):
        raise _wrong(path, f"the name of a {enum.name}, or its number", value)
    if value in enum.values_by_name:
        return int(enum.values_by_name[value].number)
    # A number in quotes: the parsers in Python and C++ read it, the one in Go ignores it like an unknown name.
    return int(value) if _ENUM_NUMBER.fullmatch(value) and -(2**31) <= int(value) < 2**31 else None


def _wrong(path: str, expected: str, value: Any) -> _WrongValue:
    return _WrongValue(f"{path}: expected {expected}, got {_describe(value)}")


def _describe(value: Any) -> str:
    if isinstance(value, list):
        return "an object" if isinstance(value, _Object) else "a list"
    if isinstance(value, str):
        return (str(value) if isinstance(value, _Number) else repr(value))[:_LONGEST_SHOWN]
    return json.dumps(value)

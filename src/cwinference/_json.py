"""Protobuf's JSON form into messages, by tables made from the descriptors: ten times faster than json_format.

It reads what json_format reads, and is as forgiving as a client has to be: unknown fields are dropped (and named, for
who asks), unknown names of enum values read as 0, and `"True"` and `"False"` are accepted for a condition's status,
because the API's documentation prints them.
"""

import json
import math
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar, cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from .errors import ProtocolError

M = TypeVar("M", bound=Message)
Lost = list[str] | None
Convert = Callable[[Any, str, Lost], Any]

_ENUM_ALIASES = {"coreweave.inference.v1alpha1.Condition.Status": {"True": 2, "False": 1}}
_LONGEST_NAME = 100


def parse(body: bytes, kind: type[M], lost: Lost = None) -> M:
    """Decode a JSON body. Raises ProtocolError; names of fields that the type does not know are added to `lost`."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise ProtocolError(f"the answer ({len(body)} bytes) is not JSON") from None
    return from_json(value, kind, lost)


def from_json(value: object, kind: type[M], lost: Lost = None) -> M:
    """Turn parsed JSON into a message."""
    descriptor: Any = kind.DESCRIPTOR
    try:
        if not _tabular(descriptor):
            return ParseDict(cast(Any, value), kind(), ignore_unknown_fields=True)
        return kind(**_fields(value, "", lost, descriptor))
    except (ValueError, TypeError, ArithmeticError, AttributeError, RecursionError) as error:
        raise ProtocolError(f"the answer is not a {descriptor.name}: {str(error)[:200]}") from None


def _fields(value: object, path: str, lost: Lost, descriptor: Descriptor) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{path or 'the body'} is not an object")
    table, result = _table(descriptor), dict[str, Any]()
    for key, item in cast(dict[str, Any], value).items():
        field = table.get(key)
        if field is None:
            if lost is not None:
                lost.append(f"{path}{key[:_LONGEST_NAME]}")
        elif item is not None:
            name, convert = field
            result[name] = item if convert is None else convert(item, f"{path}{name}", lost)
    return result


@cache
def _table(descriptor: Descriptor) -> Mapping[str, tuple[str, Convert | None]]:
    table: dict[str, tuple[str, Convert | None]] = {}
    for field in descriptor.fields:
        table[field.name] = table[field.json_name] = (field.name, _converter(field))
    return table


@cache
def _tabular(descriptor: Descriptor) -> bool:
    """Whether the tables cover a message: all but the well-known types with a JSON form of their own."""
    seen: set[str] = set()
    todo = [descriptor]
    while todo:
        each = todo.pop()
        if each.full_name in seen or each.full_name == Timestamp.DESCRIPTOR.full_name:
            continue
        seen.add(each.full_name)
        if each.full_name.startswith("google.protobuf."):
            return False
        todo += [field.message_type for field in each.fields if field.message_type is not None]
    return True


def _converter(field: FieldDescriptor) -> Convert | None:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return _map_of(_single(kind.fields_by_name["value"]), kind.fields_by_name["key"])
    single = _single(field)
    return _list_of(single) if field.is_repeated else single


def _single(field: FieldDescriptor) -> Convert | None:
    if field.message_type is not None:
        timestamp = field.message_type.full_name == Timestamp.DESCRIPTOR.full_name
        return _timestamp if timestamp else _message(field.message_type)
    if field.enum_type is not None:
        return _enum(field.enum_type)
    return _SCALARS[field.cpp_type] if field.type != FieldDescriptor.TYPE_BYTES else _bytes


def _message(descriptor: Descriptor) -> Convert:
    return lambda value, path, lost: _fields(value, f"{path}.", lost, descriptor)


def _list_of(single: Convert | None) -> Convert:
    def convert(value: Any, path: str, lost: Lost) -> Sequence[Any]:
        if not isinstance(value, list):
            raise ValueError(f"{path} is not a list")
        items = cast(Sequence[Any], value)
        return items if single is None else [single(each, path, lost) for each in items]

    return convert


def _map_of(single: Convert | None, key: FieldDescriptor) -> Convert:
    key_of = _KEYS.get(key.cpp_type, str)

    def convert(value: Any, path: str, lost: Lost) -> dict[Any, Any]:
        if not isinstance(value, dict):
            raise ValueError(f"{path} is not an object")
        items = cast(dict[str, Any], value).items()
        return {key_of(name): each if single is None else single(each, path, lost) for name, each in items}

    return convert


def _enum(descriptor: EnumDescriptor) -> Convert:
    numbers = {value.name: value.number for value in descriptor.values}
    numbers |= _ENUM_ALIASES.get(descriptor.full_name, {})

    def convert(value: Any, path: str, lost: Lost) -> int:
        if isinstance(value, str):
            found = numbers.get(value)
            if found is None and lost is not None:
                lost.append(f"{path}={value[:_LONGEST_NAME]}")
            return found or 0
        return _integer(value, path, lost)

    return convert


def _timestamp(value: Any, path: str, lost: Lost) -> Timestamp:
    time = Timestamp()
    time.FromJsonString(value)
    return time


def _integer(value: Any, path: str, lost: Lost) -> int:
    if isinstance(value, bool):
        raise ValueError(f"{path} is not a number")
    number = int(value) if isinstance(value, str) else value
    if number != int(number):
        raise ValueError(f"{path} is not a whole number")
    return int(number)


def _float(value: Any, path: str, lost: Lost) -> float:
    if isinstance(value, bool):
        raise ValueError(f"{path} is not a number")
    return {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}.get(value) or float(value)


def _bytes(value: Any, path: str, lost: Lost) -> bytes:
    text = value.replace("+", "-").replace("/", "_")
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


_SCALARS: Mapping[int, Convert | None] = {
    FieldDescriptor.CPPTYPE_STRING: None,
    FieldDescriptor.CPPTYPE_BOOL: None,
    FieldDescriptor.CPPTYPE_INT32: _integer,
    FieldDescriptor.CPPTYPE_INT64: _integer,
    FieldDescriptor.CPPTYPE_UINT32: _integer,
    FieldDescriptor.CPPTYPE_UINT64: _integer,
    FieldDescriptor.CPPTYPE_FLOAT: _float,
    FieldDescriptor.CPPTYPE_DOUBLE: _float,
}
_KEYS: Mapping[int, Callable[[str], Any]] = {
    FieldDescriptor.CPPTYPE_BOOL: lambda text: {"true": True, "false": False}[text],
    FieldDescriptor.CPPTYPE_INT32: int,
    FieldDescriptor.CPPTYPE_INT64: int,
    FieldDescriptor.CPPTYPE_UINT32: int,
    FieldDescriptor.CPPTYPE_UINT64: int,
}

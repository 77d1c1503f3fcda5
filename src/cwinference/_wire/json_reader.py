"""Reads protobuf's JSON form into messages, by tables made from the descriptors: ten times faster than json_format.

It reads what json_format reads, and is as lenient as a client has to be: unknown fields are dropped (their names are
collected on request), unknown names of enum values become 0 (in a list they are dropped), and `"True"` and `"False"`
are accepted for the status of a condition, because the API's documentation prints them.

There are two ways. Most JSON differs from a message constructor's arguments only in field names, so the quick way
renames those in place and lets the constructor judge the values. If it refuses, the exact way reads field by field.
"""

import math
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache, lru_cache, partial
from typing import Any, TypeGuard, TypeVar, cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from .._json import loads
from ..errors import ProtocolError

M = TypeVar("M", bound=Message)
Convert = Callable[[Any], Any]
_Reader = Callable[[Descriptor], Convert]

_UNREADABLE = (ValueError, TypeError, AttributeError, LookupError)

_ENUM_ALIASES = {"coreweave.inference.v1alpha1.Condition.Status": {"True": 2, "False": 1}}
_LONGEST_NAME = 100
_PLAIN_TIME = re.compile(r"([1-9]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)


def parse(body: bytes, kind: type[M], unknown: list[str] | None = None) -> M:
    """Decode a JSON body. Names of fields that the type does not know are added to `unknown`. Raises ProtocolError."""
    try:
        value = loads(body)
    except (ValueError, RecursionError):
        raise ProtocolError(f"the response ({len(body)} bytes) is not JSON") from None
    descriptor: Any = kind.DESCRIPTOR
    try:
        if not _tabular(descriptor):
            message = ParseDict(value, kind(), ignore_unknown_fields=True)
        else:
            message = _read_quickly(kind, descriptor, value) or kind(**_exact(descriptor)(loads(body)))
        if unknown is not None:
            unknown += _unknown(descriptor, loads(body), "")
    except (*_UNREADABLE, ArithmeticError, RecursionError) as error:
        raise ProtocolError(f"the response is not a {descriptor.name}: {str(error)[:200]}") from None
    return message


def _read_quickly(kind: type[M], descriptor: Descriptor, value: Any) -> M | None:
    """Read it the quick way, which consumes `value`; return None if the constructor refuses it."""
    try:
        return kind(**_quick(descriptor)(value))
    except _UNREADABLE:
        return None


@cache
def _quick(descriptor: Descriptor) -> Convert:
    """Return a function that turns a JSON object, in place, into the arguments of its message's constructor."""
    table = _differing(descriptor)

    def read(value: dict[str, Any]) -> dict[str, Any]:
        for key, name, convert in table:
            item = value.pop(key, None)
            if item is not None:
                value[name] = item if convert is None else convert(item)
        return value

    return read


def _exact(descriptor: Descriptor) -> Convert:
    """Return one that reads field by field: unknown fields are dropped, and every form that JSON allows is accepted."""
    return partial(_read_fields, descriptor)


def _read_fields(descriptor: Descriptor, value: Any) -> dict[str, Any]:
    table, result, name = _every(descriptor), dict[str, Any](), "an object"
    try:
        for key, item in value.items():
            field = table.get(key)
            if field is not None and item is not None:
                name, convert = field
                result[name] = item if convert is None else convert(item)
    except _UNREADABLE as error:
        raise ValueError(f"{name}: {error}") from None
    return result


def _unknown(descriptor: Descriptor, value: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield the paths of fields and enum values that the type does not know."""
    fields = {name: field for field in descriptor.fields for name in (field.name, field.json_name)}
    for key, item in value.items():
        field = fields.get(key)
        if field is None:
            yield f"{path}{key[:_LONGEST_NAME]}"
        elif item is not None:
            kind = field.message_type
            if kind is not None and kind.GetOptions().map_entry:
                field, item = kind.fields_by_name["value"], list(item.values())
            for each in item if _is_list(item) else [item]:
                if field.message_type is not None and isinstance(each, dict) and not _has_own_form(field.message_type):
                    yield from _unknown(field.message_type, cast(Any, each), f"{path}{field.name}.")
                elif field.enum_type is not None and isinstance(each, str) and not _is_known(field.enum_type, each):
                    yield f"{path}{field.name}={each[:_LONGEST_NAME]}"


@cache
def _every(descriptor: Descriptor) -> Mapping[str, tuple[str, Convert | None]]:
    """Return all fields by the names that they may have in JSON."""
    fields = [(field, _converter(field, _exact)) for field in descriptor.fields]
    return {key: (field.name, convert) for field, convert in fields for key in (field.name, field.json_name)}


@cache
def _differing(descriptor: Descriptor) -> tuple[tuple[str, str, Convert | None], ...]:
    """Return the fields that the constructor would not accept with their JSON value or JSON name."""
    table = list[tuple[str, str, Convert | None]]()
    for field in descriptor.fields:
        convert = None if _accepted_as_is(field) else _converter(field, _quick)
        if convert is not None:
            table.append((field.name, field.name, convert))
        if field.json_name != field.name:
            table.append((field.json_name, field.name, convert))
    return tuple(table)


def _accepted_as_is(field: FieldDescriptor) -> bool:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return _accepted_as_is(kind.fields_by_name["value"]) and kind.fields_by_name["key"].cpp_type not in _KEYS
    if field.is_repeated or field.type == FieldDescriptor.TYPE_BYTES:
        return False
    if field.enum_type is not None:
        return field.enum_type.full_name not in _ENUM_ALIASES
    return kind is None or (kind.full_name != Timestamp.DESCRIPTOR.full_name and not _differing(kind))


@cache
def _tabular(descriptor: Descriptor, above: tuple[str, ...] = ()) -> bool:
    """Return whether tables can read a message: not recursive ones, nor types with a JSON form of their own."""
    name = descriptor.full_name
    if name == Timestamp.DESCRIPTOR.full_name:
        return True
    if name in above or _has_own_form(descriptor):
        return False
    return all(_tabular(each.message_type, (*above, name)) for each in descriptor.fields if each.message_type)


def _has_own_form(descriptor: Descriptor) -> bool:
    """Return whether it is a well-known type, whose JSON is not an object of its fields."""
    return descriptor.full_name.startswith("google.protobuf.")


def _converter(field: FieldDescriptor, reader: _Reader) -> Convert | None:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        key, value = kind.fields_by_name["key"], kind.fields_by_name["value"]
        return partial(_map, _KEYS.get(key.cpp_type), _single(value, reader))
    if field.is_repeated and field.enum_type is not None:
        return partial(_enum_list, field.enum_type)
    single = _single(field, reader)
    return partial(_list, single) if field.is_repeated else single


def _single(field: FieldDescriptor, reader: _Reader) -> Convert | None:
    if field.message_type is not None:
        timestamp = field.message_type.full_name == Timestamp.DESCRIPTOR.full_name
        return _timestamp if timestamp else reader(field.message_type)
    if field.enum_type is not None:
        return _numbers(field.enum_type).__getitem__
    return _SCALARS.get(field.cpp_type) if field.type != FieldDescriptor.TYPE_BYTES else _bytes


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _list(single: Convert | None, value: object) -> list[Any]:
    if not _is_list(value):
        raise ValueError("not a list")
    return value if single is None else [single(each) for each in value]


def _enum_list(descriptor: EnumDescriptor, value: object) -> list[Any]:
    """Return the numbers; unknown names are dropped, because a 0 among them would be a value that nobody set."""
    known = [each for each in _list(None, value) if not isinstance(each, str) or _is_known(descriptor, each)]
    return [_numbers(descriptor)[each] for each in known]


def _map(key: Convert | None, single: Convert | None, value: Any) -> dict[Any, Any]:
    items = value.items()
    return {name if key is None else key(name): each if single is None else single(each) for name, each in items}


class _Numbers(dict[Any, int]):
    """The numbers of an enum by name. Unknown numbers are kept, also those in a string; unknown names become 0."""

    def __missing__(self, value: Any) -> int:
        return (_number_in(value) or 0) if isinstance(value, str) else int(value)


@cache
def _numbers(descriptor: EnumDescriptor) -> _Numbers:
    aliases = _ENUM_ALIASES.get(descriptor.full_name, {})
    return _Numbers({value.name: value.number for value in descriptor.values} | aliases)


def _is_known(descriptor: EnumDescriptor, name: str) -> bool:
    return name in _numbers(descriptor) or _number_in(name) is not None


def _number_in(text: str) -> int | None:
    """Return the number of an enum value that is written as a string; None if it is a name."""
    try:
        return int(text)
    except ValueError:
        return None


@lru_cache(4096)
def _timestamp(value: Any) -> Any:
    plain = _PLAIN_TIME.fullmatch(value)
    if plain is None:
        time = Timestamp()
        time.FromJsonString(value)
        return time
    second, fraction = plain.groups()
    seconds = int(datetime.fromisoformat(second).replace(tzinfo=UTC).timestamp())
    return {"seconds": seconds, "nanos": int(fraction.ljust(9, "0"))} if fraction else {"seconds": seconds}


def _integer(value: Any) -> int:
    if type(value) is int:
        return value
    if isinstance(value, str):
        return _integer_in(value)
    if isinstance(value, bool) or value != int(value):
        raise ValueError("not a whole number")
    return int(value)


def _integer_in(text: str) -> int:
    """Return the whole number in a string, which may be written as a float: "8", "8.0" and "8e0" are the same."""
    if " " in text:
        raise ValueError("not a whole number")
    try:
        return int(text)
    except ValueError:
        number = float(text)
    if number != int(number):
        raise ValueError("not a whole number")
    return int(number)


def _float(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError("not a number")
    return {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}.get(value) or float(value)


def _bytes(value: Any) -> bytes:
    text = value.replace("+", "-").replace("/", "_")
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


_SCALARS: Mapping[int, Convert] = {
    FieldDescriptor.CPPTYPE_INT32: _integer,
    FieldDescriptor.CPPTYPE_INT64: _integer,
    FieldDescriptor.CPPTYPE_UINT32: _integer,
    FieldDescriptor.CPPTYPE_UINT64: _integer,
    FieldDescriptor.CPPTYPE_FLOAT: _float,
    FieldDescriptor.CPPTYPE_DOUBLE: _float,
}
_KEYS: Mapping[int, Convert] = {
    FieldDescriptor.CPPTYPE_BOOL: {"true": True, "false": False}.__getitem__,
    FieldDescriptor.CPPTYPE_INT32: _integer_in,
    FieldDescriptor.CPPTYPE_INT64: _integer_in,
    FieldDescriptor.CPPTYPE_UINT32: _integer_in,
    FieldDescriptor.CPPTYPE_UINT64: _integer_in,
}

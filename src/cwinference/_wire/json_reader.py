"""Reads protobuf's JSON form into messages, by tables made from the descriptors: ten times faster than json_format.

It reads what json_format reads, and is as lenient as a client has to be: unknown fields are dropped (their names are
collected on request), unknown names of enum values become 0 (in a list they are dropped), and `"True"` and `"False"`
are accepted for the status of a condition, because the API's documentation prints them.

There are three ways. Most JSON differs from a message constructor's arguments only in field names. Where it has nothing
but fields that are known, in the types that are expected, msgspec renames them while it parses. Otherwise the quick way
renames them in place. Both let the constructor judge the values. If it refuses, the exact way reads field by field.

The first two give the constructor iterators for lists of messages, so that it asks for the arguments of one after
another. Those of hundreds at once would not fit in the processor's caches, and a list would take a fifth more time.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from types import GenericAlias
from typing import Any, TypeGuard, TypeVar, cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from .._json import loads, members, record_reader, record_type
from ..errors import ProtocolError
from .json_values import ENUM_ALIASES, KEYS, SCALARS, TYPES, Convert, is_known, numbers_of, read_bytes, read_timestamp

M = TypeVar("M", bound=Message)
_Reader = Callable[[Descriptor], Convert]

_UNREADABLE = (ValueError, TypeError, AttributeError, LookupError)

_LONGEST_NAME = 100


def parse(body: bytes, kind: type[M], unknown: list[str] | None = None) -> M:
    """Decode a JSON body. Names of fields that the type does not know are added to `unknown`. Raises ProtocolError."""
    descriptor: Any = kind.DESCRIPTOR
    message = None if unknown is not None else _read_typed(kind, descriptor, body)
    if message is not None:
        return message
    try:
        value = loads(body)
    except (ValueError, RecursionError):
        raise ProtocolError(f"the response ({len(body)} bytes) is not JSON") from None
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


def _read_typed(kind: type[M], descriptor: Descriptor, body: bytes) -> M | None:
    """Read what is exactly as expected; return None for everything else."""
    found = _typed(descriptor)(body)
    if found is None:
        return None
    try:
        return kind(**_renamed(descriptor)(found))
    except _UNREADABLE:
        return None


@cache
def _typed(descriptor: Descriptor) -> Convert:
    return record_reader(lambda: _record(descriptor))


@cache
def _record(descriptor: Descriptor) -> Any:
    """Return the type of JSON that a message usually has. Raises TypeError for one that tables cannot read."""
    if not _tabular(descriptor):
        raise TypeError(descriptor.full_name)
    return record_type(descriptor.name, [(each.name, each.json_name, _type_of(each)) for each in descriptor.fields])


def _type_of(field: FieldDescriptor) -> Any:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        entry = (kind.fields_by_name["key"], kind.fields_by_name["value"])
        if any(_single_type(each) is not str for each in entry):
            raise TypeError(kind.full_name)
        return dict[str, str]
    single: Any = _single_type(field)
    return GenericAlias(list, (single,)) if field.is_repeated else single


def _single_type(field: FieldDescriptor) -> Any:
    if field.message_type is not None:
        return str if _is_timestamp(field) else _record(field.message_type)
    if field.enum_type is not None:
        return str | int
    if field.type == FieldDescriptor.TYPE_BYTES:
        raise TypeError(field.full_name)
    return TYPES[field.cpp_type]


@cache
def _renamed(descriptor: Descriptor) -> Convert:
    """Return a function that turns what `_typed` reads into the arguments of its message's constructor."""
    table = [(field.name, field.is_repeated, convert) for field in descriptor.fields if (convert := _from_typed(field))]

    def read(found: Any) -> dict[str, Any]:
        values = members(found)
        for name, is_repeated, convert in table:
            value = values[name]
            if value is not None:
                values[name] = map(convert, value) if is_repeated else convert(value)
        return values

    return read if table else members


def _from_typed(field: FieldDescriptor) -> Convert | None:
    """Return what turns a value that `_typed` reads into one that the constructor takes; None if it is one."""
    kind = field.message_type
    if kind is not None:
        is_map = kind.GetOptions().map_entry
        return None if is_map else read_timestamp if _is_timestamp(field) else _renamed(kind)
    has_aliases = field.enum_type is not None and field.enum_type.full_name in ENUM_ALIASES
    return numbers_of(field.enum_type).__getitem__ if has_aliases else None


def _is_timestamp(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name == Timestamp.DESCRIPTOR.full_name


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
                elif field.enum_type is not None and isinstance(each, str) and not is_known(field.enum_type, each):
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
        return _accepted_as_is(kind.fields_by_name["value"]) and kind.fields_by_name["key"].cpp_type not in KEYS
    if field.is_repeated or field.type == FieldDescriptor.TYPE_BYTES:
        return False
    if field.enum_type is not None:
        return field.enum_type.full_name not in ENUM_ALIASES
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
        return partial(_map, KEYS.get(key.cpp_type), _single(value, reader))
    if field.is_repeated and field.enum_type is not None:
        return partial(_enum_list, field.enum_type)
    single = _single(field, reader)
    if not field.is_repeated:
        return single
    if reader is _quick and single is not None and field.message_type is not None:
        return partial(_one_by_one, single)
    return partial(_list, single)


def _single(field: FieldDescriptor, reader: _Reader) -> Convert | None:
    if field.message_type is not None:
        return read_timestamp if _is_timestamp(field) else reader(field.message_type)
    if field.enum_type is not None:
        return numbers_of(field.enum_type).__getitem__
    return SCALARS.get(field.cpp_type) if field.type != FieldDescriptor.TYPE_BYTES else read_bytes


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _list(single: Convert | None, value: object) -> list[Any]:
    if not _is_list(value):
        raise ValueError("not a list")
    return value if single is None else [single(each) for each in value]


def _one_by_one(single: Convert, value: object) -> Iterator[Any]:
    return map(single, _list(None, value))


def _enum_list(descriptor: EnumDescriptor, value: object) -> list[Any]:
    """Return the numbers; unknown names are dropped, because a 0 among them would be a value that nobody set."""
    known = [each for each in _list(None, value) if not isinstance(each, str) or is_known(descriptor, each)]
    return [numbers_of(descriptor)[each] for each in known]


def _map(key: Convert | None, single: Convert | None, value: Any) -> dict[Any, Any]:
    items = value.items()
    return {name if key is None else key(name): each if single is None else single(each) for name, each in items}

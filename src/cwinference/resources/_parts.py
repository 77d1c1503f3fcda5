"""From mappings and plain values to messages: each wrong key, type, range or enum name is reported by its path."""

from collections.abc import Iterable, Mapping
from functools import cache
from operator import index
from typing import Any, SupportsIndex, TypeGuard, TypeVar, cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from .._arguments import at_most_one, shown
from .._text import did_you_mean, nearest
from ..errors import ConfigurationError

M = TypeVar("M", bound=Message)

_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_UNSPECIFIED = "UNSPECIFIED"


def build(kind: type[M], **fields: Any) -> M:
    """Return a message of the given fields; None leaves one out. Raises ConfigurationError, by the path of a field."""
    message = kind()
    fill(message, fields)
    return message


def fill(message: Message, fields: Mapping[str, Any], path: str = "") -> None:
    """Set fields of a message; None leaves one as it is. A mapping for a message changes just its keys."""
    known = cast(Descriptor, message.DESCRIPTOR).fields_by_name
    for name in fields:
        if name not in known:
            raise ConfigurationError(_unknown(name, known, path))
    for oneof in cast(Descriptor, message.DESCRIPTOR).oneofs:
        members = {each.name: fields.get(each.name) for each in oneof.fields}
        at_most_one(_below(path, oneof.name), **members)
    for name, value in fields.items():
        if value is not None:
            _set(message, known[name], value, _below(path, name))


def materialized(value: Any) -> Any:
    """Return the same with lists in place of iterators, which could be read only once."""
    if is_mapping(value):
        return {key: materialized(each) for key, each in value.items()}
    return [*value] if _is_iterable(value) and iter(value) is value else value


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Return whether it is a mapping, of whatever."""
    return isinstance(value, Mapping)


def _is_iterable(value: object) -> TypeGuard[Iterable[Any]]:
    return isinstance(value, Iterable)


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _unknown(name: object, known: Mapping[str, FieldDescriptor], path: str) -> str:
    if not isinstance(name, str):
        return f"{path}: expected names of fields as keys, got {shown(name)}"
    by_json_name = next((each.name for each in known.values() if each.json_name == name), None)
    hint = did_you_mean(by_json_name or nearest(name, known), known)
    return f"{_below(path, name)}: there is no such field; {hint}"


def _set(message: Message, field: FieldDescriptor, value: Any, path: str) -> None:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        _merge(getattr(message, field.name), kind.fields_by_name["value"], value, path)
    elif field.is_repeated:
        items = _list(field, value, path)  # before the field is cleared: they may be its own
        message.ClearField(field.name)
        getattr(message, field.name).extend(items)
    elif kind is not None:
        _set_message(getattr(message, field.name), value, path)
    else:
        setattr(message, field.name, scalar(field, value, path))


def _set_message(target: Message, value: Any, path: str) -> None:
    name = cast(Descriptor, target.DESCRIPTOR).name
    if is_mapping(value):
        target.SetInParent()
        fill(target, value, path)
    elif isinstance(value, Message):
        if type(value) is not type(target):
            raise ConfigurationError(f"{path}: expected a types.{name}, got {type(value).__name__}")
        target.CopyFrom(value)
        target.SetInParent()  # an empty one is a choice too
    else:
        raise ConfigurationError(f"{path}: expected a types.{name} or a mapping, got {type(value).__name__}")


def _merge(target: Any, field: FieldDescriptor, value: Any, path: str) -> None:
    """Set entries of a map. An empty mapping empties it, because there is no other way to say so."""
    if not is_mapping(value):
        raise ConfigurationError(f"{path}: expected a mapping, got {type(value).__name__}")
    if not value:
        target.clear()
    for key, each in value.items():
        place = f"{path}[{key!r}]"
        if not isinstance(key, str):
            raise ConfigurationError(f"{path}: expected strings as keys, got {shown(key)}")
        target[key] = scalar(field, each, place)


def _list(field: FieldDescriptor, value: Any, path: str) -> list[Any]:
    if isinstance(value, str):
        raise ConfigurationError(f"{path}: expected a list of strings, got the string {value!r}")
    if isinstance(value, bytes) or is_mapping(value) or not _is_iterable(value):
        raise ConfigurationError(f"{path}: expected a list, got {type(value).__name__}")
    return [scalar(field, each, path, f" (item {number})") for number, each in enumerate(value)]


def scalar(field: FieldDescriptor, value: Any, path: str, where: str = "") -> Any:
    """Return a value as protobuf takes it. What is wrong with a string is said without the string: it may be secret."""
    try:
        if field.enum_type is not None:
            return _enum(field.enum_type, value)
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            return _text(value)
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            return _flag(value)
        return _whole(value, *_RANGES[field.cpp_type])
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}{where}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a string, got {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("expected text, got a string with half of a surrogate pair") from None
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected True or False, got {shown(value)}")
    return value


def _whole(value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        found = shown(value) if isinstance(value, float | bool) else type(value).__name__
        raise ValueError(f"expected a whole number, got {found}")
    number = index(value)
    if not least <= number <= most:
        raise ValueError(f"expected a whole number from {least} to {most}, got {shown(number)}")
    return number


def _enum(kind: EnumDescriptor, value: Any) -> int:
    if isinstance(value, str):
        number = _labels(kind).get(value)
        if number is None:
            raise ValueError(f"there is no {value!r}; use one of {', '.join(kind.values_by_name)}")
        return number
    if isinstance(value, bool) or not isinstance(value, int):
        choices = ", ".join(kind.values_by_name)
        raise ValueError(f"expected one of {choices}, by name or number, got {shown(value)}")
    return _whole(value, *_RANGES[FieldDescriptor.CPPTYPE_INT32])


def label(kind: EnumDescriptor, number: int) -> str | int:
    """Return the name of an enum's value without its prefix; of a number that this release does not know, itself."""
    known = kind.values_by_number.get(number)
    return number if known is None else known.name.removeprefix(_prefix(kind))


@cache
def _labels(kind: EnumDescriptor) -> Mapping[str, int]:
    """Return the numbers of an enum by its names, with and without their prefix: `API_TYPE_OPENAI` and `OPENAI`."""
    prefix = _prefix(kind)
    full = {each.name: each.number for each in kind.values}
    return {name.removeprefix(prefix): number for name, number in full.items()} | full


def _prefix(kind: EnumDescriptor) -> str:
    """Return what the names of an enum's values begin with: `API_TYPE_`."""
    first = kind.values[0].name
    return first.removesuffix(_UNSPECIFIED) if first.endswith(_UNSPECIFIED) else ""

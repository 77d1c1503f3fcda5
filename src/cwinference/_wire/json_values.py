"""Single values of protobuf's JSON form: enums, times, numbers and bytes, in all spellings that JSON allows."""

import math
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

Convert = Callable[[Any], Any]

ENUM_ALIASES = {"coreweave.inference.v1alpha1.Condition.Status": {"True": 2, "False": 1}}
_PLAIN_TIME = re.compile(r"([1-9]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)


class _Numbers(dict[Any, int]):
    """The numbers of an enum by name. Unknown numbers are kept, also those in a string; unknown names become 0."""

    def __missing__(self, value: Any) -> int:
        return (_number_in(value) or 0) if isinstance(value, str) else int(value)


@cache
def numbers_of(descriptor: EnumDescriptor) -> Mapping[Any, int]:
    """Return the numbers of an enum by its names in JSON, for which numbers may be given too."""
    aliases = ENUM_ALIASES.get(descriptor.full_name, {})
    return _Numbers({value.name: value.number for value in descriptor.values} | aliases)


def is_known(descriptor: EnumDescriptor, name: str) -> bool:
    """Return whether an enum has this name, or it is a number in a string."""
    return name in numbers_of(descriptor) or _number_in(name) is not None


def _number_in(text: str) -> int | None:
    """Return the number of an enum value that is written as a string; None if it is a name."""
    try:
        return int(text)
    except ValueError:
        return None


@lru_cache(4096)
def read_timestamp(value: Any) -> Any:
    """Return a time as a message's constructor takes it."""
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


def read_bytes(value: Any) -> bytes:
    """Return the bytes of base64 in any of its forms."""
    text = value.replace("+", "-").replace("/", "_")
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


SCALARS: Mapping[int, Convert] = {
    FieldDescriptor.CPPTYPE_INT32: _integer,
    FieldDescriptor.CPPTYPE_INT64: _integer,
    FieldDescriptor.CPPTYPE_UINT32: _integer,
    FieldDescriptor.CPPTYPE_UINT64: _integer,
    FieldDescriptor.CPPTYPE_FLOAT: _float,
    FieldDescriptor.CPPTYPE_DOUBLE: _float,
}
TYPES: Mapping[int, type] = {
    FieldDescriptor.CPPTYPE_INT32: int,
    FieldDescriptor.CPPTYPE_INT64: int,
    FieldDescriptor.CPPTYPE_UINT32: int,
    FieldDescriptor.CPPTYPE_UINT64: int,
    FieldDescriptor.CPPTYPE_FLOAT: float,
    FieldDescriptor.CPPTYPE_DOUBLE: float,
    FieldDescriptor.CPPTYPE_BOOL: bool,
    FieldDescriptor.CPPTYPE_STRING: str,
}
"""How scalars usually come in JSON."""
KEYS: Mapping[int, Convert] = {
    FieldDescriptor.CPPTYPE_BOOL: {"true": True, "false": False}.__getitem__,
    FieldDescriptor.CPPTYPE_INT32: _integer_in,
    FieldDescriptor.CPPTYPE_INT64: _integer_in,
    FieldDescriptor.CPPTYPE_UINT32: _integer_in,
    FieldDescriptor.CPPTYPE_UINT64: _integer_in,
}

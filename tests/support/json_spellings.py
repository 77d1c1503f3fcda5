"""One message, many JSON texts: every spelling that protobuf's JSON form allows, chosen at random."""

from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import strategies as st

_WHOLE = {
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
}
_EXACT_IN_A_FLOAT = 2**53


def spelled(message: Message, data: st.DataObject) -> dict[str, Any]:
    """Return the message as a JSON object, with names, numbers, enum values and times spelled at random."""
    fields: list[tuple[FieldDescriptor, Any]] = [(each, value) for each, value in cast(Any, message).ListFields()]
    found = {_name(field, data): _value(field, value, data) for field, value in fields}
    descriptor = cast(Descriptor, message.DESCRIPTOR)
    absent = [each for each in descriptor.fields if each not in dict(fields)]
    null = [_name(each, data) for each in absent if data.draw(st.booleans()) and each.containing_oneof is None]
    return {**dict.fromkeys(null), **found}


def _name(field: FieldDescriptor, data: st.DataObject) -> str:
    return str(data.draw(st.sampled_from([field.name, field.json_name])))


def _value(field: FieldDescriptor, value: Any, data: st.DataObject) -> Any:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        entry = kind.fields_by_name["value"]
        return {_key(key): _single(entry, each, data) for key, each in value.items()}
    return [_single(field, each, data) for each in value] if field.is_repeated else _single(field, value, data)


def _key(key: object) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _single(field: FieldDescriptor, value: Any, data: st.DataObject) -> Any:
    if isinstance(value, Timestamp):
        return _time(value, data)
    if isinstance(value, Message):
        return spelled(value, data)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return data.draw(st.sampled_from([value, str(value), float(value), *([known.name] if known else [])]))
    return _number(value, data) if field.cpp_type in _WHOLE else value


def _number(value: int, data: st.DataObject) -> Any:
    spellings: list[Any] = [value, str(value), f" {value}".strip(), f"{value:+d}", f"00{value}" if value > 0 else value]
    if abs(value) <= _EXACT_IN_A_FLOAT:
        spellings += [float(value), f"{value}.0", f"{value}.000", f"{value}e0", f"{value}E+0", f"{value}0e-1"]
    return data.draw(st.sampled_from(spellings))


def _time(value: Timestamp, data: st.DataObject) -> str:
    text = value.ToJsonString()
    return str(data.draw(st.sampled_from([text, text.replace("Z", "+00:00"), text.replace("Z", "-00:00")])))

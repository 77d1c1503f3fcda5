"""Random messages of any type, generated from its descriptor, for property-based tests."""

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import strategies as st

_LAST_SECOND = 253402300799
_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def messages_of(kind: type[Message]) -> st.SearchStrategy[Message]:
    """Return a strategy for messages of a type, with any of their fields set."""
    descriptor: Any = kind.DESCRIPTOR
    return _dicts(descriptor).map(lambda fields: kind(**fields))


def _dicts(descriptor: Descriptor) -> st.SearchStrategy[dict[str, Any]]:
    if descriptor.full_name == Timestamp.DESCRIPTOR.full_name:
        seconds, nanos = st.integers(-62135596800, _LAST_SECOND), st.integers(0, 999_999_999)
        return st.fixed_dictionaries({"seconds": seconds, "nanos": nanos})
    chosen = (
        st.sets(st.sampled_from(sorted(field.name for field in descriptor.fields)))
        if descriptor.fields
        else st.just(set[str]())
    )
    return chosen.flatmap(lambda names: _with_fields(descriptor, names))


def _with_fields(descriptor: Descriptor, names: set[str]) -> st.SearchStrategy[dict[str, Any]]:
    for oneof in descriptor.oneofs:
        for extra in [each.name for each in oneof.fields if each.name in names][1:]:
            names = names - {extra}
    return st.fixed_dictionaries({name: _values(descriptor.fields_by_name[name]) for name in sorted(names)})


def _values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return st.dictionaries(_single(kind.fields_by_name["key"]), _single(kind.fields_by_name["value"]), max_size=2)
    return st.lists(_single(field), max_size=2) if field.is_repeated else _single(field)


def _single(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return _dicts(field.message_type)
    if field.enum_type is not None:
        return st.sampled_from([*(value.number for value in field.enum_type.values), 77])
    if field.cpp_type in _INTEGERS:
        return st.integers(*_INTEGERS[field.cpp_type])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=8)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return st.text(max_size=8)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    return st.floats(width=32)

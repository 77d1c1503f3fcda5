"""Puts the messages of one response side by side: as they came in binary, and as they came as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from .._wire.methods import FIRST_PLACEHOLDER

UnknownFields: TypeAlias = Mapping[tuple[int, int], Sequence[Any]]
"""The values of fields that a type does not know, by number and wire type."""


@dataclass(frozen=True, eq=False)
class Side:
    """A message in one encoding."""

    message: Any
    raw: Mapping[str, Any] | None = None
    """The JSON object that it was read from; None in binary."""


@dataclass(frozen=True, eq=False)
class BothSides:
    """One message in both encodings; None for the encoding in which it was not read."""

    binary: Side | None
    json: Side | None
    owner: str = ""
    """The resource that it belongs to, such as `gateway front`."""
    over: tuple[str, ...] = ()
    """The transports by which the binary side came."""

    @property
    def descriptor(self) -> Descriptor:
        """The type of the message."""
        side = self.binary or self.json
        assert side is not None  # noqa: S101 - there is no pair without a side
        descriptor: Descriptor = side.message.DESCRIPTOR
        return descriptor


def walk(pair: BothSides) -> Iterator[BothSides]:
    """Yield the pair, and those of all messages inside it that both sides have (or the only side has)."""
    yield pair
    for field in pair.descriptor.fields:
        if own_message(field) is None or is_placeholder(field):
            continue
        for binary, json in _inner(field, pair):
            yield from walk(replace(pair, binary=binary, json=json))


def own_message(field: FieldDescriptor) -> Descriptor | None:
    """Return the type of a field of messages of the API's own; None for others. In a map, that of the values."""
    kind: Descriptor | None = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        kind = kind.fields_by_name["value"].message_type
    return None if kind is None or kind.full_name.startswith("google.protobuf.") else kind


def is_placeholder(field: FieldDescriptor) -> bool:
    """Return whether the real number of a field is not published, so that it never comes in binary."""
    return field.number >= FIRST_PLACEHOLDER


def is_map(field: FieldDescriptor) -> bool:
    """Return whether a field is a map."""
    kind = field.message_type
    return kind is not None and kind.GetOptions().map_entry


def raw_value(raw: Mapping[str, Any], field: FieldDescriptor) -> Any:
    """Return what JSON has for a field, under either of its names; None if it has nothing."""
    return raw.get(field.json_name, raw.get(field.name))


def unknown_fields(message: Message) -> UnknownFields:
    """Return the fields of a binary message that its type does not know."""
    found: dict[tuple[int, int], list[Any]] = {}
    every: Any = UnknownFieldSet(message)
    for each in every:
        found.setdefault((each.field_number, each.wire_type), []).append(each.data)
    return found


def known_part(message: Any) -> Any:
    """Return a copy with those fields alone whose real numbers this release knows."""
    copy = type(message)()
    copy.CopyFrom(message)
    copy.DiscardUnknownFields()
    _clear_placeholders(copy)
    return copy


def _clear_placeholders(message: Any) -> None:
    for field, value in message.ListFields():
        if is_placeholder(field):
            message.ClearField(field.name)
        elif own_message(field) is not None:
            for each in value.values() if is_map(field) else value if field.is_repeated else [value]:
                _clear_placeholders(each)


def canonical(message: Any) -> str:
    """Return a text that is equal for equal messages, unknown fields included, whatever the order of what repeats."""
    parts = [f"{field.number}:{_canonical_value(field, value)}" for field, value in message.ListFields()]
    parts += [f"?{key}:{values}" for key, values in sorted(unknown_fields(message).items())]
    return "{" + ",".join(parts) + "}"


def _canonical_value(field: FieldDescriptor, value: Any) -> str:
    if is_map(field):
        kind: Any = field.message_type
        values = kind.fields_by_name["value"]
        return str(sorted((str(key), _canonical_single(values, each)) for key, each in value.items()))
    if field.is_repeated:
        return str(sorted(_canonical_single(field, each) for each in value))
    return _canonical_single(field, value)


def _canonical_single(field: FieldDescriptor, value: Any) -> str:
    return canonical(value) if field.message_type is not None else repr(value)


def _inner(field: FieldDescriptor, pair: BothSides) -> Iterator[tuple[Side | None, Side | None]]:
    """Yield the messages of a field, side by side."""
    binary = None if pair.binary is None else _sides(field, pair.binary)
    json = None if pair.json is None else _sides(field, pair.json)
    if binary is None or json is None:
        for each in (binary or json or {}).values():
            yield (each, None) if json is None else (None, each)
    elif field.is_repeated and not is_map(field):
        if len(binary) == len(json):
            yield from _aligned([*binary.values()], [*json.values()])
    else:
        for key in binary.keys() & json.keys():
            yield binary[key], json[key]


def _sides(field: FieldDescriptor, side: Side) -> dict[Any, Side]:
    """Return the messages of a field: by key in a map, by position in a list."""
    value = getattr(side.message, field.name)
    raw = None if side.raw is None else raw_value(side.raw, field)
    if is_map(field):
        return {key: Side(value[key], _object(raw, str(key))) for key in value}
    if field.is_repeated:
        return {number: Side(each, _object(raw, number)) for number, each in enumerate(value)}
    return {0: Side(value, raw)} if side.message.HasField(field.name) else {}


def _object(raw: Any, key: Any) -> Any:
    """Return the JSON object of one message of a field; an empty one where JSON has a form of its own for its key."""
    if raw is None:
        return None
    try:
        return raw[key]
    except LookupError:
        return {}


def _aligned(binary: list[Side], json: list[Side]) -> Iterator[tuple[Side, Side]]:
    """Yield the messages of two lists that belong together: by position, or sorted if that makes them fit better.

    The service does not promise the order of lists, so it may differ between two responses.
    """
    if [canonical(each.message) for each in binary] != [canonical(each.message) for each in json]:
        ordered = sorted(binary, key=_order), sorted(json, key=_order)
        if _differences(*ordered) < _differences(binary, json):
            binary, json = ordered
    yield from zip(binary, json, strict=True)


def _order(side: Side) -> str:
    return canonical(side.message)


def _differences(binary: list[Side], json: list[Side]) -> int:
    return sum(canonical(one.message) != canonical(two.message) for one, two in zip(binary, json, strict=True))

"""Comparison: what given fields would change in a spec, by what the API means by them.

A set has no order, and a zone, host name, address range or id may be spelled in several ways. A part that is absent is
as good as an empty one. A key that no read returns, and a field that was not given, cannot differ.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from .._text import one_line
from .._wire.methods import FIRST_PLACEHOLDER
from ._parts import fill

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that has another value than it should have.

    Attributes:
        path: where it is in the spec: `autoscaling.max`, `runtime.engine_config['max-model-len']`.
        old: its value now; None if there is none.
        new: what it should be; None if it should be gone.
    """

    path: str
    old: Any
    new: Any

    @property
    def field(self) -> str:
        """The field of the spec that it is in: `autoscaling`."""
        return self.path.partition(".")[0].partition("[")[0]

    @property
    def is_confidential(self) -> bool:
        """Whether its values are not for everybody's eyes: an engine's environment is where people put credentials."""
        return self.path.startswith("runtime.engine_env")

    def __str__(self) -> str:
        if self.is_confidential:
            return f"{self.path} changed"
        return one_line(f"{self.path}: {_shown(self.old)} -> {_shown(self.new)}")


def desired(spec: M, *layers: Mapping[str, Any]) -> M:
    """Return a copy of a spec with given fields on top, later layers over earlier ones.

    A mapping changes just its keys, and a message those of its fields that are set: one that has the value 0 cannot be
    distinguished from one that was not given. A message of a single field is just that field.
    """
    copy = type(spec)()
    copy.CopyFrom(spec)
    for layer in layers:
        fill(copy, {name: value for name, value in layer.items() if not isinstance(value, Message)})
        for name, value in layer.items():
            if isinstance(value, Message):
                _overlay(getattr(copy, name), value)
    return copy


def differences(old: M, new: M, path: str = "") -> Iterator[Difference]:
    """Emit what is different in `new`, field by field."""
    for field in cast(Descriptor, old.DESCRIPTOR).fields:
        place = f"{path}.{field.name}" if path else field.name
        before, after = getattr(old, field.name), getattr(new, field.name)
        if id_of(field) in WRITE_ONLY:
            continue
        if is_map(field):
            yield from _different_entries(before, after, place)
        elif field.is_repeated:
            if not _means(field).is_equal(before, after):
                yield Difference(
                    place, [_readable(field, each) for each in before], [_readable(field, each) for each in after]
                )
        elif field.message_type is None:
            if before != after:
                yield Difference(place, _readable(field, before), _readable(field, after))
        elif field.containing_oneof is not None and old.HasField(field.name) != new.HasField(field.name):
            chosen = new.HasField(field.name)
            yield Difference(place, None if chosen else before, after if chosen else None)
        else:
            yield from differences(before, after, place)


def fingerprint(spec: Message, unknown: Iterable[str] = ()) -> str:
    """Return a digest of what a spec means: the same for specs that do not differ.

    `unknown`: the paths of fields that a read has shown, but this release does not know.
    """
    from hashlib import sha256  # only plans need it
    from json import dumps

    content = dumps([_content(spec), sorted(unknown)], sort_keys=True, separators=(",", ":"))
    return sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def _content(message: Message) -> dict[str, Any]:
    """Return what is set, in one spelling for all that means the same."""
    found = dict[str, Any]()
    for field, value in cast(Any, message).ListFields():
        if is_map(field):
            found[field.name] = {**value}
        elif field.is_repeated:
            found[field.name] = _means(field).canonical(value)
        elif field.message_type is None:
            found[field.name] = value
        elif (inside := _content(value)) or field.containing_oneof is not None:
            found[field.name] = inside
    return {name: value for name, value in found.items() if name not in _write_only_in(message)}


def _write_only_in(message: Message) -> set[str]:
    return {field.name for field in cast(Descriptor, message.DESCRIPTOR).fields if id_of(field) in WRITE_ONLY}


def names_placeholder(kind: Descriptor, given: Mapping[str, Any]) -> bool:
    """Return whether given fields include one that only JSON shows, be it to compare it with nothing."""
    for name, value in given.items():
        field = kind.fields_by_name.get(name)
        if field is None or value is None:
            continue
        if field.number >= FIRST_PLACEHOLDER:
            return True
        if field.message_type is not None and not field.is_repeated:
            inside = given_in(value)
            if inside and names_placeholder(field.message_type, inside):
                return True
    return False


def given_in(value: Any) -> Mapping[str, Any]:
    """Return the fields that a mapping or a message gives; of a message those that are set."""
    if isinstance(value, Message):
        return {field.name: each for field, each in cast(Any, value).ListFields()}
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}


@dataclass(frozen=True)
class _Meaning:
    """When two lists mean the same."""

    is_equal: Callable[[Iterable[Any], Iterable[Any]], bool]
    canonical: Callable[[Iterable[Any]], list[Any]]
    """Returns one of the lists that mean the same."""


def _set_of(spelling: Callable[[str], str]) -> _Meaning:
    return _Meaning(
        lambda before, after: {*map(spelling, before)} == {*map(spelling, after)},
        lambda items: sorted({*map(spelling, items)}),
    )


def _host_name(name: str) -> str:
    return name.lower().removesuffix(".")


def _address_range(text: str) -> str:
    from ipaddress import ip_network  # only few specs have any

    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        return text


_SEQUENCE = _Meaning(lambda before, after: [*before] == [*after], lambda items: [*items])
_MEANINGS: Mapping[str, _Meaning] = {
    "GatewaySpec.zones": _set_of(str.upper),
    # An update adds host names to those that are there; it cannot remove one.
    "EndpointConfiguration.additional_dns": _Meaning(
        lambda before, after: {*map(_host_name, after)} <= {*map(_host_name, before)},
        lambda items: sorted({*map(_host_name, items)}),
    ),
    "EndpointConfiguration.allowed_source_ip_ranges": _set_of(_address_range),
    "DeploymentSpec.gateway_ids": _set_of(str.lower),
}
"""Lists whose order means nothing. The order of all others, such as a claim's zones, is a preference."""
WRITE_ONLY = frozenset({"WeightsAndBiasesAuth.api_key"})
"""Fields that a read never returns."""
CONFIDENTIAL = frozenset({"DeploymentRuntime.engine_env"})
"""Fields whose values are not for everybody's eyes: an engine's environment is where people put credentials."""


def _means(field: FieldDescriptor) -> _Meaning:
    return _MEANINGS.get(id_of(field), _SEQUENCE)


def id_of(field: FieldDescriptor) -> str:
    """Return the name of a field with that of its message: `GatewaySpec.zones`."""
    return f"{cast(Descriptor, field.containing_type).name}.{field.name}"


def is_map(field: FieldDescriptor) -> bool:
    """Return whether it is a map."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _different_entries(before: Mapping[str, Any], after: Mapping[str, Any], path: str) -> Iterator[Difference]:
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        if old != new:
            yield Difference(f"{path}[{key!r}]", old, new)


def _overlay(target: Message, given: Message) -> None:
    target.SetInParent()
    if len(cast(Descriptor, given.DESCRIPTOR).fields) == 1:
        target.CopyFrom(given)
        return
    for field, value in cast(Any, given).ListFields():
        if isinstance(value, Message):
            _overlay(getattr(target, field.name), value)
        else:
            target.ClearField(field.name)
            fill(target, {field.name: value})


def _readable(field: FieldDescriptor, value: Any) -> Any:
    """Return the name of an enum's value in place of its number."""
    if field.enum_type is None:
        return value
    known = field.enum_type.values_by_number.get(value)
    return value if known is None else known.name


def _shown(value: Any) -> str:
    if isinstance(value, Message):
        return f"{{{' '.join(str(_readable_part(value)).split())}}}"
    return "nothing" if value is None else repr(value)


def _readable_part(message: M) -> M:
    """Return a copy without what a read never returns: those fields are secrets."""
    copy = type(message)()
    copy.CopyFrom(message)
    for name in _write_only_in(message):
        copy.ClearField(name)
    return copy

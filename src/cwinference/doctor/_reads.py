"""The reads that are made by every transport, their responses in units that can be compared, and which of them can be.

Resources may change between two reads. A resource that gRPC read before, and Connect after, the read as JSON, and that
is the same in both, was the same in between. Of the others, one more round shows which have come to rest.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from .. import types
from .._json import loads
from .._wire.methods import METHODS, Method
from ._pairs import BothSides, Side, canonical

READS: Sequence[type[Message]] = (
    types.GetGatewayParametersRequest,
    types.ListGatewaysRequest,
    types.ListDeploymentsRequest,
    types.ListCapacityClaimsRequest,
    types.GetDeploymentParametersRequest,
    types.GetCapacityClaimParametersRequest,
)
"""What is read by every transport. The first one shows whether a transport works at all."""

BINARY = ("grpc", "connect")


@dataclass(frozen=True, eq=False)
class Unit:
    """A response, or a resource in it."""

    side: Side
    id: str = ""
    name: str = ""
    kind: str = ""

    @property
    def owner(self) -> str:
        """The kind and the name of the resource; empty for other responses."""
        return f"{self.kind} {self.name or self.id}".strip()

    @property
    def text(self) -> str:
        """A text that is equal for equal content."""
        return canonical(self.side.message)


@dataclass(frozen=True, eq=False)
class ReadResponse:
    """A response, and the resources in it."""

    shell: Unit
    items: Sequence[Unit]

    @classmethod
    def of(cls, message: Any, body: bytes | None) -> "ReadResponse":
        """Return a response, with its JSON if that is how it came."""
        raw: Any = None if body is None else loads(body)
        method = METHODS_BY_RESPONSE[type(message)]
        field = message.DESCRIPTOR.fields[0] if method.name.startswith("List") else None
        if field is None or not getattr(message, field.name):
            return cls(Unit(Side(message, raw)), [])
        raws = None if raw is None else raw.get(field.json_name, raw.get(field.name))
        items = [
            _unit(each, None if raws is None else raws[number])
            for number, each in enumerate(getattr(message, field.name))
        ]
        shell = type(message)()
        shell.CopyFrom(message)
        shell.ClearField(field.name)
        rest = None if raw is None else {key: raw[key] for key in raw if key not in (field.json_name, field.name)}
        return cls(Unit(Side(shell, rest)), items)


METHODS_BY_RESPONSE: Mapping[type[Message], Method] = {method.response: method for method in METHODS.values()}


def _unit(resource: Any, raw: Any) -> Unit:
    kind = resource.DESCRIPTOR.name
    words = "".join(f" {each.lower()}" if each.isupper() else each for each in kind).strip()
    name = resource.spec.identity if kind == "HotLoad" else resource.spec.name
    return Unit(Side(resource, raw), resource.spec.id, name, words)


@dataclass(frozen=True)
class Matched:
    """What of the responses to one read can be compared."""

    pairs: Sequence[BothSides]
    moving: int
    """How many resources cannot be compared, because they changed meanwhile."""


def match(first: Mapping[str, ReadResponse], second: Mapping[str, ReadResponse]) -> Matched:
    """Return what can be compared of two rounds of a read, each in the order gRPC, JSON, Connect.

    The second round may lack transports, or be empty.
    """
    json = first.get("rest")
    binary = {name: first[name] for name in BINARY if name in first}
    if json is None or not binary:
        sides = [(name, each) for name, each in (("rest", json), *binary.items()) if each is not None][:1]
        return Matched([pair for name, each in sides for pair in _alone(name, each)], 0)
    if len(binary) == 2:
        matched = _bracketed(binary["grpc"], json, binary["connect"])
        if not matched.moving:
            return matched
        again = second.get("rest")
        if again is None or "grpc" not in second:
            return matched
        return _settled(json, again, {"connect": binary["connect"], "grpc": second["grpc"]})
    name, only = next(iter(binary.items()))
    if "rest" in second and name in second:
        return _settled(json, second["rest"], {name: second[name]})
    return Matched([*_paired(only, json, (name,))], 0)


def _alone(name: str, response: ReadResponse) -> Iterator[BothSides]:
    for unit in (response.shell, *response.items):
        over = () if name == "rest" else (name,)
        yield BothSides(None if name == "rest" else unit.side, unit.side if name == "rest" else None, unit.owner, over)


def _bracketed(before: ReadResponse, json: ReadResponse, after: ReadResponse) -> Matched:
    """Compare with JSON what was the same before and after."""
    units = _same(before, after)
    still = ReadResponse(before.shell, [each for each in before.items if each in units])
    moving = max(len(before.items), len(after.items)) - len(still.items)
    pairs = [*_paired(still, json if still.items or not before.items else ReadResponse(json.shell, []), BINARY)]
    is_still = before.shell in units
    return Matched(pairs if is_still else pairs[1:], moving + (not is_still))


def _settled(json: ReadResponse, again: ReadResponse, binary: Mapping[str, ReadResponse]) -> Matched:
    """Compare, by transport, what JSON had the same before and after it was read in binary."""
    units = _same(json, again)
    still = ReadResponse(json.shell, [each for each in json.items if each in units])
    moving = max(len(json.items), len(again.items)) - len(still.items) + (json.shell not in units)
    first = 0 if json.shell in units else 1
    pairs = [pair for name, each in binary.items() for pair in [*_paired(each, still, (name,))][first:]]
    return Matched(pairs, moving)


def _same(one: ReadResponse, other: ReadResponse) -> set[Unit]:
    """Return the units of a response that another one has too, the same in all that they have."""
    texts = {_content(each) for each in (other.shell, *other.items)}
    return {each for each in (one.shell, *one.items) if _content(each) in texts}


def _content(unit: Unit) -> str:
    raw = unit.side.raw
    return f"{unit.kind} {unit.text}" if raw is None else f"{unit.kind} {unit.text} {sorted(map(str, raw.items()))}"


def _paired(binary: ReadResponse, json: ReadResponse, over: tuple[str, ...]) -> Iterator[BothSides]:
    """Yield the response, and each resource that both have: by id, else by name, else by position."""
    if binary.items or not json.items:
        yield BothSides(binary.shell.side, json.shell.side, over=over)
    else:  # all that it should have is missing: the number of its list may have moved
        yield BothSides(binary.shell.side, _joined(json), over=over)
    for one, other in _partners(binary.items, json.items):
        yield BothSides(one.side, other.side, other.owner, over)


def _joined(json: ReadResponse) -> Side:
    """Return a response with its items in it again."""
    shell = json.shell.side
    message = type(shell.message)()
    message.CopyFrom(shell.message)
    field = message.DESCRIPTOR.fields[0]
    getattr(message, field.name).extend(each.side.message for each in json.items)
    return Side(message, {**(shell.raw or {}), field.json_name: [each.side.raw for each in json.items]})


def _partners(binary: Sequence[Unit], json: Sequence[Unit]) -> Iterator[tuple[Unit, Unit]]:
    for key in ("id", "name"):
        by_key = {getattr(each, key): each for each in json if getattr(each, key)}
        found = [(each, by_key[getattr(each, key)]) for each in binary if getattr(each, key) in by_key]
        if found:
            yield from found
            return
    if len(binary) == len(json):
        yield from zip(binary, json, strict=True)

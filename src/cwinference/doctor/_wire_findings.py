"""What the differences between this release and the service mean for users: findings of the wire self-check."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .._text import one_line
from ._changes import Drift, EnumDrift, FieldDrift
from ._fits import WIRE_TYPES, Fit
from ._pairs import BothSides
from ._report import LEVELS, Finding, Level

_SEND = "send this report to the maintainers"
_USE_JSON = (
    'use transport="rest" (--transport rest), where fields go by name, until a release knows the new numbers, and '
    f"{_SEND}"
)
_HARMLESS = (
    f"nothing breaks: reads leave it out, and modify and ensure refuse to overwrite what has it; {_SEND}, so that a "
    "release can learn it"
)
_MOST_OWNERS = 3
_MOST_LETTERS = 100
_ALL = ("grpc", "connect")


def findings_of(changes: Iterable[Drift], *, names: bool) -> list[Finding]:
    """Return a finding for each difference, the worst ones first.

    `names`: whether they may name the resources in which it was seen.
    """
    found = _findings(changes, names)
    return sorted(found, key=lambda each: (-LEVELS.index(each.level), each.advice))


def _findings(changes: Iterable[Drift], names: bool) -> Iterator[Finding]:
    for change in changes:
        level, text, advice = _of_enum(change) if isinstance(change, EnumDrift) else _of_field(change)
        owners = _owners(change.pairs) if names else []
        seen = f" (seen in {', '.join(owners)})" if owners else ""
        yield Finding(
            level, "wire", f"{text}{_over(change.pairs)}{seen}", advice, {**_details(change), **_named(owners)}
        )


def _of_field(change: FieldDrift) -> tuple[Level, str, str]:
    field = f"{change.message}.{change.field}"
    there = f"number {change.number} ({WIRE_TYPES.get(change.wire_type, change.wire_type)})"
    names = " or ".join(_key(each) for each in change.json_names)
    match change.kind:
        case "moved":
            how = "its value" if change.fit is Fit.EXACT else "what may be its value"
            text = f"{field} has moved: binary has {how} at {there}, not at {change.known_number}"
            return "error", text, _USE_JSON
        case "retyped":
            text = f"{field}, number {change.number}, comes with another wire type: {there}"
            return "error", f"{text}, which fits {names} in JSON" if names else text, _USE_JSON
        case "taken":
            text = f"{field}, number {change.known_number}, has in binary what JSON has as {names}: numbers have moved"
            return "error", text, _USE_JSON
        case "different":
            text = f"{field}, number {change.known_number}, does not have the same value in binary and in JSON"
            return "error", text, _USE_JSON
        case "renamed":
            text = f"{field} has another name in JSON now: {names}"
            return "error", text, f'use transport="grpc" (--transport grpc), where fields go by number, and {_SEND}'
        case "published":
            text = f"{field}, whose number is not published, comes in binary as {there}"
            return "warning", text, f"nothing breaks: it travels as JSON; {_SEND}, so that a release can use the number"
        case "new":
            return "warning", _of_new_field(change, there, names), _HARMLESS


def _of_new_field(change: FieldDrift, there: str, names: str) -> str:
    text = f"{change.message} has a field that this release does not know: "
    if not change.number:
        more = ", and nothing in binary that fits" if any(each.binary for each in change.pairs) else ""
        return f"{text}{names} in JSON{more}"
    if not names:
        more = ", and nothing in JSON that fits" if any(each.json for each in change.pairs) else ""
        return f"{text}{there} in binary{more}"
    how = "" if change.fit is Fit.EXACT else "probably "
    return f"{text}{there} in binary, {how}{names} in JSON"


def _of_enum(change: EnumDrift) -> tuple[Level, str, str]:
    enum, name = change.enum.removeprefix("coreweave.inference.v1alpha1."), _key(change.name)
    if change.kind == "moved":
        return "error", f"{enum} has moved a value: {name} is {change.number} in binary", _USE_JSON
    if change.kind == "renamed":
        text = f"{enum} has a new name for a number that this release knows: {name} for {change.number}"
        return "warning", text, f"over JSON it counts as unspecified, over gRPC as before; {_SEND}"
    shown = [f"number {change.number} in binary"] if change.number is not None else []
    shown += [f"{name} in JSON"] if change.name else []
    text = f"{enum} has a value that this release does not know: {', '.join(shown)}"
    return (
        "warning",
        text,
        f"nothing breaks: it counts as pending or unspecified; {_SEND}, so that a release can learn it",
    )


def _key(name: str) -> str:
    return one_line(name)[:_MOST_LETTERS]


def _over(pairs: Sequence[BothSides]) -> str:
    """Return by which transports it was seen, if not by all that are compared."""
    over = {each for pair in pairs for each in pair.over}
    return "" if not over or over == {*_ALL} else f" (over {' and '.join(each for each in _ALL if each in over)} alone)"


def _owners(pairs: Sequence[BothSides]) -> list[str]:
    owners = list(dict.fromkeys(one_line(pair.owner) for pair in pairs if pair.owner))
    more = [f"{len(owners) - _MOST_OWNERS} more"] if len(owners) > _MOST_OWNERS else []
    return owners[:_MOST_OWNERS] + more


def _named(owners: Sequence[str]) -> Mapping[str, Any]:
    return {"resources": list(owners)} if owners else {}


def _details(change: Drift) -> Mapping[str, Any]:
    if isinstance(change, EnumDrift):
        found: dict[str, Any] = {"enum": change.enum, "number": change.number, "json": _key(change.name) or None}
    else:
        found = {
            "message": change.message,
            "field": change.field or None,
            "known_number": change.known_number or None,
            "number": change.number or None,
            "wire_type": WIRE_TYPES.get(change.wire_type) if change.number else None,
            "json": [_key(each) for each in change.json_names],
            "fit": change.fit.name.lower() if change.number and change.json_names else None,
        }
    return {"change": change.kind, **found, "seen": len(change.pairs)}

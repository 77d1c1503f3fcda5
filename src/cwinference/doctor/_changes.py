"""What differs between this release and the service, by comparing messages in binary with the same ones as JSON.

Everything is decided for a type of message by all messages of that type that were read. `differences` returns facts;
what they mean for users is said in `_wire_findings.py`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from ._fits import Fit, fit, fit_known
from ._pairs import BothSides, canonical, is_map, is_placeholder, own_message, raw_value, unknown_fields

Kind: TypeAlias = Literal["moved", "new", "published", "taken", "retyped", "renamed", "different"]
"""What happened to a field: its number moved; it is new; the number of a placeholder is known; another field has its
number now; its number has another wire type; its JSON name changed; or its value differs for no reason that shows."""


@dataclass(frozen=True)
class FieldDrift:
    """A field that is not as this release knows it."""

    kind: Kind
    message: str
    """Name of the message's type."""
    field: str = ""
    """Its name, if this release knows it."""
    known_number: int = 0
    number: int = 0
    """Its number in binary, or 0 if it has none there, or none that is known."""
    wire_type: int = 0
    json_names: tuple[str, ...] = ()
    """Its name in JSON; several if more than one fits equally well."""
    fit: Fit = Fit.NOT
    pairs: tuple[BothSides, ...] = ()
    """The messages in which it was seen."""


@dataclass(frozen=True)
class EnumDrift:
    """A value of an enum that is not as this release knows it."""

    kind: Literal["new", "moved", "renamed"]
    enum: str
    number: int | None
    """Its number in binary; None if it was not seen there."""
    name: str
    """Its name in JSON; empty if it was not seen there."""
    pairs: tuple[BothSides, ...] = ()


Drift: TypeAlias = FieldDrift | EnumDrift


@dataclass(frozen=True, eq=False)
class _Candidate:
    """What an unknown field of binary messages may be: a key of JSON, known or not, and where it has which value."""

    name: str
    field: FieldDescriptor | None
    sides: Mapping[BothSides, Any]

    def fits(self, wire_type: int, found: Mapping[BothSides, Sequence[Any]]) -> Fit:
        """Return how well it fits the unknown field, which has to come and go with it."""
        seen = {pair: values for pair, values in found.items() if pair.json is not None}
        present = {pair for pair, value in self.sides.items() if pair.binary is not None and value not in _DEFAULTS}
        if not seen or not seen.keys() <= self.sides.keys() or not present <= found.keys():
            return Fit.NOT
        return min(self._fit(wire_type, values, pair) for pair, values in seen.items())

    def _fit(self, wire_type: int, values: Sequence[Any], pair: BothSides) -> Fit:
        field = self.field
        if field is None or is_placeholder(field) or pair.json is None:
            return fit(wire_type, values, self.sides[pair])
        return fit_known(field, wire_type, values, pair.json.message)


_DEFAULTS: Sequence[Any] = (None, "", 0, False, [])
"""Values in JSON of what binary leaves out. Some servers write them, others do not."""


def differences(pairs: Iterable[BothSides]) -> Iterator[Drift]:
    """Yield how the messages differ from what this release knows."""
    by_type: dict[str, list[BothSides]] = {}
    for pair in pairs:
        by_type.setdefault(pair.descriptor.full_name, []).append(pair)
    for same_type in by_type.values():
        yield from _Comparison(same_type).changes()


class _Comparison:
    """All messages of one type."""

    def __init__(self, pairs: Sequence[BothSides]) -> None:
        self._pairs = pairs
        self._type = pairs[0].descriptor
        self._unknown = _unknown_in_binary(pairs)
        self._raws = {each: each.json.raw for each in pairs if each.json is not None and each.json.raw is not None}
        self._differing = {each: found for each in self._type.fields if (found := _differing(each, pairs))}

    def changes(self) -> Iterator[Drift]:
        matched: set[str] = set()
        candidates = [*self._known(), *self._new_in_json()]
        for (number, wire_type), (how, fitting) in sorted(self._matches(candidates).items(), key=lambda each: each[0]):
            yield self._of_unknown(number, wire_type, how, fitting)
            matched.update(each.name for each in fitting if len(fitting) == 1 or each.field is None)
        yield from self._without_number(candidates, matched)
        yield from self._unexplained(matched)
        yield from self._enums()

    def _known(self) -> Iterator[_Candidate]:
        """Yield the known fields whose value binary does not have where this release looks for it."""
        for field in self._type.fields:
            if is_placeholder(field) or field in self._differing:
                sides = {pair: raw_value(raw, field) for pair, raw in self._raws.items()}
                sides = {pair: value for pair, value in sides.items() if value is not None}
                if sides:
                    yield _Candidate(field.json_name, field, sides)

    def _new_in_json(self) -> Iterator[_Candidate]:
        """Yield the keys of JSON that this release does not know."""
        known = {name for field in self._type.fields for name in (field.name, field.json_name)}
        found: dict[str, dict[BothSides, Any]] = {}
        for pair, raw in self._raws.items():
            for key, value in raw.items():
                if key not in known:
                    found.setdefault(key, {})[pair] = value
        yield from (_Candidate(key, None, sides) for key, sides in found.items())

    def _matches(self, candidates: Sequence[_Candidate]) -> dict[tuple[int, int], tuple[Fit, list[_Candidate]]]:
        """Return what fits each unknown field of binary best. What fits one of them alone is not offered to others."""
        fits = {
            (number, wire_type): {each: each.fits(wire_type, found) for each in candidates}
            for (number, wire_type), found in self._unknown.items()
        }
        best = {key: _best(how) for key, how in fits.items()}
        settled: set[tuple[int, int]] = set()
        while certain := [key for key, (_, found) in best.items() if len(found) == 1 and key not in settled]:
            settled.add(certain[0])
            for key in best.keys() - settled:
                fits[key].pop(best[certain[0]][1][0], None)
                best[key] = _best(fits[key])
        return best

    def _of_unknown(self, number: int, wire_type: int, best: Fit, fitting: Sequence[_Candidate]) -> FieldDrift:
        """Return what an unknown field of binary is, as far as JSON shows."""
        names = tuple(each.name for each in fitting)
        field = fitting[0].field if len(fitting) == 1 else None
        pairs = tuple(self._unknown[number, wire_type])
        place: dict[str, Any] = {"number": number, "wire_type": wire_type, "pairs": pairs}
        if field is not None:
            kind: Kind = "published" if is_placeholder(field) else "retyped" if field.number == number else "moved"
            return FieldDrift(kind, self._type.name, field.name, field.number, json_names=names, fit=best, **place)
        known = self._type.fields_by_number.get(number)
        if known is not None:
            return FieldDrift("retyped", self._type.name, known.name, number, json_names=names, fit=best, **place)
        return FieldDrift("new", self._type.name, json_names=names, fit=best, **place)

    def _without_number(self, candidates: Sequence[_Candidate], matched: set[str]) -> Iterator[FieldDrift]:
        """Yield the keys of JSON that are new, and for which there is nothing in binary."""
        for each in candidates:
            if each.field is None and each.name not in matched:
                pairs = tuple(each.sides)
                renamed = self._renamed(each)
                if renamed is not None:
                    matched.add(renamed.json_name)
                    yield FieldDrift(
                        "renamed", self._type.name, renamed.name, renamed.number, json_names=(each.name,), pairs=pairs
                    )
                else:
                    yield FieldDrift("new", self._type.name, json_names=(each.name,), pairs=pairs)

    def _renamed(self, candidate: _Candidate) -> FieldDescriptor | None:
        """Return the known field that has, in binary, the values that JSON has under a new key."""
        for field, pairs in self._differing.items():
            if all(_in_json(field, pair) is None and _shows(field, pair, candidate.sides.get(pair)) for pair in pairs):
                return field
        return None

    def _unexplained(self, matched: set[str]) -> Iterator[FieldDrift]:
        """Yield the known fields that differ although no unknown field has their value."""
        for field, pairs in self._differing.items():
            if field.json_name in matched or any(number == field.number for number, _ in self._unknown):
                continue
            other = self._taken_by(field, pairs)
            kind: Kind = "different" if other is None else "taken"
            names = () if other is None else (other.json_name,)
            yield FieldDrift(kind, self._type.name, field.name, field.number, json_names=names, pairs=tuple(pairs))

    def _taken_by(self, field: FieldDescriptor, pairs: Sequence[BothSides]) -> FieldDescriptor | None:
        """Return the other field whose value binary has in the place of this one."""
        for other in self._type.fields:
            if other is not field and all(_has_value_of(field, other, pair) for pair in pairs):
                return other
        return None

    def _enums(self) -> Iterator[EnumDrift]:
        found: dict[tuple[Any, ...], list[BothSides]] = {}
        for field in self._type.fields:
            if field.enum_type is not None:
                for pair in self._pairs:
                    for change in _enum_changes(field, pair):
                        found.setdefault(change, []).append(pair)
        for (kind, enum, number, name), pairs in found.items():
            yield EnumDrift(kind, enum, number, name, tuple(pairs))


def _best(fits: Mapping[_Candidate, Fit]) -> tuple[Fit, list[_Candidate]]:
    """Return what fits best; nothing if nothing fits."""
    best = max(fits.values(), default=Fit.NOT)
    return best, [each for each, how in fits.items() if how is best and best is not Fit.NOT]


def _has_json(pair: Any) -> bool:
    return pair.json is not None and pair.json.raw is not None


def _unknown_in_binary(pairs: Sequence[BothSides]) -> dict[tuple[int, int], dict[BothSides, Sequence[Any]]]:
    found: dict[tuple[int, int], dict[BothSides, Sequence[Any]]] = {}
    for pair in pairs:
        if pair.binary is not None:
            for key, values in unknown_fields(pair.binary.message).items():
                found.setdefault(key, {})[pair] = values
    return found


def _differing(field: FieldDescriptor, pairs: Sequence[BothSides]) -> list[BothSides]:
    """Return the messages in which a field's value differs between binary and JSON."""
    if is_placeholder(field):
        return []
    both = (pair for pair in pairs if pair.binary is not None and pair.json is not None)
    return [pair for pair in both if not _is_equal(field, pair)]


def _is_equal(field: FieldDescriptor, pair: Any) -> bool:
    """Return whether both sides have the same. Of messages inside only the presence counts: they are pairs themselves.

    What enums have is compared by `_enum_changes` if either side is unknown.
    """
    binary, json = getattr(pair.binary.message, field.name), getattr(pair.json.message, field.name)
    if own_message(field) is not None:
        if is_map(field):
            return bool(set(binary) == set(json))
        if field.is_repeated:
            return len(binary) == len(json)
        return bool(pair.binary.message.HasField(field.name) == pair.json.message.HasField(field.name))
    if field.enum_type is not None and any(True for _ in _enum_changes(field, pair)):
        return True
    if field.is_repeated and not is_map(field):
        return sorted(map(_comparable, binary)) == sorted(map(_comparable, json))
    if field.message_type is not None and not is_map(field):
        has = [each.message.HasField(field.name) for each in (pair.binary, pair.json)]
        return has[0] == has[1] and canonical(binary) == canonical(json)
    return bool(binary == json)


def _comparable(value: Any) -> str:
    return canonical(value) if hasattr(value, "DESCRIPTOR") else repr(value)


def _in_json(field: FieldDescriptor, pair: Any) -> Any:
    return raw_value(pair.json.raw, field)


def _shows(field: FieldDescriptor, pair: Any, raw: Any) -> bool:
    """Return whether the value of a field in binary is what JSON has, of which only the plainest forms are compared."""
    if raw is None or own_message(field) is not None or is_map(field):
        return False
    value = getattr(pair.binary.message, field.name)
    return bool([*value] == raw if field.is_repeated else value == raw and type(value) is type(raw))


def _has_value_of(field: FieldDescriptor, other: FieldDescriptor, pair: Any) -> bool:
    """Return whether a field has, in binary, the value that another one of the same type has in JSON."""
    if (field.type, field.is_repeated, field.message_type) != (other.type, other.is_repeated, other.message_type):
        return False
    found, expected = getattr(pair.binary.message, field.name), getattr(pair.json.message, other.name)
    if own_message(field) is not None and not field.is_repeated:
        same_presence = pair.binary.message.HasField(field.name) and pair.json.message.HasField(other.name)
        return bool(same_presence and canonical(found) == canonical(expected))
    return bool(found) and bool(found == expected)


def _enum_changes(field: FieldDescriptor, pair: Any) -> Iterator[tuple[str, str, int | None, str]]:
    """Yield kind, enum, number and name of each value of a field that is not as this release knows it."""
    enum: Any = field.enum_type
    side: Any = pair.binary
    numbers = None if side is None or is_placeholder(field) else _listed(getattr(side.message, field.name), field)
    names = _listed(_in_json(field, pair), field) if _has_json(pair) else None
    if numbers is None or names is None:
        for number in numbers or ():
            if number not in enum.values_by_number:
                yield "new", enum.full_name, number, ""
        for name in names or ():
            if not _is_known(enum, name):
                yield "new", enum.full_name, None, str(name)
    elif len(numbers) == len(names):
        for number, name in zip(numbers, names, strict=True):
            known_number, known_name = number in enum.values_by_number, _is_known(enum, name)
            if not known_name:
                yield ("renamed" if known_number else "new"), enum.full_name, number, str(name)
            elif not known_number and not isinstance(name, int):
                yield "moved", enum.full_name, number, str(name)
            elif not known_number:
                yield "new", enum.full_name, number, ""


def _listed(value: Any, field: FieldDescriptor) -> list[Any]:
    if value is None:
        return []
    return [*value] if field.is_repeated else [value]


_ALIASES = ("True", "False")
"""What the API's documentation shows for the status of a condition."""


def _is_known(enum: EnumDescriptor, name: Any) -> bool:
    """Return whether JSON has a name that this release knows; a number alone says nothing new of names."""
    return isinstance(name, int) or name in enum.values_by_name or name in _ALIASES

"""The words that the table of rules is written in, with the rule ids and texts of protovalidate."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import EnumDescriptor

from . import formats


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that must hold of a value."""

    id: str
    message: str
    holds: Callable[[Any], object]
    """Given the value; what it returns counts by its truth."""


@dataclass(frozen=True, slots=True)
class Field:
    """What must hold of one field."""

    rules: Sequence[Rule] = ()
    """Of the value: a scalar, a list or a map."""
    each: Sequence[Rule] = ()
    """Of each item of a list, each value of a map."""
    keys: Sequence[Rule] = ()
    """Of each key of a map."""
    required: bool = False
    """Must be populated; when it is not, that is the only violation."""
    optional: bool = False
    """May have its default, of which nothing else is asked."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What must hold of a message: of the whole, then of its oneofs, then field by field."""

    fields: Mapping[str, Field] = field(default_factory=dict[str, Field])
    oneofs: Sequence[str] = ()
    """Of each of these one field must be set."""
    whole: Sequence[Rule] = ()


def required(*rules: Rule) -> Field:
    """A field that must be populated, and must obey the rules."""
    return Field(rules, required=True)


def optional(*rules: Rule) -> Field:
    """A field that must obey the rules once it is populated."""
    return Field(rules, optional=True)


def value(*rules: Rule) -> Field:
    """A field that must obey the rules, populated or not."""
    return Field(rules)


REQUIRED = Rule("required", "value is required", bool)
ONEOF = Rule("required", "exactly one field is required in oneof", bool)

HOST_LABEL = Rule("string.valid_host_label", "value must be a valid host label", formats.HOST_LABEL.fullmatch)
ZONE = Rule("string.valid_zone", "value must be a valid zone", formats.ZONE.fullmatch)
SEMANTIC_VERSION = Rule(
    "string.valid_semver_version", "value must be a valid semantic version", formats.SEMANTIC_VERSION.fullmatch
)
URI = Rule("string.uri", "must be a valid URI", formats.is_uri)
HOSTNAME = (
    Rule("string.hostname", "must be a valid hostname", lambda text: not text or formats.is_hostname(text)),
    Rule("string.hostname_empty", "value is empty, which is not a valid hostname", bool),
)
UUID = (
    Rule("string.uuid", "must be a valid UUID", lambda text: not text or formats.UUID.fullmatch(text)),
    Rule("string.uuid_empty", "value is empty, which is not a valid UUID", bool),
)


def min_len(least: int) -> Rule:
    """At least so many code points."""
    return Rule("string.min_len", f"must be at least {least} characters", lambda text: len(text) >= least)


def max_len(most: int) -> Rule:
    """At most so many code points."""
    return Rule("string.max_len", f"must be at most {most} characters", lambda text: len(text) <= most)


def pattern(regex: str) -> Rule:
    """Text that the expression, which must be anchored and free of Python's peculiarities, matches as RE2 would."""
    inner = re.compile(regex.removeprefix("^").removesuffix("$"))
    return Rule("string.pattern", f"does not match regex pattern `{regex}`", inner.fullmatch)


def not_contains(part: str) -> Rule:
    """Text without this in it."""
    return Rule("string.not_contains", f"contains substring `{part}`", lambda text: part not in text)


def one_of(kind: str, *allowed: str | int) -> Rule:
    """One of these, of a `kind` as in .proto files."""
    return Rule(f"{kind}.in", f"must be in list {_listed(allowed)}", allowed.__contains__)


def at_least(least: int) -> Rule:
    """A uint32 from here on."""
    return Rule("uint32.gte", f"must be greater than or equal to {least}", lambda number: number >= least)


def between(least: int, most: int) -> Rule:
    """A uint32 from `least` to `most`, both included."""
    text = f"must be greater than or equal to {least} and less than or equal to {most}"
    return Rule("uint32.gte_lte", text, lambda number: least <= number <= most)


def defined(enum: EnumDescriptor) -> Rule:
    """A value that the enum declares."""
    numbers = frozenset(enum.values_by_number)
    return Rule("enum.defined_only", "value must be one of the defined enum values", numbers.__contains__)


def not_in(*numbers: int) -> Rule:
    """An enum's value other than these."""
    return Rule("enum.not_in", f"must not be in list {_listed(numbers)}", lambda number: number not in numbers)


UNIQUE = Rule(
    "repeated.unique", "repeated value must contain unique items", lambda items: len(set(items)) == len(items)
)


def min_items(least: int) -> Rule:
    """A list of at least so many."""
    return Rule("repeated.min_items", f"must contain at least {least} item(s)", lambda items: len(items) >= least)


def max_items(most: int) -> Rule:
    """A list of at most so many."""
    return Rule("repeated.max_items", f"must contain no more than {most} item(s)", lambda items: len(items) <= most)


def max_pairs(most: int) -> Rule:
    """A map of at most so many."""
    return Rule("map.max_pairs", f"map must be at most {most} entries", lambda pairs: len(pairs) <= most)


def _listed(values: Sequence[object]) -> str:
    return f"[{', '.join(map(str, values))}]"

"""The types and kinds of rules that the rule table is made of, with the rule ids and texts of protovalidate."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import EnumDescriptor

from . import formats


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition that a value has to meet, and the violation to report if it does not."""

    id: str
    message: str
    accepts: Callable[[Any], object]
    """Called with the value; the rule is met if the result is truthy."""


@dataclass(frozen=True, slots=True)
class FieldRules:
    """The rules of one field."""

    rules: Sequence[Rule] = ()
    """For the value of the field: a scalar, or a whole list or map."""
    items: Sequence[Rule] = ()
    """For each item of a list, and each value of a map."""
    keys: Sequence[Rule] = ()
    """For each key of a map."""
    required: bool = False
    """Whether the field must be set; if it is not, that is the only violation. A scalar is set if it is not empty."""
    ignore_if_empty: bool = False
    """Whether the rules are skipped for an empty scalar: protovalidate's IGNORE_IF_ZERO_VALUE."""


@dataclass(frozen=True, slots=True)
class MessageRules:
    """The rules of one message type. They are checked in this order: message, oneofs, fields."""

    fields: Mapping[str, FieldRules] = field(default_factory=dict[str, FieldRules])
    oneofs: Sequence[str] = ()
    """Names of the oneofs of which one member must be set."""
    message: Sequence[Rule] = ()
    """For the message as a whole."""


def required(*rules: Rule) -> FieldRules:
    """Return the rules of a field that must be set."""
    return FieldRules(rules, required=True)


def ignore_if_empty(*rules: Rule) -> FieldRules:
    """Return the rules of a field that are skipped if it is empty."""
    return FieldRules(rules, ignore_if_empty=True)


def always(*rules: Rule) -> FieldRules:
    """Return the rules of a field that apply even if it is empty."""
    return FieldRules(rules)


REQUIRED = Rule("required", "value is required", bool)
ONEOF_REQUIRED = Rule("required", "exactly one field is required in oneof", bool)

HOST_LABEL = Rule("string.valid_host_label", "value must be a valid host label", formats.HOST_LABEL.fullmatch)
ZONE = Rule("string.valid_zone", "value must be a valid zone", formats.ZONE.fullmatch)
SEMANTIC_VERSION = Rule(
    "string.valid_semver_version", "value must be a valid semantic version", formats.SEMANTIC_VERSION.fullmatch
)
IP_PREFIX = Rule("string.ip_with_prefixlen", "must be a valid IP prefix", formats.is_ip_prefix)
URI = Rule("string.uri", "must be a valid URI", formats.is_uri)
# protovalidate reports an empty host name or UUID under a rule id of its own, so the first rule accepts it.
HOSTNAME = (
    Rule("string.hostname", "must be a valid hostname", lambda text: not text or formats.is_hostname(text)),
    Rule("string.hostname_empty", "value is empty, which is not a valid hostname", bool),
)
UUID = (
    Rule("string.uuid", "must be a valid UUID", lambda text: not text or formats.UUID.fullmatch(text)),
    Rule("string.uuid_empty", "value is empty, which is not a valid UUID", bool),
)


def min_len(least: int) -> Rule:
    """Return the rule for strings of at least so many code points."""
    return Rule("string.min_len", f"must be at least {least} characters", lambda text: len(text) >= least)


def max_len(most: int) -> Rule:
    """Return the rule for strings of at most so many code points."""
    return Rule("string.max_len", f"must be at most {most} characters", lambda text: len(text) <= most)


def pattern(regex: str) -> Rule:
    """Return the rule for strings that match an anchored regular expression (`^...$`)."""
    # protovalidate uses RE2, in which `$` only matches at the very end; Python's `$` also matches before a newline at
    # the end. So the anchors are replaced by `fullmatch`. The expressions must not use anything else that differs.
    inner = re.compile(regex.removeprefix("^").removesuffix("$"))
    return Rule("string.pattern", f"does not match regex pattern `{regex}`", inner.fullmatch)


def not_contains(part: str) -> Rule:
    """Return the rule for strings that do not contain another string."""
    return Rule("string.not_contains", f"contains substring `{part}`", lambda text: part not in text)


def one_of(scalar_type: str, *allowed: str | int) -> Rule:
    """Return the rule for scalars that are one of the allowed values; the type is named as in .proto files."""
    return Rule(f"{scalar_type}.in", f"must be in list {_format(allowed)}", allowed.__contains__)


def at_least(least: int) -> Rule:
    """Return the rule for a uint32 of at least `least`."""
    return Rule("uint32.gte", f"must be greater than or equal to {least}", lambda number: number >= least)


def between(least: int, most: int) -> Rule:
    """Return the rule for a uint32 from `least` to `most`, both included."""
    text = f"must be greater than or equal to {least} and less than or equal to {most}"
    return Rule("uint32.gte_lte", text, lambda number: least <= number <= most)


def defined(enum: EnumDescriptor) -> Rule:
    """Return the rule for values that the enum defines."""
    numbers = frozenset(enum.values_by_number)
    return Rule("enum.defined_only", "value must be one of the defined enum values", numbers.__contains__)


def not_in(*numbers: int) -> Rule:
    """Return the rule for enum values other than these."""
    return Rule("enum.not_in", f"must not be in list {_format(numbers)}", lambda number: number not in numbers)


UNIQUE = Rule(
    "repeated.unique", "repeated value must contain unique items", lambda items: len(set(items)) == len(items)
)


def min_items(least: int) -> Rule:
    """Return the rule for lists of at least so many items."""
    return Rule("repeated.min_items", f"must contain at least {least} item(s)", lambda items: len(items) >= least)


def max_items(most: int) -> Rule:
    """Return the rule for lists of at most so many items."""
    return Rule("repeated.max_items", f"must contain no more than {most} item(s)", lambda items: len(items) <= most)


def max_pairs(most: int) -> Rule:
    """Return the rule for maps of at most so many entries."""
    return Rule("map.max_pairs", f"map must be at most {most} entries", lambda pairs: len(pairs) <= most)


def _format(values: Sequence[object]) -> str:
    return f"[{', '.join(map(str, values))}]"

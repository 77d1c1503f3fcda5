"""Checks a request against the rules, and reports violations as protovalidate would."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal

from google.protobuf.message import Message

from ..interfaces import Violation
from .formats import quote_key
from .kinds import ONEOF_REQUIRED, REQUIRED, FieldRules, MessageRules, Rule
from .table import CURRENT, PUBLISHED, RuleTable

RuleSet = Literal["published", "current"]

MAX_VIOLATIONS = 1000
"""More than a response of any protocol can report."""
RULE_TABLES: Mapping[RuleSet, RuleTable] = {"published": PUBLISHED, "current": CURRENT}
_NO_MESSAGE_RULES = MessageRules()
_NO_FIELD_RULES = FieldRules()


def check(request: Message, rules: RuleSet = "published") -> tuple[Violation, ...]:
    """Return the violations: those of a whole message first, then field by field in the order of declaration.

    At most `MAX_VIOLATIONS` are returned: a list in a request can have a million wrong items.
    """
    return tuple(islice(_check_message(request, RULE_TABLES[rules], ""), MAX_VIOLATIONS))


def _check_message(message: Message, table: RuleTable, path: str) -> Iterator[Violation]:
    rules = table.get(type(message), _NO_MESSAGE_RULES)
    yield from _apply(rules.message, message, path)
    for oneof in rules.oneofs:
        # A required oneof needs a member that is present, even with an empty value: `core_weave_auth {}` is enough. The
        # path of the violation is that of the oneof, since none of its fields is present.
        yield from _apply([ONEOF_REQUIRED], message.WhichOneof(oneof), _join(path, oneof))
    for field in message.DESCRIPTOR.fields:
        field_rules, field_path = rules.fields.get(field.name, _NO_FIELD_RULES), _join(path, field.name)
        value: Any = getattr(message, field.name)
        if field.is_repeated:
            yield from _apply(field_rules.rules, value, field_path)
            if field.message_type is None:
                yield from _check_items(value, field_rules, field_path)
            else:
                # A map: its entries are messages to protobuf, and requests have no lists of other messages.
                yield from _check_entries(value, field_rules, field_path)
        elif field.message_type is None:
            yield from _apply(_rules_of_scalar(field_rules, value), value, field_path)
        elif message.HasField(field.name):
            yield from _check_message(value, table, field_path)
        elif field_rules.required:
            yield from _apply([REQUIRED], None, field_path)


def _check_items(items: Iterable[Any], rules: FieldRules, path: str) -> Iterator[Violation]:
    for index, item in enumerate(items):
        yield from _apply(rules.items, item, f"{path}[{index}]")


def _check_entries(entries: Mapping[str, Any], rules: FieldRules, path: str) -> Iterator[Violation]:
    for key, value in sorted(entries.items()):
        entry_path = f"{path}[{quote_key(key)}]"
        yield from _apply(rules.keys, key, entry_path)
        yield from _apply(rules.items, value, entry_path)


def _rules_of_scalar(rules: FieldRules, value: Any) -> Sequence[Rule]:
    """Return the rules that apply to a scalar field with this value.

    A proto3 scalar without presence cannot tell "not set" from its default value (empty, 0), so what an empty value
    means depends on how the rules of the field are declared, as in protovalidate:

    - `required`: it violates `required`, and nothing else: the other rules are not checked.
    - `ignore_if_empty` (IGNORE_IF_ZERO_VALUE): the field counts as not set, and no rule applies.
    - otherwise all rules apply to the empty value as to any other, and may reject it.
    """
    if value or not (rules.required or rules.ignore_if_empty):
        return rules.rules
    return [REQUIRED] if rules.required else []


def _apply(rules: Iterable[Rule], value: Any, path: str) -> Iterator[Violation]:
    for rule in rules:
        if not rule.accepts(value):
            yield Violation(path, rule.id, rule.message)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name

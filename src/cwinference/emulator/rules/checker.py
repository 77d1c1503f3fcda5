"""Holds a request against the table of rules: all that it breaks, as protovalidate would say it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from google.protobuf.message import Message

from ..interfaces import Violation
from .kinds import ONEOF, REQUIRED, Field, Rule, Rules
from .table import CURRENT, PUBLISHED, Table

RuleSet = Literal["published", "current"]

TABLES: Mapping[RuleSet, Table] = {"published": PUBLISHED, "current": CURRENT}
_NO_RULES = Rules()
_NO_RULE = Field()


def check(request: Message, rules: RuleSet = "published") -> tuple[Violation, ...]:
    """Every rule that the request breaks: of a whole message first, then field by field in the order of declaration."""
    return tuple(_message(request, TABLES[rules], ""))


def _message(message: Message, table: Table, path: str) -> Iterator[Violation]:
    rules = table.get(type(message), _NO_RULES)
    yield from _broken(rules.whole, message, path)
    for oneof in rules.oneofs:
        yield from _broken([ONEOF], message.WhichOneof(oneof), _join(path, oneof))
    for field in message.DESCRIPTOR.fields:
        rule, here = rules.fields.get(field.name, _NO_RULE), _join(path, field.name)
        value: Any = getattr(message, field.name)
        if field.is_repeated:
            yield from _broken(rule.rules, value, here)
            # A map, for no request has a list of messages.
            yield from _items(value, rule, here) if field.message_type is None else _pairs(value, rule, here)
        elif field.message_type is None:
            yield from _broken(_rules_of_scalar(rule, value), value, here)
        elif message.HasField(field.name):
            yield from _message(value, table, here)
        elif rule.required:
            yield from _broken([REQUIRED], None, here)


def _items(items: Iterable[Any], rule: Field, path: str) -> Iterator[Violation]:
    for index, item in enumerate(items):
        yield from _broken(rule.each, item, f"{path}[{index}]")


def _pairs(pairs: Mapping[str, Any], rule: Field, path: str) -> Iterator[Violation]:
    for key, item in sorted(pairs.items()):
        here = f"{path}[{json.dumps(key, ensure_ascii=False)}]"
        yield from _broken(rule.keys, key, here)
        yield from _broken(rule.each, item, here)


def _rules_of_scalar(rule: Field, value: Any) -> Sequence[Rule]:
    if value or not (rule.required or rule.optional):
        return rule.rules
    return [REQUIRED] if rule.required else []


def _broken(rules: Iterable[Rule], value: Any, path: str) -> Iterator[Violation]:
    for rule in rules:
        if not rule.holds(value):
            yield Violation(path, rule.id, rule.message)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name

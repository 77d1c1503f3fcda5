"""REST requests by the http rules of the methods: path, query and JSON body, as `google.api.http` describes them."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote, urlencode

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from .._wire.methods import HttpRule, Method

_VARIABLE = re.compile(r"\{(\w+)\}")


def target(method: Method, request: Message) -> tuple[str, bytes | None]:
    """Return the path with its query, and the body or None."""
    rule = method.http
    if rule is None:
        raise TypeError(f"{method.name} has no http rule")
    path, taken = _path(rule, request)
    fields = MessageToDict(request)
    if rule.body == "*":
        return path, json.dumps(fields, ensure_ascii=False).encode()
    query = urlencode([pair for pair in _query(fields) if pair[0] not in taken])
    return (f"{path}?{query}" if query else path), None


def _path(rule: HttpRule, request: Message) -> tuple[str, set[str]]:
    """Return the path, each variable filled in as one encoded segment, and the JSON names of the variables."""
    taken = {_json_name(request, name) for name in _VARIABLE.findall(rule.template)}
    return _VARIABLE.sub(lambda found: quote(getattr(request, found.group(1)), safe=""), rule.template), taken


def _json_name(request: Message, name: str) -> str:
    return request.DESCRIPTOR.fields_by_name[name].json_name


def _query(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _query(cast(dict[str, Any], value), f"{prefix}{name}.")
        else:
            items = cast(Sequence[Any], value) if isinstance(value, list) else [value]
            yield from ((prefix + name, _text(each)) for each in items)


def _text(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)

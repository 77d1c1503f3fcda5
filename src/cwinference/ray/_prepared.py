"""Requests as they are kept until they are sent: a row each, whatever it was read from and is wrong with it."""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from hashlib import blake2b
from typing import Any, NamedTuple, cast

from ..errors import ConfigurationError
from ..inference._request import CompletionRequest
from ..inference.batch.requests import completion_of, completion_request, digest_of, fields_of, take_key

COLUMNS = ("custom_id", "line", "request", "digest", "problem")
_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


class Prepared(NamedTuple):
    """A request. Without a `custom_id` of its own it is named after where it was found, and has a problem."""

    custom_id: str
    line: int
    request: bytes
    """Its JSON without the `custom_id`; empty if it has a problem."""
    digest: str
    problem: str
    """Why it cannot be sent; empty if it can."""


def prepared(value: Any, place: str, line: int) -> Prepared:
    """Return a line of JSON, or a mapping, as a request. `place` names it if it has no `custom_id`."""
    key = place
    try:
        fields = fields_of(value)
        custom_id = take_key(fields)
        if custom_id is None:
            raise ConfigurationError("custom_id is missing; the batch knows by it what is completed")
        if not _is_text(custom_id):
            raise ConfigurationError("custom_id: contains half of a character")
        key = custom_id
        method, body = completion_of(fields)
        completion_request(method, body)
        digest = digest_of(method, body)
    except ConfigurationError as error:
        return Prepared(key, line, b"", "", str(error))
    return Prepared(key, line, _encode(fields).encode(), digest, "")


def prepared_row(row: Mapping[str, Any]) -> Prepared:
    """Return a row of a table as a request."""
    fields = fields_of_row(row)
    text = _encode(fields)
    return prepared(fields, f"row {blake2b(text.encode(), digest_size=8).hexdigest()}", 0)


def request_in(content: bytes) -> CompletionRequest:
    """Return what the JSON of a prepared request says."""
    return completion_request(*completion_of(cast(dict[str, Any], json.loads(content))))


def fields_of_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of a table as an object: OpenAI's batch form if it has a column `body`, else a body.

    Nulls are dropped, because a table has them where a row lacks a member. `body` and `messages` may be JSON.
    """
    fields = {name: plain for name, value in row.items() if (plain := _plain(value)) is not None}
    for name in ("body", "messages"):
        if isinstance(fields.get(name), str):
            with suppress(ValueError, RecursionError):  # whoever checks the fields says what was expected
                fields[name] = json.loads(fields[name])
    return fields


def _plain(value: Any) -> Any:
    """Return a value of a table as JSON has it: no nulls in objects, no numbers and arrays of numpy."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        members = cast(Mapping[str, Any], value).items()
        return {name: plain for name, each in members if (plain := _plain(each)) is not None}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in cast(list[Any], value)]
    return None if isinstance(value, float) and math.isnan(value) else value


def _is_text(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True

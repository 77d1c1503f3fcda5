"""Failed answers of OpenAI-compatible servers, whose error bodies come in many shapes, as our errors."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from .. import errors
from .http_errors import (
    API_STATUS,
    LONGEST_MESSAGE,
    PROXY_STATUS,
    HttpHeaders,
    error_of,
    kind_by_code,
    parsed_object,
    seconds_of,
)

_NO_SUCH_ROUTE = "Not Found"
"""What frameworks answer for a path that they do not know; nothing is said of a model."""


class Told(NamedTuple):
    """What a server's own error body says."""

    code: object
    message: str


def failed_completion(status: int, headers: HttpHeaders, body: bytes, method: str) -> errors.ApiError:
    """The error that a failed answer stands for. Never raises, whatever the body holds."""
    told = told_by(parsed_object(body))
    error = error_of(status, headers, body, method) if told is None else _own_word(status, told, method)
    _take_hints(error, headers)
    return error


def error_in_answer(value: Mapping[str, Any], method: str) -> errors.ApiError | None:
    """The error that stands where a completion or a chunk of one was expected; None when there is none."""
    if value.get("error") is None and ("choices" in value or "message" not in value):
        return None
    told = told_by(value)
    return None if told is None else _kind(None, told.code)(told.message, method=method)


def told_by(value: Mapping[str, Any]) -> Told | None:
    """Take the error out of its shape: an object or a string below `error`, a flat object, or `detail`."""
    inner: Any = value.get("error")
    if isinstance(inner, dict):
        fields = cast(dict[str, Any], inner)
        return Told(fields.get("code"), _text(fields.get("message") or fields))
    if inner:
        return Told(value.get("code"), _text(inner))
    if isinstance(value.get("message"), str):
        return Told(value.get("code"), _text(value["message"]))
    detail: Any = value.get("detail")
    return Told(None, _text(detail)) if detail and detail != _NO_SUCH_ROUTE else None


def _own_word(status: int, told: Told, method: str) -> errors.ApiError:
    return _kind(status, told.code)(told.message, http_status=status, method=method)


def _kind(status: int | None, code: object) -> type[errors.ApiError]:
    """By the body's code where it is one, else by the status. Codes such as `model_not_found` are none."""
    number = int(code) if isinstance(code, str) and code.isdecimal() and len(code) < 4 else code
    out_of_range = isinstance(number, int) and not (1 <= number <= 16 or 400 <= number <= 599)
    by_code = None if out_of_range else kind_by_code(code, ())
    if by_code is not None or status is None:
        return by_code or errors.Unknown
    return API_STATUS.get(status) or PROXY_STATUS.get(status, errors.Unknown)


def _text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[:LONGEST_MESSAGE]


def _take_hints(error: errors.ApiError, headers: HttpHeaders) -> None:
    """What the server says of a repeat."""
    milliseconds = headers.get("retry-after-ms", "").strip()
    if milliseconds.isascii() and milliseconds.replace(".", "", 1).isdecimal():
        error.retry_after = float(milliseconds[:12]) / 1000
    elif error.retry_after is None:
        error.retry_after = seconds_of(headers.get("retry-after", ""), headers.get("date", ""))
    wish = headers.get("x-should-retry", "").strip().lower()
    error.permanent = error.permanent or wish == "false"
    error.invited = wish == "true"

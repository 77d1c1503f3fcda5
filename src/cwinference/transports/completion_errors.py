"""Failed responses of OpenAI-compatible servers, whose error bodies have many shapes, as our errors."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from .. import errors
from .._retry_rules import hint_of_completion
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
"""The `detail` that web frameworks send for an unknown path; it says nothing about a model."""


class ErrorBody(NamedTuple):
    """What the error body of a model server says."""

    code: object
    message: str


def failed_completion(status: int, headers: HttpHeaders, body: bytes, method: str) -> errors.ApiError:
    """Return the error that a failed response means. Never raises, whatever the body contains."""
    found = error_body(parsed_object(body))
    error = error_of(status, headers, body, method) if found is None else _own_error(status, found, method)
    delay = _milliseconds(headers)
    if delay is not None:
        error.retry_after = delay
    elif error.retry_after is None:
        error.retry_after = seconds_of(headers.get("retry-after", ""), headers.get("date", ""))
    return errors.with_hint(error, hint_of_completion(status, headers.get("x-should-retry", "").strip().lower()))


def error_in_place(value: Mapping[str, Any], method: str) -> errors.ApiError | None:
    """Return the error that was sent in place of a completion or of a chunk of one; None if there is none."""
    if value.get("error") is None and ("choices" in value or "message" not in value):
        return None
    found = error_body(value)
    return None if found is None else _kind(None, found.code)(found.message, method=method)


def error_body(value: Mapping[str, Any]) -> ErrorBody | None:
    """Return the error in a JSON object: an object or a string under `error`, a flat object, or `detail`."""
    inner: Any = value.get("error")
    if isinstance(inner, dict):
        fields = cast(dict[str, Any], inner)
        return ErrorBody(fields.get("code"), _text(fields.get("message") or fields))
    if inner:
        return ErrorBody(value.get("code"), _text(inner))
    if isinstance(value.get("message"), str):
        return ErrorBody(value.get("code"), _text(value["message"]))
    detail: Any = value.get("detail")
    return ErrorBody(None, _text(detail)) if detail and detail != _NO_SUCH_ROUTE else None


def _own_error(status: int, found: ErrorBody, method: str) -> errors.ApiError:
    return _kind(status, found.code)(found.message, http_status=status, method=method)


def _kind(status: int | None, code: object) -> type[errors.ApiError]:
    """Return the class for the code of a body, if it is one of ours, else for the status.

    Codes such as `model_not_found` are not; neither are numbers that are neither a gRPC nor an HTTP error code.
    """
    number = int(code) if isinstance(code, str) and code.isdecimal() and len(code) < 4 else code
    out_of_range = isinstance(number, int) and not (1 <= number <= 16 or 400 <= number <= 599)
    by_code = None if out_of_range else kind_by_code(code, ())
    if by_code is not None or status is None:
        return by_code or errors.Unknown
    return API_STATUS.get(status) or PROXY_STATUS.get(status, errors.Unknown)


def _text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[:LONGEST_MESSAGE]


def _milliseconds(headers: HttpHeaders) -> float | None:
    """Return the delay by `retry-after-ms` in seconds; None if there is none, or it cannot be read."""
    text = headers.get("retry-after-ms", "").strip()
    is_number = text.isascii() and text.replace(".", "", 1).isdecimal()
    return float(text[:12]) / 1000 if is_number else None

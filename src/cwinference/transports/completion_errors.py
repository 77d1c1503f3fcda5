"""Failed responses of OpenAI-compatible servers, whose error bodies have many shapes, as our errors."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from .. import errors
from .._retry_rules import Hint, hint_of_completion
from .._text import safe_headers
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
    status: int | None = None
    """The HTTP status that it names, by a number or by a type."""


def failed_completion(status: int, headers: HttpHeaders, body: bytes, method: str) -> errors.ApiError:
    """Return the error that a failed response means. Never raises, whatever the body contains."""
    found = error_body(parsed_object(body))
    error = error_of(status, headers, body, method) if found is None else _own_error(status, headers, found, method)
    delay = _milliseconds(headers)
    if delay is not None:
        error.retry_after = delay
    elif error.retry_after is None:
        error.retry_after = seconds_of(headers.get("retry-after", ""), headers.get("date", ""))
    return errors.with_hint(error, hint_of_completion(status, headers.get("x-should-retry", "").strip().lower()))


def no_stream(status: int, headers: HttpHeaders, body: bytes, method: str) -> errors.InferenceError:
    """Return the error of a response that is a success, but no stream of events: the error in it, or ProtocolError."""
    error: errors.ApiError | errors.ProtocolError | None = error_in_place(parsed_object(body), method)
    if error is None:
        kind = headers.get("content-type", "").partition(";")[0]
        error = errors.ProtocolError(f"the response is {kind}, not an event stream", method=method)
    note_response(error, status, headers)
    return error


def error_in_place(value: Mapping[str, Any], method: str) -> errors.ApiError | None:
    """Return the error that was sent in place of a completion, or of a chunk of one; None if there is none.

    An `error` with something in it counts whatever else the object has. It may name its class by a code, a status or
    a known type. It is not retried: the model may have run, and the server says that it was a success.
    """
    if not _has_error(value) and ("choices" in value or "message" not in value):
        return None
    found = error_body(value)
    if found is None:
        return None
    return errors.with_hint(_kind(found.status, found.code)(found.message, method=method), Hint.NO_RETRY)


def note_response(error: errors.ApiError | errors.ProtocolError, status: int, headers: HttpHeaders) -> None:
    """Note in an error which response it came with."""
    error.http_status, error.headers = status, safe_headers(headers.items())


def error_body(value: Mapping[str, Any]) -> ErrorBody | None:
    """Return the error in a JSON object: an object or a string under `error`, a flat object, or `detail`."""
    inner: Any = value.get("error")
    if _has_error(value) and isinstance(inner, dict):
        fields = cast(dict[str, Any], inner)
        return ErrorBody(fields.get("code"), _text(fields.get("message") or fields), _status(fields))
    if _has_error(value):
        return ErrorBody(value.get("code"), _text(inner))
    if isinstance(value.get("message"), str):
        return ErrorBody(value.get("code"), _text(value["message"]))
    detail: Any = value.get("detail")
    return ErrorBody(None, _text(detail)) if detail and detail != _NO_SUCH_ROUTE else None


def _has_error(value: Mapping[str, Any]) -> bool:
    """Return whether an object has an `error` with something in it: some servers send an empty one with a success."""
    inner: Any = value.get("error")
    return any(cast(dict[str, Any], inner).values()) if isinstance(inner, dict) else bool(inner)


def _own_error(status: int, headers: HttpHeaders, found: ErrorBody, method: str) -> errors.ApiError:
    kind = _kind(status, found.code)
    return kind(found.message, http_status=status, method=method, headers=safe_headers(headers.items()))


_TYPES = {
    "invalid_request_error": 400, "BadRequestError": 400, "authentication_error": 401, "AuthenticationError": 401,
    "permission_error": 403, "PermissionDeniedError": 403, "not_found_error": 404, "NotFoundError": 404,
    "rate_limit_error": 429, "RateLimitError": 429, "overloaded_error": 503, "server_error": 500,
    "internal_server_error": 500, "InternalServerError": 500, "api_error": 500, "timeout_error": 504,
    "ServiceUnavailableError": 503,
}  # fmt: skip
"""The HTTP statuses of the error types of OpenAI, Anthropic, vLLM and SGLang, for errors that have no status."""


def _status(fields: Mapping[str, Any]) -> int | None:
    """Return the HTTP status that an error object names: as `status`, `status_code`, or by a known `type`."""
    for name in ("status", "status_code"):
        value = fields.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599:
            return value
    kind = fields.get("type")
    return _TYPES.get(kind) if isinstance(kind, str) else None


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

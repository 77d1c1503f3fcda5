"""What an HTTP response that is not a success means: the one table of codes, for Connect, REST and completions."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, cast
from urllib.parse import unquote

from google.protobuf.message import Message

from .. import errors
from .._text import safe_headers
from .._wire.error_details import from_json, has_precondition_failure, retry_delay

LONGEST_MESSAGE = 2000
"""How many characters of a message are kept."""

API_STATUS: Mapping[int, type[errors.ApiError]] = {
    400: errors.InvalidArgument,
    401: errors.Unauthenticated,
    403: errors.PermissionDenied,
    404: errors.NotFound,
    409: errors.AlreadyExists,
    412: errors.FailedPrecondition,
    416: errors.OutOfRange,
    429: errors.ResourceExhausted,
    499: errors.Cancelled,
    500: errors.Internal,
    501: errors.Unimplemented,
    503: errors.Unavailable,
    504: errors.DeadlineExceeded,
}
"""What an HTTP number in an error body of the API means."""

PROXY_STATUS: Mapping[int, type[errors.ApiError]] = {
    400: errors.Internal,
    401: errors.Unauthenticated,
    403: errors.PermissionDenied,
    404: errors.Unimplemented,
    429: errors.Unavailable,
    502: errors.Unavailable,
    503: errors.Unavailable,
    504: errors.Unavailable,
}
"""What an HTTP status means when the response is not the API's own, but a proxy's page, for example.

It is the table of the gRPC and Connect protocols: a proxy's 404 must never look as if a resource were gone.
"""


class HttpHeaders(Protocol):
    """Headers by name, in upper or lower case."""

    def get(self, key: str, default: str) -> str: ...
    def items(self) -> Iterable[tuple[str, str]]: ...


def error_of(status: int, headers: HttpHeaders, body: bytes, method: str) -> errors.ApiError:
    """Return the error that a failed response means. Never raises, whatever the body contains."""
    parsed = parsed_object(body)
    details: tuple[Message, ...] = from_json(parsed.get("details"))
    of_api = kind_by_code(parsed.get("code"), details) or _by_grpc_status(headers)
    kind = of_api or PROXY_STATUS.get(status, errors.Unknown)
    error = kind(
        _message(parsed, headers, body, status),
        details=details,
        http_status=status,
        method=method,
        retry_after=_retry_after(headers, details),
        headers=safe_headers(headers.items()),
    )
    return error if of_api else errors.mark_page(error)


def parsed_object(body: bytes) -> Mapping[str, Any]:
    """Return the body as a JSON object; an empty one if it is something else."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def kind_by_code(code: object, details: tuple[Message, ...]) -> type[errors.ApiError] | None:
    """Return the class for the `code` of a body: a name, a gRPC number (1 to 16) or an HTTP number (from 100)."""
    if isinstance(code, str) and code.isdecimal() and len(code) < 4:
        code = int(code)
    if isinstance(code, str):
        name = code.lower()
        return errors.CODES.get("canceled" if name == "cancelled" else name)
    if isinstance(code, bool) or not isinstance(code, int):
        return None
    if code == 400 and has_precondition_failure(details):
        return errors.FailedPrecondition
    if code < 100:
        return errors.BY_NUMBER.get(code)
    return API_STATUS.get(code) or PROXY_STATUS.get(code, errors.Unknown)


def _by_grpc_status(headers: HttpHeaders) -> type[errors.ApiError] | None:
    """Return the class for the header that some proxies send: gRPC's status, with an empty body."""
    number = headers.get("grpc-status", "")
    return errors.BY_NUMBER.get(int(number)) if number.isdecimal() and len(number) < 3 else None


def _message(parsed: Mapping[str, Any], headers: HttpHeaders, body: bytes, status: int) -> str:
    message = parsed.get("message")
    if isinstance(message, str) and message:
        return message[:LONGEST_MESSAGE]
    message = unquote(headers.get("grpc-message", ""))
    if message:
        return message[:LONGEST_MESSAGE]
    kind = headers.get("content-type", "").partition(";")[0]
    text = body[:LONGEST_MESSAGE].decode("utf-8", "replace").strip() if kind == "text/plain" else ""
    return text or f"HTTP {status}, not an error of the API ({kind or 'no content type'}, {len(body)} bytes)"


def _retry_after(headers: HttpHeaders, details: tuple[Message, ...]) -> float | None:
    """Return the delay in seconds by RetryInfo, else by Retry-After, which is a number of seconds or a date."""
    delay = retry_delay(details)
    return delay if delay is not None else seconds_of(headers.get("retry-after", ""), headers.get("date", ""))


def seconds_of(retry_after: str, date: str) -> float | None:
    """Return Retry-After in seconds, relative to the server's clock if its `date` is known; None if unreadable."""
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    until = _date(text)
    if until is None:
        return None
    now = _date(date) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)

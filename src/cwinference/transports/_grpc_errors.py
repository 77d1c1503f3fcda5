"""gRPC's errors as ours.

grpcio does not say where an error came from: a server's word, a proxy's, or its own. Its texts are the only sign, so
the patterns below look for them; each was seen on the wire, with the oldest and the newest grpcio that are supported.
They are compiled when an error first looks like one of them: most programs meet none.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.message import Message

from .. import errors
from .._retry_rules import Hint
from .._text import safe_headers
from .._wire.methods import Method
from ._tls import UNUSABLE_TLS, tls_advice
from .base import has_timed_out

_OWN_DEADLINE = ("Deadline Exceeded", "Stream removed (Deadline Exceeded)")
_UNRESOLVED = ("errors resolving ", "dns resolution failed")
_OF_NAMES = ("dns", "lookup")
_NO_SUCH_NAME = r"(dns|lookup).*(name not found|not known|no such host|misformatted)"
_NOT_CONNECTED = ("failed to connect to all addresses", *_UNRESOLVED)
_GOAWAY = ("GOAWAY received", "Stream removed (GOAWAY received")
"""A stream above the last one that a GOAWAY accepts, so it was not processed; one that was accepted and then lost
mentions a socket first. Still no proof for an update: a server may relay this text about a call of its own."""

_LOST = (
    "socket closed", "connection reset", "broken pipe", "stream removed", "endpoint clos", "keepalive", "ping timeout",
)  # fmt: skip
_NO_HANDSHAKER = "Failed to create security handshaker"
_UNPROXIED = re.compile(r"HTTP proxy returned response code 407$")
_TLS_FAILURE = ("handshak", "certificate", "CERTIFICATE_VERIFY", "verification check failed")
_TOO_LARGE = r"(^|CLIENT: )(Received|Decompressed) message larger than max"
_RESET = r"RST_STREAM with error code (\d+)"
_REFUSED = "7"
_CANCELLED = "8"
_UNUSABLE = "parsing 'grpc-encoding' metadata"
"""After a response with an unknown encoding, gRPC fails every later one on the same connection with this text."""

_HTTP_STATUS = r"http2 header with status: (\d{3})"

_UNCONNECTED = frozenset({Hint.NOT_SENT, Hint.NO_SUCH_NAME, Hint.UNTRUSTED, Hint.UNPROXIED})


def is_own_deadline(error: Any) -> bool:
    """Return whether the error is a timeout of ours, of which no server knows."""
    return error.details() in _OWN_DEADLINE


def ends_connection(error: Any) -> bool:
    """Return whether all later calls on the same connection would fail as well."""
    return _UNUSABLE in (error.details() or "")


def is_unconnected(failure: errors.InferenceError) -> bool:
    """Return whether no connection could be made."""
    return isinstance(failure, errors.ApiError) and errors.hint_of(failure) in _UNCONNECTED


def as_text(pair: tuple[str, str | bytes]) -> tuple[str, str]:
    """Return metadata as text; binary values as they are sent, in base64."""
    name, value = pair
    return name, value if isinstance(value, str) else b64encode(value).decode("ascii").rstrip("=")


def translate(
    error: Any, method: Method, timeout: float | None, seconds: float, is_ready: Callable[[], bool]
) -> errors.InferenceError:
    """Return gRPC's error as ours.

    `seconds` is how long the call took; `is_ready` returns whether there is a connection now.
    """
    kind = errors.BY_NUMBER.get(error.code().value[0], errors.Unknown)
    message = error.details() or ""
    if _reset_code(message) == _CANCELLED and has_timed_out(timeout, seconds):
        kind = errors.DeadlineExceeded
    if kind is errors.ResourceExhausted and re.search(_TOO_LARGE, message):
        return errors.ProtocolError(message, method=method.name)
    found = re.search(_HTTP_STATUS, message) if "header" in message else None
    extra = {key: value for key, value in error.trailing_metadata() or () if key.startswith("grpc-")}
    details, delay = _details(extra.get("grpc-status-details-bin"))
    pushback = _pushback(extra.get("grpc-retry-pushback-ms"))
    if timeout is not None and message in _OWN_DEADLINE:
        message = f"no response within {timeout:.3g} s"
    hint = Hint.NONE
    if kind is errors.Unavailable:
        if not _is_from_server(error) and _NO_HANDSHAKER in message:
            return errors.ConfigurationError(f"{UNUSABLE_TLS}: gRPC's own log says why")
        hint = _hint(error, message, is_ready)
        if hint is Hint.UNTRUSTED:
            message += tls_advice(message)
    translated = kind(
        message,
        method=method.name,
        details=details,
        http_status=int(found.group(1)) if found else None,
        retry_after=pushback if pushback is not None else delay,
        headers=safe_headers(map(as_text, (*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())))),
    )
    return errors.with_hint(errors.mark_page(translated) if found else translated, hint)


def _hint(error: Any, message: str, is_ready: Callable[[], bool]) -> Hint:
    """Return what an UNAVAILABLE says beyond its code. The texts count only if they are gRPC's own, because a server
    may relay the very same words about a call that it made itself."""
    lower = message.lower()
    if _has(message, _TLS_FAILURE) and not _has(lower, _UNRESOLVED):
        return Hint.NO_RETRY if _is_from_server(error) else Hint.UNTRUSTED
    if _is_from_server(error):
        # With headers but without trailers, a response has broken off; a server's own error mostly has both.
        return Hint.LOST if _has(lower, _LOST) and not error.trailing_metadata() else Hint.NONE
    if _reset_code(message) == _REFUSED:
        return Hint.REFUSED
    if _has(lower, _NOT_CONNECTED):
        if _UNPROXIED.search(message):
            return Hint.UNPROXIED
        if is_ready():
            # Most likely the connection was made while this error waited to be read, but a server may say so of a call
            # of its own. So it is no proof for an update; and calls that fail together take little of the budget.
            return Hint.LOST
        is_unknown = _has(lower, _OF_NAMES) and re.search(_NO_SUCH_NAME, lower)
        return Hint.NO_SUCH_NAME if is_unknown else Hint.NOT_SENT
    if message.startswith(_GOAWAY):
        return Hint.GOING_AWAY
    return Hint.LOST if _has(lower, _LOST) else Hint.NONE


def _has(text: str, signs: Iterable[str]) -> bool:
    """Return whether a text contains one of some others."""
    return any(sign in text for sign in signs)


def _reset_code(message: str) -> str | None:
    """Return the error code with which a stream was reset, if that is what a text says."""
    found = re.search(_RESET, message) if "RST_STREAM" in message else None
    return None if found is None else found.group(1)


def _details(serialized: bytes | None) -> tuple[tuple[Message, ...], float | None]:
    """Return the details of an error, and the delay that they ask for, in seconds."""
    if not serialized:
        return (), None
    # Here, because it imports json_format, which most errors do not need.
    from .._wire.error_details import from_status, retry_delay

    details = from_status(serialized)
    return details, retry_delay(details)


def _is_from_server(error: Any) -> bool:
    """Return whether the error came with metadata, and so from a server."""
    return bool(error.initial_metadata() or error.trailing_metadata())


def _pushback(value: str | bytes | None) -> float | None:
    """Return the delay by `grpc-retry-pushback-ms`; a negative or unreadable value means: do not retry."""
    if value is None:
        return None
    try:
        return int(value) / 1000
    except ValueError:
        return -1.0

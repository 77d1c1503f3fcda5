"""Which failures of a poll pass by themselves, although the call itself has given up: the next poll may succeed."""

from typing import TypeAlias

from .. import errors
from .._retry_rules import is_final

PollError: TypeAlias = errors.ApiError | errors.ProtocolError

LONGEST_SERVER_DELAY = 30.0
"""How long a server that asks for a delay is obeyed, in seconds."""

_TRANSIENT = (
    errors.Unavailable,
    errors.DeadlineExceeded,
    errors.ResourceExhausted,
    errors.Internal,
    errors.Unknown,
    errors.DataLoss,
    errors.Aborted,
    errors.Cancelled,
)


def passes(error: Exception) -> bool:
    """Return whether the failure will pass; an untrusted certificate, for example, will not."""
    if isinstance(error, errors.ProtocolError):
        return error.http_status is not None  # something else than the API responded: a proxy's page, most likely
    if not isinstance(error, errors.ApiError):
        return False
    return not is_final(errors.hint_of(error)) and (isinstance(error, _TRANSIENT) or _is_foreign(error))


def server_delay(error: Exception | None) -> float:
    """Return the seconds that the server asked to wait before the next poll."""
    delay = error.retry_after if isinstance(error, errors.ApiError) else None
    return min(LONGEST_SERVER_DELAY, delay) if delay and delay > 0 else 0.0


def _is_foreign(error: errors.ApiError) -> bool:
    """Return whether it says nothing of the resource: a proxy's page, or any status of a server that has failed."""
    return errors.is_page(error) or ((error.http_status or 0) >= 500 and error.http_status != 501)

"""What is retried, and what a failed attempt may have done: the one place that decides it, for RPCs and completions.

`errors.ApiError` shows the verdicts as `retryable` and `may_have_succeeded`; `_calls/attempts.py` acts on them. How
often, and after which pause, is set by `Retry`.
"""

from enum import Enum

TRANSIENT_CODES = frozenset({"unavailable", "deadline_exceeded"})
"""Codes of failures that pass by themselves. RESOURCE_EXHAUSTED counts only when the server names a delay: without one
it is as likely a quota that no waiting restores."""

AMBIGUOUS_CODES = frozenset({"canceled", "unknown", "deadline_exceeded", "internal", "unavailable", "data_loss"})
"""Codes that leave open whether the server did what was asked; all others say that it did not."""

_TRANSIENT_STATUSES = frozenset({408, 409, 425, 429})


class Hint(Enum):
    """What a transport knows of a failed attempt that its code does not say."""

    NONE = "nothing"
    NOT_SENT = "the request never left this machine"
    NO_SUCH_NAME = "the request never left this machine, because the server's name does not exist"
    REFUSED = "a working server refused the request unread, and works on"
    LOST = "the connection was lost, and with it all calls on it"
    GOING_AWAY = "a working server closed the connection in good order, most likely before it took this request"
    UNTRUSTED = "the server's certificate is not trusted: nothing was sent, and a retry would end the same"
    UNPROXIED = "the proxy refuses to let this client through: nothing was sent, and a retry would end the same"
    NO_RETRY = "a retry would do harm or is not wanted, whatever the code"
    RETRY = "a retry is wanted, whatever the code"


_FINAL = frozenset({Hint.UNTRUSTED, Hint.UNPROXIED, Hint.NO_RETRY})
_NOT_PROCESSED = frozenset({Hint.NOT_SENT, Hint.NO_SUCH_NAME, Hint.REFUSED})
_HARMLESS = frozenset({*_NOT_PROCESSED, Hint.UNTRUSTED, Hint.UNPROXIED})
_NO_LOAD = frozenset({Hint.NOT_SENT, Hint.NO_SUCH_NAME, Hint.REFUSED, Hint.GOING_AWAY})

_ATTEMPTS_AT_A_NAME = 4
"""A name that does not exist is most likely misspelled; that of a server that restarts may be gone for a moment."""


def is_retryable(code: str, hint: Hint, retry_after: float | None) -> bool:
    """Return whether the same call may succeed when it is sent again. A negative `retry_after` forbids it."""
    if is_final(hint) or (retry_after is not None and retry_after < 0):
        return False
    if hint in _NOT_PROCESSED or hint is Hint.RETRY:
        return True
    return code in TRANSIENT_CODES or (code == "resource_exhausted" and retry_after is not None)


def is_final(hint: Hint) -> bool:
    """Return whether the failure will not pass by itself, whatever its code."""
    return hint in _FINAL


def may_have_effect(code: str, hint: Hint) -> bool:
    """Return whether the server may have done what was asked although the attempt failed."""
    return code in AMBIGUOUS_CODES and hint not in _HARMLESS


def needs_no_budget(hint: Hint) -> bool:
    """Return whether a retry adds nothing to the load of the server, which did no work for the attempt."""
    return hint in _NO_LOAD


def most_attempts(hint: Hint, wanted: int) -> int:
    """Return how many attempts a call may make, given how many are wanted of a call that is retried."""
    return min(wanted, _ATTEMPTS_AT_A_NAME) if hint is Hint.NO_SUCH_NAME else wanted


def is_safe_to_repeat(hint: Hint, *, idempotent: bool) -> bool:
    """Return whether sending the call twice does no harm: always for idempotent ones, else if it was not processed.

    A code is no proof of that: an update that ended in UNAVAILABLE may have been done.
    """
    return idempotent or hint in _NOT_PROCESSED


def hint_of_completion(status: int, should_retry: str) -> Hint:
    """Return what a failed HTTP response to a completion says about a retry, by its status and `x-should-retry`.

    Model servers respond to overload and restarts with many statuses, so these decide, not the codes derived from them.
    """
    if should_retry in ("true", "false"):
        return Hint.RETRY if should_retry == "true" else Hint.NO_RETRY
    transient = status in _TRANSIENT_STATUSES or (status >= 500 and status != 501)
    return Hint.RETRY if transient else Hint.NO_RETRY

"""Where tokens come from, if not from the caller: a file, or a command."""

from .._retry_rules import Hint
from ..errors import DeadlineExceeded, with_hint


def token_timeout() -> DeadlineExceeded:
    """Return the error of a call that ran out of time before it had a token."""
    return with_hint(DeadlineExceeded("timed out while waiting for the token source"), Hint.NOT_SENT)

"""How often a failed call is retried: the user's settings, and a client's budget. What is retried: `_retry_rules`."""

import math
from dataclasses import dataclass

from ._arguments import check_at_least, check_count, check_timeout
from ._locks import lock_of
from .errors import ConfigurationError


@dataclass(frozen=True)
class Retry:
    """How often and when a failed call is retried. `retry=None` turns retries off.

    Reads, creates (their id makes a retry safe) and deletes are retried on UNAVAILABLE, on lost connections, on the
    timeout of a single attempt, and on RESOURCE_EXHAUSTED if the server names a delay. Updates and cancels are retried
    only if the request certainly was not processed. Any call is retried once with a new token on UNAUTHENTICATED, also
    with `retry=None`.

    Completions are retried before their response has begun: on status 408, 409, 425, 429 and 5xx except 501, and on
    lost connections.

    By default a call that cannot be sent fails after 2.5 to 5 seconds of pauses, so that a server which restarts within
    2 seconds goes unnoticed; after 0.3 to 0.7 seconds if no server has that name, and at once if the server's
    certificate is not trusted.

    Args:
        max_attempts: how many times a call is sent at most (7).
        initial_backoff: upper bound of the pause before the second attempt, in seconds (0.1); the pause is random
            between half of the bound and the bound.
        multiplier: by how much the bound grows with each attempt (2.0).
        max_backoff: where the bound stops growing, in seconds (2.0).
        max_server_delay: the longest delay requested by a server that is honored, in seconds (30.0); a longer one ends
            the call.
        attempt_timeout: limit of a single attempt in seconds; None: the time left of the whole call's timeout.

    Raises:
        ConfigurationError: a number is out of its range.
    """

    max_attempts: int = 7
    initial_backoff: float = 0.1
    multiplier: float = 2.0
    max_backoff: float = 2.0
    max_server_delay: float = 30.0
    attempt_timeout: float | None = None

    def __post_init__(self) -> None:
        check_count(self.max_attempts, "max_attempts")
        for name in ("initial_backoff", "max_backoff", "max_server_delay"):
            object.__setattr__(self, name, check_at_least(0, getattr(self, name), name))
        object.__setattr__(self, "multiplier", check_at_least(1, self.multiplier, "multiplier"))
        object.__setattr__(self, "attempt_timeout", check_timeout(self.attempt_timeout, "attempt_timeout"))

    def backoff(self, attempt: int, chance: float) -> float:
        """Return the seconds to pause after the given attempt; `chance` is a number from 0 up to 1."""
        try:
            longest = self.initial_backoff * self.multiplier ** (attempt - 1)
        except OverflowError:
            longest = self.max_backoff
        return (0.5 + chance / 2) * min(self.max_backoff, longest)


def check_retry(retry: Retry | None) -> Retry | None:
    """Return a Retry or None; anything else is a ConfigurationError."""
    if retry is not None and not isinstance(retry, Retry):
        raise ConfigurationError(f"retry: expected a Retry or None, got {type(retry).__name__}")
    return retry


class Budget:
    """A client's budget for retries, so that it does not respond to an outage with a multiple of its usual load.

    Each retry takes 1, each success gives back 0.1, up to the capacity. Retries that put no load on the server take
    nothing. The calls that were lost with a connection take 1 together, if the server had responded before.
    """

    def __init__(self, capacity: float = 100.0, refund: float = 0.1) -> None:
        self._capacity = capacity
        self._refund = refund
        self._left = capacity
        self._lock = lock_of(self)
        self._lost_at = -math.inf
        self._succeeded = False
        """Whether a call succeeded since connections were lost."""
        self.touched = True
        """Whether a success has to be reported; if not, it need not take the lock."""

    def take(self) -> bool:
        """Take one retry; return False if nothing is left."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            self.touched = True
            return True

    def take_lost(self, began: float, now: float) -> bool:
        """Take one retry of an attempt that began at `began` and has lost its connection, as others on it may have."""
        with self._lock:
            if began < self._lost_at:
                return True
            if self._succeeded:
                self._lost_at, self._succeeded = now, False
        return self.take()

    def succeed(self) -> None:
        """Give back a little for a success."""
        with self._lock:
            self._succeeded = True
            self._left = min(self._capacity, self._left + self._refund)
            self.touched = self._left < self._capacity

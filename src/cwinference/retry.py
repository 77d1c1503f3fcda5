"""How often a failed call is repeated: the user's settings, and a client's allowance."""

from dataclasses import dataclass

from ._locks import lock_of
from .config import check_at_least, check_count, check_timeout
from .errors import ConfigurationError


@dataclass(frozen=True)
class Retry:
    """How often and when a failed call is repeated. `retry=None` switches that off.

    Reads, creates (their id makes a repeat safe) and deletes are repeated on UNAVAILABLE, lost connections and an
    attempt's own deadline, and on RESOURCE_EXHAUSTED when the server names a delay. Updates and cancels are repeated
    only when the request surely was not processed. Any call is repeated once with a fresh token on UNAUTHENTICATED,
    with `retry=None` too.

    Completions are repeated before their answer has begun: on 408, 409, 425, 429, 5xx but 501, and lost connections.

    Args:
        max_attempts: how often a call is sent at most (5).
        initial_backoff: longest pause before the second attempt, in seconds (0.1); the pause is drawn between 0 and
            this (full jitter).
        multiplier: by how much the longest pause grows with each attempt (2.0).
        max_backoff: where it stops growing, in seconds (5.0).
        max_server_delay: longest pause asked for by a server that is obeyed, in seconds (30.0); a longer one ends the
            call.
        attempt_timeout: limit of one attempt in seconds; None: what is left of the whole call's timeout.

    Raises:
        ConfigurationError: a number is out of its range.
    """

    max_attempts: int = 5
    initial_backoff: float = 0.1
    multiplier: float = 2.0
    max_backoff: float = 5.0
    max_server_delay: float = 30.0
    attempt_timeout: float | None = None

    def __post_init__(self) -> None:
        check_count(self.max_attempts, "max_attempts")
        for name in ("initial_backoff", "max_backoff", "max_server_delay"):
            check_at_least(0, getattr(self, name), name)
        check_at_least(1, self.multiplier, "multiplier")
        object.__setattr__(self, "attempt_timeout", check_timeout(self.attempt_timeout, "attempt_timeout"))

    def backoff(self, attempt: int, chance: float) -> float:
        """Seconds to pause after the given attempt; `chance` is from 0 up to 1."""
        try:
            longest = self.initial_backoff * self.multiplier ** (attempt - 1)
        except OverflowError:
            longest = self.max_backoff
        return chance * min(self.max_backoff, longest)


def check_retry(retry: Retry | None) -> Retry | None:
    """A Retry or None; anything else is a ConfigurationError."""
    if retry is not None and not isinstance(retry, Retry):
        raise ConfigurationError(f"retry: expected a Retry or None, got {type(retry).__name__}")
    return retry


class Budget:
    """A client's allowance for repeats, so that an outage is not answered with a multiple of the load.

    Each repeat takes 1, each success gives 0.1 back, up to the capacity.
    """

    def __init__(self, capacity: float = 100.0, refund: float = 0.1) -> None:
        self._capacity = capacity
        self._refund = refund
        self._left = capacity
        self._lock = lock_of(self)
        self.touched = False
        """Whether something was taken and not yet given back; lets a success skip the lock."""

    def take(self) -> bool:
        """Take one repeat; False when nothing is left."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            self.touched = True
            return True

    def succeed(self) -> None:
        """Give back for one success."""
        with self._lock:
            self._left = min(self._capacity, self._left + self._refund)
            self.touched = self._left < self._capacity

"""What is known of one endpoint: its load, its latency, and whether it fails. Time is passed in."""

import math
from collections.abc import Callable

from .._locks import lock_of
from .._retry_rules import Hint
from ..errors import ApiError, Unavailable, hint_of
from ._histogram import Histogram, bucket_of
from ._stats import EndpointStats, Percentiles

FAILURES = 5
"""How many failures in a row eject an endpoint."""
SHORTEST, LONGEST = 10.0, 60.0
"""Seconds for which it is ejected at first, and at most."""
_WEIGHT = 0.1
"""What a new latency counts at least in the moving mean."""
_HALF_LIFE = 10.0
"""Seconds after which a latency that nothing confirms counts half: a slow endpoint has to be tried again."""
FRESH = 0.5
"""Seconds for which that makes no difference."""
TOO_SMALL = 0.02
"""Seconds that are added to each latency, because differences of a few milliseconds say nothing about models."""

_BROKEN = frozenset({Hint.NOT_SENT, Hint.NO_SUCH_NAME, Hint.LOST, Hint.UNTRUSTED})


class Health:
    """The load and the outcomes of an endpoint. Several threads may use it."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = lock_of(self)
        self.needs_care = False
        """Whether it may be ejected, or may have asked for a pause; otherwise neither has to be checked."""
        self.in_flight = self._done = self._failed = 0
        self._latency, self._first_token = Histogram(), Histogram()
        self._generated = 0
        self._busy = self._busy_since = 0.0
        """Seconds in which it had requests in flight, but for the current ones; and since when it has those."""
        self.mean = self.measured_at = 0.0
        """The moving mean of the latency, 0 if there is none, and when it was measured; see `latency`."""
        self._has_responded = False
        self._failures = 0
        """In a row."""
        self._ejected_until = -math.inf
        self._ejected_for = 0.0
        """How long the last ejection was; 0 when it has worked since."""
        self._probed_until = -math.inf
        """Until when nothing but the probe is sent: that one may be lost before it is sent."""
        self._paused_until = -math.inf

    # --- What happens to its requests

    def begin(self) -> float:
        """Note that a request is sent; return the time."""
        now = self._monotonic()
        with self._lock:
            if self.in_flight == 0:
                self._busy_since = now
            self.in_flight += 1
        return now

    def leave(self) -> None:
        """Note that a request is over, whatever its outcome."""
        now = self._monotonic()
        with self._lock:
            self._leave(now)

    def complete(self, began: float) -> float:
        """Note that a request is over, and has a response; return the seconds that it took."""
        now = self._monotonic()
        seconds = now - began
        bucket = bucket_of(seconds)
        with self._lock:  # as `_leave` and `_respond`, without the calls: this is done for every completion
            self.in_flight -= 1
            if not self.in_flight:
                self._busy += now - self._busy_since
            if self.mean and now - self.measured_at < FRESH and not self._failures and not self._ejected_for:
                self.mean += _WEIGHT * (seconds - self.mean)
                self.measured_at = now
            else:
                self._respond(now, seconds)
            self._done += 1
            self._latency.counts[bucket] += 1
        return seconds

    def respond(self, began: float) -> float:
        """Note that a stream has begun; return the seconds that it took."""
        now = self._monotonic()
        with self._lock:
            self._respond(now, now - began)
        return now - began

    def finish(self, began: float, tokens: int) -> None:
        """Note that a stream has ended well, and how many tokens it had."""
        seconds = self._monotonic() - began
        with self._lock:
            self._done += 1
            self._latency.add(seconds)
            self._generated += tokens

    def break_off(self) -> None:
        """Note that a response which had begun has failed."""
        with self._lock:
            self._failed += 1

    def revoke(self) -> None:
        """Note that a response which counts as a success was an error."""
        with self._lock:
            self._done -= 1
            self._failed += 1

    def receive_first(self, seconds: float) -> None:
        """Note after how long a stream had its first content."""
        with self._lock:
            self._first_token.add(seconds)

    def generate(self, tokens: int) -> None:
        """Note how many tokens a completion has. Without the lock: it is no loss if two threads count only one."""
        self._generated += tokens

    def fail(self, error: BaseException, *, was_sent: bool = True) -> None:
        """Note that a request failed before its response began, or was canceled."""
        now = self._monotonic()
        with self._lock:
            self._probed_until = -math.inf
            if not was_sent:
                return
            if isinstance(error, Exception):
                self._failed += 1
            if not isinstance(error, ApiError):
                return
            if error.retry_after is not None and error.retry_after > 0:
                self._paused_until = now + min(error.retry_after, LONGEST)
                self.needs_care = True
            if is_failure(error):
                self._failures += 1
                if self._failures >= FAILURES or self._ejected_for:
                    self._eject(now)
            elif error.http_status is not None:
                self._work()

    def eject(self) -> None:
        """Send it nothing for a while, since it cannot even be found."""
        with self._lock:
            self._eject(self._monotonic())

    def restore(self) -> None:
        """Note that it can be found again."""
        with self._lock:
            self._work()

    # --- What follows for the choice

    @property
    def is_ejected(self) -> bool:
        """Whether it has failed too often since it last worked."""
        return bool(self._ejected_for)

    @property
    def is_failing(self) -> bool:
        """Whether its latest request has failed."""
        return self._failures > 0 or self.is_ejected

    def is_out(self, now: float) -> bool:
        """Return whether it gets nothing: it is ejected, or its only probe is on its way."""
        return bool(self._ejected_for) and (now < self._ejected_until or now < self._probed_until)

    def is_paused(self, now: float) -> bool:
        """Return whether a pause that it has asked for is not over."""
        if now < self._paused_until:
            return True
        if not self._ejected_for:
            self.needs_care = False
        return False

    def remaining_pause(self, now: float) -> float | None:
        """Return the seconds that remain of a pause that it has asked for; None if there are none."""
        return self._paused_until - now if now < self._paused_until else None

    def take_probe(self, now: float) -> bool:
        """Return whether the next request is the one probe of an endpoint whose ejection is over."""
        if not self._ejected_for:
            return False
        with self._lock:
            if not self._ejected_for or now < self._ejected_until or now < self._probed_until:
                return False
            self._probed_until = now + LONGEST
            return True

    @property
    def returns_at(self) -> float:
        """When its ejection ends."""
        return self._ejected_until

    def latency(self, now: float) -> float:
        """Return the moving mean in seconds; 0 if nothing is known."""
        if not self.mean:
            return 0.0
        age = now - self.measured_at
        faded = self.mean if age < FRESH else self.mean * 0.5 ** (age / _HALF_LIFE)
        return float(faded) + TOO_SMALL

    def stats(self) -> EndpointStats:
        """Return the current numbers."""
        now = self._monotonic()
        with self._lock:
            busy = self._busy + (now - self._busy_since if self.in_flight else 0.0)
            return EndpointStats(
                in_flight=self.in_flight,
                done=self._done,
                failed=self._failed,
                ejected=self.is_ejected,
                latency=_percentiles(self._latency),
                first_token=_percentiles(self._first_token),
                tokens_per_second=self._generated / busy if busy > 0 else 0.0,
            )

    def _leave(self, now: float) -> None:
        self.in_flight -= 1
        if self.in_flight == 0:
            self._busy += now - self._busy_since

    def _respond(self, now: float, seconds: float) -> None:
        if self.mean:
            # The longer nothing was measured, the less the mean of before counts.
            age = now - self.measured_at
            weight = _WEIGHT if age < FRESH else max(_WEIGHT, 1 - 0.5 ** (age / _HALF_LIFE))
            self.mean += weight * (seconds - self.mean)
            self.measured_at = now
        elif self._has_responded:  # the first one had to connect
            self.mean, self.measured_at = seconds, now
        self._has_responded = True
        if self._failures or self._ejected_for:
            self._work()

    def _work(self) -> None:
        """Note that it works."""
        self._failures = 0
        self._ejected_for = 0.0

    def _eject(self, now: float) -> None:
        # Of many requests that were in flight when it failed, only the first one counts.
        if now >= self._ejected_until:
            self._ejected_for = min(LONGEST, 2 * self._ejected_for) if self._ejected_for else SHORTEST
            self._ejected_until = now + self._ejected_for
            self.needs_care = True
            self._failures = 0


def is_failure(error: ApiError) -> bool:
    """Return whether an endpoint that fails like this may be broken: no connection, a lost one, or a status 5xx."""
    if error.http_status is not None:
        return error.http_status >= 500
    return isinstance(error, Unavailable) and hint_of(error) in _BROKEN


def _percentiles(histogram: Histogram) -> Percentiles:
    return Percentiles(*(histogram.percentile(share) for share in (0.5, 0.9, 0.99)))

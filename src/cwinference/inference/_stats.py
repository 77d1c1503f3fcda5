"""What an `Inference` has done so far, in numbers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

from .._html import Displayed, Table
from .._locks import lock_of


@dataclass(frozen=True)
class Percentiles:
    """How long something took in seconds, exact to 5 %; 0 if there was none.

    Attributes:
        p50: half of them took at most that long.
        p90: 9 of 10 did.
        p99: 99 of 100 did.
    """

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True)
class EndpointStats(Displayed):
    """What one endpoint of an `Inference` is doing, and has done so far: `inference.stats().endpoints[url]`.

    It counts requests, not calls: one that failed here and was sent again elsewhere counts as failed here.

    Attributes:
        in_flight: requests that were sent there and whose responses are not complete.
        done: responses that were complete.
        failed: requests that failed, and streams that broke off. Canceled ones are in neither.
        ejected: whether it gets no requests, or a single one as a probe, because it has failed.
        latency: how long responses took until they were complete, streams included.
        first_token: how long it took from the request of a stream to its first content.
        tokens_per_second: tokens generated, as far as the responses report them, per second in which it had anything
            to do.
    """

    in_flight: int
    done: int
    failed: int
    ejected: bool
    latency: Percentiles
    first_token: Percentiles
    tokens_per_second: float

    def _as_tables(self) -> Iterable[Table]:
        yield Table([*zip(_TITLES, _cells(self), strict=True)])


_TITLES = (
    "IN FLIGHT", "DONE", "FAILED", "EJECTED", "LATENCY P50", "P90", "P99", "FIRST TOKEN P50", "P90", "P99", "TOKENS/S"
)  # fmt: skip


def _cells(stats: EndpointStats) -> list[str]:
    """Return what a table shows of an endpoint."""
    times = [f"{each:.3g} s" for of in (stats.latency, stats.first_token) for each in (of.p50, of.p90, of.p99)]
    counts = [str(each) for each in (stats.in_flight, stats.done, stats.failed)]
    return [*counts, "yes" if stats.ejected else "no", *times, f"{stats.tokens_per_second:.0f}"]


@dataclass(frozen=True)
class Stats(Displayed):
    """What an `Inference` is doing, and has done so far: `inference.stats()`.

    Attributes:
        in_flight: requests that were sent and whose responses are not complete.
        queued: requests that wait for one of `limit` slots.
        done: calls that were completed.
        failed: calls that raised an error, and streams that broke off. Between two attempts, a call counts here.
        cancelled: calls that were canceled, and streams that their callers left early.
        retried: requests that were sent again.
        tokens: tokens in total, prompts included, as far as the responses report them.
        endpoints: the numbers of each endpoint, by its URL; those of a gateway are missing until it has been read.
    """

    in_flight: int
    queued: int
    done: int
    failed: int
    cancelled: int
    retried: int
    tokens: int
    endpoints: Mapping[str, EndpointStats] = field(default_factory=dict[str, EndpointStats])

    def _as_tables(self) -> Iterable[Table]:
        counts = [each.name for each in fields(self) if each.name != "endpoints"]
        titles = [each.upper().replace("_", " ") for each in counts]
        yield Table([[getattr(self, each) for each in counts]], titles, right=range(len(counts)))
        if self.endpoints:
            rows = [[url, *_cells(each)] for url, each in self.endpoints.items()]
            yield Table(rows, ("ENDPOINT", *_TITLES), right=range(1, len(_TITLES) + 1))


class Counters:
    """Counts the outcomes of calls."""

    def __init__(self) -> None:
        self._lock = lock_of(self)
        self.done = self.failed = self.cancelled = self.retried = self.tokens = 0

    def succeed(self, tokens: int) -> None:
        """Count a completed call."""
        with self._lock:
            self.done += 1
            self.tokens += tokens

    def fail(self, error: BaseException) -> None:
        """Count a call that ended with an error, unless it is retried. One that is no `Exception` is a cancel."""
        with self._lock:
            if isinstance(error, Exception):
                self.failed += 1
            else:
                self.cancelled += 1

    def cancel(self) -> None:
        """Count a call that its caller gave up."""
        with self._lock:
            self.cancelled += 1

    def give_up(self) -> None:
        """Count a call that its caller gave up before a retry: it is not the failed attempt that ended it."""
        with self._lock:
            self.failed -= 1
            self.cancelled += 1

    def retry(self) -> None:
        """Count a retry: the call has not failed yet."""
        with self._lock:
            self.failed -= 1
            self.retried += 1

"""How far a batch is: counts, rates, and when it will have ended."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

_WINDOW = 30.0
"""Seconds over which rates are taken."""


@dataclass(frozen=True)
class BatchProgress:
    """The progress of a run of a batch.

    Attributes:
        completed: completions of this run.
        failed: requests that failed in this run.
        skipped: requests that an earlier run had completed.
        total: how many requests there are; None while that is not known, as with a pipe or a generator.
        seconds: how long the run has lasted so far.
        prompt_tokens: tokens in the prompts of its completions, as far as the server reported them.
        completion_tokens: tokens generated for them.
        rate: outcomes per second, over the last half minute.
        tokens_per_second: generated tokens per second, over the same time.
        remaining: seconds that the remaining requests take at this rate; None if that is unknown.
    """

    completed: int
    failed: int
    skipped: int
    total: int | None
    seconds: float
    prompt_tokens: int
    completion_tokens: int
    rate: float
    tokens_per_second: float
    remaining: float | None

    def __str__(self) -> str:
        done = self.completed + self.failed + self.skipped
        parts = [f"{done} of {self.total} requests" if self.total is not None else f"{done} requests"]
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.skipped} skipped"] if self.skipped else []
        parts += [f"{self.rate:.1f}/s"]
        parts += [f"{self.tokens_per_second:.0f} tokens/s"] if self.completion_tokens else []
        parts += [f"{_clock(self.remaining)} left"] if self.remaining else []
        return ", ".join(parts)


class Meter:
    """Makes `BatchProgress` of counts, with the rates of the last half minute."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._started = monotonic()
        self._samples = deque([(self._started, 0, 0)])

    def measure(
        self, completed: int, failed: int, skipped: int, total: int | None, prompt_tokens: int, completion_tokens: int
    ) -> BatchProgress:
        """Take the counts as they are now."""
        now, outcomes = self._monotonic(), completed + failed
        samples = self._samples
        while len(samples) > 1 and samples[1][0] <= now - _WINDOW:
            samples.popleft()
        since, outcomes_then, tokens_then = samples[0]
        seconds = max(now - since, 1e-9)
        rate = (outcomes - outcomes_then) / seconds
        if now - samples[-1][0] >= 1:
            samples.append((now, outcomes, completion_tokens))
        left = None if total is None else max(0, total - outcomes - skipped)
        return BatchProgress(
            completed,
            failed,
            skipped,
            total,
            now - self._started,
            prompt_tokens,
            completion_tokens,
            rate,
            (completion_tokens - tokens_then) / seconds,
            remaining=left / rate if left is not None and rate > 0 else None,
        )


def _clock(seconds: float) -> str:
    """Return a duration such as `0:07` or `2:05:00`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

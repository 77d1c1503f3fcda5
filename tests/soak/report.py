"""The report of a soak test."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .load import Counters
from .watch import FIGURES, Sample, Trend


@dataclass(frozen=True)
class Result:
    """What was measured and counted."""

    seconds: float
    calls: int
    reloads: int
    counters: Counters
    faults: Mapping[str, int]
    trends: Sequence[Trend]
    growth_checked: bool
    """Whether it was long enough to distinguish growth from the warm-up."""
    before: Sample
    after: Sample
    error_output: str
    """What the emulator wrote to standard error."""

    def problems(self) -> Sequence[str]:
        """Return the reasons why the soak test failed; nothing if it passed."""
        return [
            *self.counters.problems,
            *(self._growth() if self.growth_checked else ()),
            *self._leaks(),
            *self.error_output.splitlines(),
        ]

    def _growth(self) -> Iterator[str]:
        for each in self.trends:
            if each.grows:
                yield f"{each.figure.name}: grew by {each.growth:.1f}, allowed: {each.figure.allowed_growth:g}"

    def _leaks(self) -> Iterator[str]:
        for figure, before, after in zip(FIGURES, self.before, self.after, strict=True):
            if after > before + figure.allowed_leak:
                yield f"{figure.name}: {before:g} before and {after:g} after, allowed: {figure.allowed_leak:g} more"


def report_text(result: Result) -> str:
    """Return the tables and the verdict."""
    return "\n".join((*_growth(result), "", *_operations(result), "", *_verdict(result), ""))


def _growth(result: Result) -> Iterator[str]:
    title = f"{result.calls:,} calls in {result.seconds:.0f} s, {result.reloads} reloads"
    yield f"{title:34}{'before':>8}{'3rd ¼':>9}{'4th ¼':>9}{'most':>9}{'growth':>9}{'allowed':>9}{'closed':>9}"
    for each, before, after in zip(result.trends, result.before, result.after, strict=True):
        row = f"{before:8.1f}{each.third:9.1f}{each.fourth:9.1f}{each.most:9.1f}{each.growth:+9.2f}"
        yield f"{each.figure.name:34}{row}{each.figure.allowed_growth:9g}{after:9.1f}"
    if not result.growth_checked:
        yield "(too short to distinguish growth from the warm-up, which is therefore not checked)"


def _operations(result: Result) -> Iterator[str]:
    counters = result.counters
    yield f"{'operation':34}{'succeeded':>10}{'failed':>9}"
    for name in sorted(counters.done | counters.failed_of):
        yield f"{name:34}{counters.done[name]:10,}{counters.failed_of[name]:9,}"
    yield ""
    yield _counts_line("failed with", counters.failed)
    yield _counts_line("faults", result.faults)


def _counts_line(title: str, numbers: Mapping[str, int]) -> str:
    counts = ", ".join(f"{name} {number:,}" for name, number in sorted(numbers.items(), key=lambda pair: -pair[1]))
    return f"{title}: {counts or 'none'}"


def _verdict(result: Result) -> Iterator[str]:
    problems = result.problems()
    yield f"soak: {'FAILED' if problems else 'passed'}"
    yield from (f"  {each}" for each in problems)

"""What the soak has to say at its end."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .load import Counters
from .watch import FIGURES, Course, Sample


@dataclass(frozen=True)
class Result:
    """Everything that was seen."""

    seconds: float
    calls: int
    reloads: int
    counters: Counters
    faults: Mapping[str, int]
    courses: Sequence[Course]
    judged: bool
    """Whether it was long enough to tell growth from warming up."""
    before: Sample
    after: Sample
    complaints: str
    """What the emulator wrote to standard error."""

    def problems(self) -> Sequence[str]:
        """What must not be; nothing when all is well."""
        return [
            *self.counters.problems,
            *(self._growth() if self.judged else ()),
            *self._left(),
            *self.complaints.splitlines(),
        ]

    def _growth(self) -> Iterator[str]:
        for each in self.courses:
            if each.grows:
                yield f"{each.figure.name}: grew by {each.growth:.1f}, allowed are {each.figure.growth:g}"

    def _left(self) -> Iterator[str]:
        for figure, before, after in zip(FIGURES, self.before, self.after, strict=True):
            if after > before + figure.left:
                yield f"{figure.name}: {before:g} before and {after:g} after, allowed are {figure.left:g} more"


def told(result: Result) -> str:
    """The tables, and the verdict."""
    return "\n".join((*_growth(result), "", *_work(result), "", *_verdict(result), ""))


def _growth(result: Result) -> Iterator[str]:
    title = f"{result.calls:,} calls in {result.seconds:.0f} s, {result.reloads} reloads"
    yield f"{title:34}{'before':>8}{'3rd ¼':>9}{'4th ¼':>9}{'most':>9}{'growth':>9}{'allowed':>9}{'closed':>9}"
    for each, before, after in zip(result.courses, result.before, result.after, strict=True):
        row = f"{before:8.1f}{each.half:9.1f}{each.end:9.1f}{each.most:9.1f}{each.growth:+9.2f}"
        yield f"{each.figure.name:34}{row}{each.figure.growth:9g}{after:9.1f}"
    if not result.judged:
        yield "(too short to tell growth from warming up: it is not judged)"


def _work(result: Result) -> Iterator[str]:
    counters = result.counters
    yield f"{'operation':34}{'right':>8}{'failed':>9}"
    for name in sorted(counters.done | counters.failed_of):
        yield f"{name:34}{counters.done[name]:8,}{counters.failed_of[name]:9,}"
    yield ""
    yield _line("failed with", counters.failed)
    yield _line("faults", result.faults)


def _line(title: str, numbers: Mapping[str, int]) -> str:
    several = ", ".join(f"{name} {number:,}" for name, number in sorted(numbers.items(), key=lambda pair: -pair[1]))
    return f"{title}: {several or 'none'}"


def _verdict(result: Result) -> Iterator[str]:
    problems = result.problems()
    yield f"soak: {'FAILED' if problems else 'passed'}"
    yield from (f"  {each}" for each in problems)

"""Waits of commands: what they show, and what they say when Ctrl-C ends them."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..._text import one_line
from ...errors import InferenceError, WaitTimeout
from ..exit_codes import INTERRUPTED, TIME_OVER
from ..failures import CommandError
from ..printing.progress import Progress
from .kinds import HOT_LOADS, Kind

if TYPE_CHECKING:
    from ..run import Run

T = TypeVar("T")

_LEAST = 0.001
"""Seconds that a wait gets when the limit has passed: it fails, but not because 0 is no limit."""


@contextmanager
def waiting(run: "Run", what: str, again: Callable[[Progress], str]) -> Generator[Progress]:
    """Report what a wait sees. Ctrl-C says that the operation goes on, and the command that goes on waiting.

    Args:
        run: the run.
        what: what is awaited, for the spinner.
        again: returns the command to go on with.
    """
    progress = Progress(run)
    try:
        with progress.spinning(what):
            yield progress
    except KeyboardInterrupt:
        run.note(f"interrupted after {progress.elapsed}; the operation goes on")
        run.note(f"to go on waiting: {again(progress)}")
        raise click.exceptions.Exit(INTERRUPTED) from None


def until_ready(run: "Run", kind: Kind, ids: Sequence[str], seconds: float | None) -> tuple[list[Any], int]:
    """Wait for resources; return those that are ready, and the exit code. What went wrong with others is printed.

    `seconds` limits it for all of them together.
    """
    limit = _limit(seconds)
    methods = kind.methods(run)

    def wait_for(id: str) -> Any:
        return methods.wait(id, on_change=progress, **limit())

    what = f"waiting for {len(ids)} {kind.one}{'s' * (len(ids) > 1)}"
    with waiting(run, what, lambda _: f"cwinference {kind.command} wait {' '.join(ids)}") as progress:
        if len(ids) == 1:
            return [wait_for(ids[0])], 0
        if kind is HOT_LOADS:
            outcomes = {each: outcome_of(partial(wait_for, each)) for each in ids}
        else:
            outcomes = methods.wait_all(ids, on_change=progress, **limit())
    return good_ones(run, kind, outcomes)


def good_ones(run: "Run", kind: Kind, outcomes: Mapping[str, Any]) -> tuple[list[Any], int]:
    """Return the outcomes that are no errors, and the exit code: that of the first error. All errors are printed."""
    codes = {
        key: run.fail(each, (kind.command, key)) for key, each in outcomes.items() if isinstance(each, InferenceError)
    }
    return [each for key, each in outcomes.items() if key not in codes], next(iter(codes.values()), 0)


def until_gone(run: "Run", kind: Kind, resources: Sequence[Any], seconds: float | None) -> None:
    """Wait until resources are gone, for so many seconds at most, all of them together."""
    limit = _limit(seconds)
    left = [each.spec.id for each in resources]

    def again(progress: Progress) -> str:
        return f"cwinference {kind.command} wait --deleted {' '.join(left)}"

    for each in resources:
        name = one_line(each.spec.name)
        with waiting(run, f"waiting until {name} is gone", again) as progress:
            try:
                kind.methods(run).wait_deleted(each.spec.id, **limit())
            except WaitTimeout as error:
                advice = f"to go on waiting: {again(progress)}"
                raise CommandError(str(error), code=TIME_OVER, advice=advice) from error
        run.note(f"{name}: gone ({progress.elapsed})")
        left.remove(each.spec.id)


def _limit(seconds: float | None) -> Callable[[], Mapping[str, float]]:
    """Return a function that returns, as arguments of a wait, what is left of a limit of several waits in a row."""
    end = None if seconds is None else time.monotonic() + seconds
    return lambda: {} if end is None else {"timeout": max(_LEAST, round(end - time.monotonic(), 3))}


def outcome_of(call: Callable[[], T]) -> "T | InferenceError":
    """Return what a call returns, or the error that it raises."""
    try:
        return call()
    except InferenceError as error:
        return error

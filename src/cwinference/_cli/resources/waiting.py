"""Waits of commands: what they show, and what they say when Ctrl-C ends them."""

import shlex
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..._text import one_line
from ...errors import InferenceError, ResourceFailed, WaitTimeout
from ...status import is_ready, state_of
from ..exit_codes import INTERRUPTED, TIME_OVER
from ..failures import CommandError
from ..parsing.durations import duration_text
from ..printing.progress import WaitProgress
from .kinds import HOT_LOADS, Kind, name_of

if TYPE_CHECKING:
    from ..run import Run

T = TypeVar("T")

_MOMENT = 1.0
"""Seconds in which a wait for what has failed says so."""
_LEAST = 0.001
"""Seconds that a wait gets when the limit has passed: it fails, but not because 0 is no limit."""


@contextmanager
def waiting(run: "Run", what: str, again: str) -> Generator[WaitProgress]:
    """Report what a wait sees. Ctrl-C says that the operation goes on; it and a timeout name the command to go on with.

    Args:
        run: the run.
        what: what is awaited, for the spinner.
        again: the command to go on with.
    """
    progress = WaitProgress(run)
    try:
        with progress.spinning(what):
            yield progress
    except WaitTimeout as error:
        raise _time_over(error, again) from error
    except KeyboardInterrupt:
        run.note(f"interrupted after {progress.elapsed}; the operation goes on")
        run.note(f"to go on waiting: {again}")
        raise click.exceptions.Exit(INTERRUPTED) from None


def _time_over(error: WaitTimeout, again: str) -> CommandError:
    return CommandError(str(error), code=TIME_OVER, advice=f"to go on waiting: {again}")


def wait_again(kind: Kind, words: Iterable[str], seconds: float | None, *options: str) -> str:
    """Return the command that goes on waiting for resources that were called so, with the same limit."""
    limit = [] if seconds is None else ["--for", duration_text(seconds)]
    return shlex.join(["cwinference", kind.command, "wait", *options, *words, *limit])


def until_ready(run: "Run", kind: Kind, words: Mapping[str, str], seconds: float | None) -> tuple[list[Any], int]:
    """Wait for resources; return those that are ready, and the exit code. What went wrong with others is printed.

    Args:
        run: the run.
        kind: their kind.
        words: how they were called, by their ids.
        seconds: the limit for all of them together.
    """
    limit, ids = limit_of(seconds), [*words]
    methods = kind.methods(run)

    def wait_for(id: str) -> Any:
        return methods.wait(id, on_change=progress, **limit())

    def watch(resource: Any) -> None:
        progress(resource)
        if state_of(resource).is_terminal:
            raise _NeverReady(resource.spec.id)

    what = f"waiting for {len(ids)} {kind.one}{'s' * (len(ids) > 1)}"
    with waiting(run, what, wait_again(kind, words.values(), seconds)) as progress:
        if len(ids) == 1:
            return [wait_for(ids[0])], 0
        try:
            if kind is HOT_LOADS:
                outcomes = _until_failure({each: partial(wait_for, each) for each in ids})
            else:
                outcomes = methods.wait_all(ids, on_change=watch, **limit())
        except _NeverReady as failed:
            outcomes = {
                each: outcome for each in ids if (outcome := _outcome_now(methods, each, failed.id)) is not None
            }
    for key, each in outcomes.items():
        if isinstance(each, WaitTimeout):
            outcomes[key] = _time_over(each, wait_again(kind, [words[key]], seconds))
    _note_others(run, kind, [word for key, word in words.items() if key not in outcomes], seconds)
    return good_ones(run, kind, {word: outcomes[key] for key, word in words.items() if key in outcomes})


class _NeverReady(Exception):
    """One of several resources will not become ready, which ends the wait for all."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.id = id


def _outcome_now(methods: Any, id: str, failed: str) -> Any:
    """Return a resource that is ready, or an error, when the wait for several ends; None if it may still become so."""
    if id == failed:
        return outcome_of(partial(methods.wait, id, timeout=_MOMENT))
    found = outcome_of(partial(methods.get, id))
    return found if isinstance(found, Exception) or is_ready(found) else None


def _until_failure(waits: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """Return the outcomes of waits in a row, up to the first whose resource will not become ready."""
    outcomes = dict[str, Any]()
    for key, wait in waits.items():
        outcomes[key] = outcome_of(wait)
        if isinstance(outcomes[key], ResourceFailed):
            break
    return outcomes


def _note_others(run: "Run", kind: Kind, words: list[str], seconds: float | None) -> None:
    """Say for which resources nobody waits any longer, since another one has failed."""
    if words:
        run.note(f"no longer waiting for {one_line(', '.join(words))}; to go on: {wait_again(kind, words, seconds)}")


def good_ones(run: "Run", kind: Kind, outcomes: Mapping[str, Any]) -> tuple[list[Any], int]:
    """Return the outcomes that are no errors, and the exit code: that of the first error. All errors are printed."""
    codes = {
        key: run.fail(each, (kind.command, key))
        for key, each in outcomes.items()
        if isinstance(each, InferenceError | CommandError)
    }
    return [each for key, each in outcomes.items() if key not in codes], next(iter(codes.values()), 0)


def until_changed(run: "Run", kind: Kind, outcomes: Mapping[str, Any], seconds: float | None) -> dict[str, Any]:
    """Wait for resources that were modified, for so long at most for all of them; return the outcomes of that.

    Args:
        run: the run.
        kind: their kind.
        outcomes: the responses to updates, by the resources' names, or errors, which stay.
        seconds: the limit.
    """
    limit = limit_of(seconds)

    def wait_for(written: Any) -> Any:
        word = name_of(written)
        with waiting(run, f"waiting for {one_line(word)}", wait_again(kind, [word], seconds)) as progress:
            return kind.methods(run).wait(written.spec.id, after=written, on_change=progress, **limit())

    written = {key: each for key, each in outcomes.items() if not isinstance(each, Exception)}
    found = _until_failure({key: partial(wait_for, each) for key, each in written.items()})
    _note_others(run, kind, [key for key in written if key not in found], seconds)
    return {**outcomes, **found}


def until_gone(run: "Run", kind: Kind, words: Mapping[str, str], seconds: float | None) -> None:
    """Wait until resources are gone: the same arguments."""
    limit, left = limit_of(seconds), [*words.values()]
    for key, word in words.items():
        name = one_line(word)
        with waiting(run, f"waiting until {name} is gone", wait_again(kind, left, seconds, "--deleted")) as progress:
            kind.methods(run).wait_deleted(key, **limit())
        run.note(f"{name}: gone ({progress.elapsed})")
        left.remove(word)


def limit_of(seconds: float | None) -> Callable[[], Mapping[str, float]]:
    """Return a function that returns, as arguments of a wait, what is left of a limit of several waits in a row."""
    end = None if seconds is None else time.monotonic() + seconds
    return lambda: {} if end is None else {"timeout": max(_LEAST, round(end - time.monotonic(), 3))}


def outcome_of(call: Callable[[], T]) -> "T | InferenceError | CommandError":
    """Return what a call returns, or the error that it raises."""
    try:
        return call()
    except (InferenceError, CommandError) as error:
        return error

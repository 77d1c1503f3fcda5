"""A wait, as it goes: a line for each change of a state or a condition; on a terminal also a spinner."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ... import types
from ..._tables.states import state_name
from ..._tables.times import elapsed
from ..._text import one_line
from ...status import condition_text, met_text
from .screen import Screen

if TYPE_CHECKING:
    from rich.spinner import Spinner

    from ..run import Run


class WaitProgress:
    """Reports on standard error what a wait sees, unless `Run.quiet`. It is an `on_change` for the client's waits."""

    def __init__(self, run: "Run", monotonic: Callable[[], float] = time.monotonic) -> None:
        self._run = run
        self._monotonic = monotonic
        self._start = monotonic()
        self._reported: dict[str, list[str]] = {}
        self.latest: dict[str, Any] = {}
        """The resources that were seen, by their ids, as they were last read."""

    def __call__(self, resource: Any) -> None:
        """Report what differs from what was reported before."""
        key, facts = resource.spec.id, [*_facts(resource)]
        self.latest[key] = resource
        before = self._reported.get(key, ())
        self._reported[key] = facts
        name = _name(resource)
        for each in facts:
            if each not in before:
                self._run.note(f"{name}: {each} ({self.elapsed})")

    @property
    def elapsed(self) -> str:
        """How long it has been waiting."""
        return elapsed(self._monotonic() - self._start)

    @contextmanager
    def spinning(self, text: str) -> Generator["WaitProgress"]:
        """Show a spinner on a terminal: the states of what has been seen, or else the text."""
        screen = Screen.of_talk()
        console = None if self._run.quiet or not screen.is_terminal else screen.console
        if console is None:
            yield self
            return
        from rich.live import Live

        line = _Line(self, one_line(text), "dots" if screen.has_shapes else "line")
        with Live(line, console=console, refresh_per_second=8, transient=True, redirect_stdout=False):
            yield self


class _Line:
    """The line of a spinner, made anew whenever it is drawn."""

    def __init__(self, progress: WaitProgress, text: str, spinner: str) -> None:
        from rich.spinner import Spinner

        self._progress = progress
        self._text = text
        self._spinner = Spinner(spinner)

    def __rich__(self) -> "Spinner":
        from rich.text import Text

        seen = ", ".join(f"{_name(each)} {state_name(each)}" for each in self._progress.latest.values())
        text = Text(f"{seen or self._text} ({self._progress.elapsed})", overflow="ellipsis", no_wrap=True)
        self._spinner.update(text=text)
        return self._spinner


def _facts(resource: Any) -> Iterator[str]:
    """Return what is worth a line: the state, and each condition that is not met, with its reason."""
    yield state_name(resource)
    groups = dict[tuple[str, int, str, str], list[str]]()
    for each in resource.status.conditions:
        groups.setdefault((each.type, each.status, each.reason, each.message), []).append(each.zone)
    for (kind, status, reason, message), zones in groups.items():
        yield condition_text(kind, met_text(status), reason, message, zones)


def _name(resource: Any) -> str:
    spec = resource.spec
    return one_line((spec.identity if isinstance(resource, types.HotLoad) else spec.name) or spec.id)

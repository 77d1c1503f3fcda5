"""Shows the progress of a batch: a bar by tqdm if it is installed, or lines; or gives it to a function."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

from ..._extras import missing
from .progress import BatchProgress

Shown = bool | Callable[[BatchProgress], object] | None

_CALL_SECONDS = 0.5
"""How often a function gets the progress."""
_LINE_SECONDS = 10.0
"""How often a line is printed where there is no bar."""


class ProgressBar:
    """Shows the progress of a batch. `shown` None: if standard error is a terminal; a function: by calling it.

    Standard error may be absent, closed or broken: then nothing is shown, and the batch goes on.
    """

    def __init__(self, shown: Shown, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._bar: Any = None
        self._monotonic = monotonic
        self._next = 0.0
        self._call = shown if callable(shown) else None
        self._prints = False
        try:
            if self._call is None and sys.stderr is not None and (sys.stderr.isatty() if shown is None else shown):
                self._bar = _bar()
                self._prints = self._bar is None
                self._next = monotonic() + _LINE_SECONDS
        except Exception:  # no progress bar is a reason to end a batch
            self._bar = None

    @property
    def is_shown(self) -> bool:
        """Whether anything is shown."""
        return self._bar is not None or self._prints or self._call is not None

    def step(self, measure: Callable[[], BatchProgress]) -> None:
        """Show the progress, if it is time to."""
        if self._bar is not None:
            self._step_bar(measure())
        elif self.is_shown and self._monotonic() >= self._next:
            self._report(measure())

    def close(self, measure: Callable[[], BatchProgress]) -> None:
        """Show how it has ended, leave the bar as it is, and stop updating it."""
        if self._bar is not None:
            self._step_bar(measure())
        elif self.is_shown:
            self._report(measure())
        bar, self._bar, self._call, self._prints = self._bar, None, None, False
        if bar is not None:
            with suppress(Exception):
                bar.close()

    def _report(self, progress: BatchProgress) -> None:
        self._next = self._monotonic() + (_LINE_SECONDS if self._call is None else _CALL_SECONDS)
        if self._call is not None:
            self._call(progress)
            return
        try:
            sys.stderr.write(f"batch: {progress}\n")
        except Exception:
            self._prints = False

    def _step_bar(self, progress: BatchProgress) -> None:
        try:
            bar = self._bar
            if bar.total != progress.total:
                bar.total = progress.total
            bar.initial = progress.skipped  # the rate and the time that remains are those of what is sent
            tokens = f"{progress.tokens_per_second:.0f}" if progress.completion_tokens else "?"
            bar.set_postfix({"failed": progress.failed, "skipped": progress.skipped, "tokens/s": tokens}, refresh=False)
            bar.update(progress.completed + progress.failed + progress.skipped - bar.n)
        except Exception:
            self._bar.disable = True  # or it would try once more when it is deleted
            self._bar = None


def _bar() -> Any:
    try:
        return import_module("tqdm").tqdm(unit=" requests", desc="batch", smoothing=0)
    except ImportError:
        sys.stderr.write(f"batch: {missing('the progress bar', 'tqdm', 'batch')}\n")
        return None

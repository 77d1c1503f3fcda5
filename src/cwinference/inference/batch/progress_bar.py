"""A progress bar on a terminal, by tqdm if it is installed."""

import sys
from contextlib import suppress
from importlib import import_module
from typing import Any


class ProgressBar:
    """Shows the progress of a batch. `shown` None: if standard error is a terminal.

    Standard error may be absent, closed or broken: then nothing is shown, and the batch goes on.
    """

    def __init__(self, shown: bool | None) -> None:
        self._bar: Any = None
        try:
            if sys.stderr is not None and (sys.stderr.isatty() if shown is None else shown):
                self._bar = _bar()
        except Exception:  # no progress bar is a reason to end a batch
            self._bar = None

    def step(self, completed: int, failed: int, skipped: int) -> None:
        """Show the counts."""
        if self._bar is None:
            return
        try:
            self._bar.set_postfix(failed=failed, skipped=skipped, refresh=False)
            self._bar.update(completed + failed + skipped - self._bar.n)
        except Exception:
            self._bar.disable = True  # or it would try once more when it is deleted
            self._bar = None

    def close(self) -> None:
        """Leave the bar as it is, and stop updating it."""
        bar, self._bar = self._bar, None
        if bar is not None:
            with suppress(Exception):
                bar.close()


def _bar() -> Any:
    try:
        return import_module("tqdm").tqdm(unit=" requests", desc="batch")
    except ImportError:
        sys.stderr.write("batch: no progress bar, because tqdm is not installed\n")
        return None

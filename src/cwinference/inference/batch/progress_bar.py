"""A progress bar on a terminal, by tqdm if it is installed."""

import sys
from importlib import import_module
from typing import Any


class ProgressBar:
    """Shows the progress of a batch. `shown` None: if standard error is a terminal."""

    def __init__(self, shown: bool | None) -> None:
        self._bar: Any = None
        if sys.stderr.isatty() if shown is None else shown:
            try:
                self._bar = import_module("tqdm").tqdm(unit=" requests", desc="batch")
            except ImportError:
                sys.stderr.write("batch: no progress bar, because tqdm is not installed\n")

    def step(self, completed: int, failed: int, skipped: int) -> None:
        """Show the counts."""
        if self._bar is not None:
            self._bar.set_postfix(failed=failed, skipped=skipped, refresh=False)
            self._bar.update(completed + failed + skipped - self._bar.n)

    def close(self) -> None:
        """Leave the bar as it is, and stop updating it."""
        if self._bar is not None:
            self._bar.close()

"""Writes the results of a batch on a thread of its own, so that no disk and no terminal holds anything else up."""

import threading
from collections.abc import Callable

from .result_files import WRITE_SECONDS


class Writer:
    """Writes every `WRITE_SECONDS` what there is, until it has to finish."""

    def __init__(self, write: Callable[[], None], fail: Callable[[BaseException], None]):
        """Make one that calls `write` each time, and `fail` when something could not be written."""
        self._write = write
        self._fail = fail
        self._is_finishing = threading.Event()
        self._finish: Callable[[], None] | None = None

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._run, name="cwinference batch writer", daemon=True).start()

    def finish(self, work: Callable[[], None]) -> None:
        """Write for the last time, then do `work` on the same thread, and end."""
        self._finish = work
        self._is_finishing.set()

    def _run(self) -> None:
        try:
            while not self._is_finishing.wait(WRITE_SECONDS):
                self._write()
        except BaseException as error:
            self._fail(error)
            self._is_finishing.wait()
        if self._finish is not None:
            self._finish()

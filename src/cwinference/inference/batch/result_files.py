"""The files that a batch writes: OUT, with each completion once whatever happened to earlier runs, and failures."""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path

from ...errors import ConfigurationError
from . import access
from .appended_file import AppendedFile, named
from .key_set import CompletedKeys
from .recovery import check_failures, read_results

WRITE_SECONDS = 0.05
"""How often lines are written."""
SYNC_SECONDS = 1.0
"""How often what was written is synced to the disk, so that a crash of the machine loses little."""

_MOST_UNWRITTEN = 64 << 20
"""Bytes that wait to be written, beyond which a slow disk slows the batch down."""


class ResultFiles:
    """OUT, open for appending by one process, and the file of failures.

    What is there is read back, and refused if a batch did not write it, before anything is changed. Earlier failures
    are kept until this run has one of its own, or has ended without any.
    """

    def __init__(self, out: Path) -> None:
        self._completions = AppendedFile(out)
        self._failures = AppendedFile(access.failures_path(out), self._open_failures)
        self._earlier_failures: FileIO | None = None
        self._next_sync = 0.0

    def open(self, requests: os.stat_result | None, is_stopped: Callable[[], bool]) -> CompletedKeys:
        """Open them; return the keys of the completions in OUT. `requests` is the file of requests, if it is a file.

        Raises ConfigurationError, OSError with a path if the disk fails, and `recovery.Stopped`.
        """
        try:
            return self._open(requests, is_stopped)
        except OSError as error:
            raise named(error, self._completions.path) from None

    @property
    def failures(self) -> Path:
        """The path of the file of failures."""
        return self._failures.path

    @property
    def are_open(self) -> bool:
        """Whether `open` has opened them."""
        return self._completions.file is not None

    @property
    def is_behind(self) -> bool:
        """Whether so much waits to be written that nothing should be added."""
        return self._completions.unwritten > _MOST_UNWRITTEN

    def add(self, line: bytes) -> None:
        """Add a completion, made by `completion_line`; `write` writes it."""
        self._completions.add(line)

    def add_failure(self, line: bytes) -> None:
        """Add a failure, made by `failure_line`; `write` writes it."""
        self._failures.add(line)

    def write(self) -> None:
        """Write what was added; to be called every `WRITE_SECONDS`, by one thread. Raises OSError with a path."""
        self._completions.write()
        self._failures.write()
        if time.monotonic() >= self._next_sync:
            self._completions.sync()
            self._next_sync = time.monotonic() + SYNC_SECONDS

    def close(self, *, has_ended: bool) -> None:
        """Write and sync everything, and close the files. Earlier failures are removed if the run has ended well."""
        try:
            self.write()
            self._completions.sync()
            self._failures.sync()
            if has_ended and self._failures.file is None and self._earlier_failures is not None:
                self._remove_failures(self._earlier_failures)
        finally:
            self._completions.close()
            self._failures.close()
            if self._earlier_failures is not None:
                self._earlier_failures.close()

    def _open(self, requests: os.stat_result | None, is_stopped: Callable[[], bool]) -> CompletedKeys:
        out, failures, completed = self._completions.path, self._failures.path, CompletedKeys()
        with ExitStack() as opened:
            found, earlier = (_existing(out, "out", opened), _existing(failures, "out: failures", opened))
            access.refuse_same(out, found, earlier, requests)
            if found is not None:
                access.lock(found, out, "out")
            if earlier is not None:
                access.lock(earlier, failures, "out: failures")
                check_failures(earlier, failures, is_stopped)
            else:
                access.check_folder(failures, "out: failures")
            if found is None:
                found = opened.enter_context(access.create(out, "out"))
                access.lock(found, out, "out")
            else:
                so_far = read_results(found, out, is_stopped)
                so_far.mend(found, out)
                completed = so_far.completed
            opened.pop_all()
        self._completions.file, self._earlier_failures = found, earlier
        return completed

    def _open_failures(self) -> FileIO:
        """Return the file of failures, empty."""
        path = self._failures.path
        if self._earlier_failures is not None:
            self._earlier_failures.truncate(0)
            return self._earlier_failures
        file = access.create(path, "out: failures")
        try:
            access.lock(file, path, "out: failures")
        except ConfigurationError:
            file.close()
            raise
        return file

    def _remove_failures(self, file: FileIO) -> None:
        """Remove the file if it had failures of a batch, and is still at its path, where a link to it is left."""
        if os.fstat(file.fileno()).st_size == 0:
            return
        file.truncate(0)
        if access.is_still_at(self._failures.path, file):
            if os.name == "nt":  # which removes no open file
                file.close()
            with suppress(OSError):
                self._failures.path.unlink()


def _existing(path: Path, argument: str, opened: ExitStack) -> FileIO | None:
    file = access.open_existing(path, argument)
    return None if file is None else opened.enter_context(file)

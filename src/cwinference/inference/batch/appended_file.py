"""A file to which whole lines are appended, many by one write, by one thread for all that have lines."""

import os
import threading
from collections.abc import Callable
from io import FileIO
from pathlib import Path

from . import access


class AppendedFile:
    """A file of lines. Without `open_file`, which opens it for the first line, `file` has to be set before that."""

    def __init__(self, path: Path, open_file: Callable[[], FileIO] | None = None) -> None:
        self.path = path
        self.file: FileIO | None = None
        self.unwritten = 0
        """How many bytes wait to be written."""
        self._open_file = open_file
        self._lock = threading.Lock()
        self._lines: list[bytes] = []
        self._is_broken = self._has_written = False

    def add(self, line: bytes) -> None:
        """Add a line, which `write` writes."""
        with self._lock:
            self._lines.append(line)
            self.unwritten += len(line)

    def write(self) -> None:
        """Write what was added. Raises OSError with the path; then the file ends with a whole line nevertheless.

        One write for many lines: each write releases Python's lock, after which a thread waits for its turn.
        """
        with self._lock:
            lines, self._lines = self._lines, []
            self.unwritten = 0
        if lines:
            try:
                if self.file is None and self._open_file is not None:
                    self.file = self._open_file()
                if self.file is not None:
                    self._append(self.file, b"".join(lines))
            except OSError as error:
                raise named(error, self.path) from None

    def sync(self) -> None:
        """Wait until the disk has what was written. Raises OSError with the path, also if it leads elsewhere by now."""
        try:
            if self.file is not None:
                os.fsync(self.file.fileno())
                if self._has_written:
                    access.refuse_lost(self.path, self.file)
        except OSError as error:
            raise named(error, self.path) from None

    def close(self) -> None:
        """Close it, which writes nothing."""
        if self.file is not None:
            self.file.close()

    def _append(self, file: FileIO, data: bytes) -> None:
        if self._is_broken:
            raise OSError(None, "an earlier line could not be written whole")
        written, self._has_written = 0, True
        try:
            while written < len(data):
                written += file.write(memoryview(data)[written:]) or 0
        except OSError:
            half = written - (data.rfind(b"\n", 0, written) + 1)
            self._is_broken = half > 0
            if half:
                file.truncate(os.fstat(file.fileno()).st_size - half)
                self._is_broken = False
            raise


def named(error: OSError, path: Path) -> OSError:
    """Return an error of the system with the path of the file that it is about."""
    return OSError(error.errno, error.strerror or str(error), error.filename or str(path))

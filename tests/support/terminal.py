"""A real pseudo-terminal with a program in it, whose screen pyte reads."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import pyte

PROGRAM = """
import fcntl, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.default_int_handler)
from cwinference._cli.main import main
sys.exit(main())
"""
"""It makes the terminal its own, so that Ctrl-C reaches it, also when the tests run in the background."""


class Terminal:
    """`cwinference` in a terminal. Use it in a `with` block, which ends the program."""

    def __init__(
        self,
        arguments: Sequence[object],
        *,
        columns: int = 80,
        rows: int = 24,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._screen: Any = pyte.Screen(columns, rows)
        self._stream: Any = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self.received = b""
        """Everything that the program has printed."""
        self._ours, theirs = pty.openpty()
        self._set_size(columns, rows)
        left_out = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")
        base = {name: value for name, value in os.environ.items() if name not in left_out}
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *map(str, arguments)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**base, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(environment or {})},
            start_new_session=True,
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        os.close(self._ours)

    @property
    def lines(self) -> list[str]:
        """The lines of the screen as they are now, without what is empty."""
        with self._lock:
            return [line.rstrip() for line in self._screen.display if line.strip()]

    @property
    def text(self) -> str:
        """The same as one text."""
        return "\n".join(self.lines)

    @property
    def characters(self) -> list[list[Any]]:
        """The characters of all lines down to the last that is not empty, with their colors."""
        with self._lock:
            rows = [[row[column] for column in range(self._screen.columns)] for row in self._rows()]
        while rows and not "".join(each.data for each in rows[-1]).strip():
            rows.pop()
        return rows

    def _rows(self) -> list[Any]:
        return [self._screen.buffer[number] for number in range(self._screen.lines)]

    def wait_for(self, *texts: str) -> str:
        """Wait until the screen shows all texts, and return it; a program that has ended without them is an error."""
        while not all(text in self.text for text in texts):
            if self._process.poll() is not None:
                self._reader.join()
                assert all(text in self.text for text in texts), self.text
            threading.Event().wait(0.01)  # polled, because a program may also end without writing
        return self.text

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self._ours, text.encode())

    def resize(self, columns: int, rows: int = 24) -> None:
        """Make it another size, of which the program gets to know."""
        with self._lock:
            self._screen.resize(rows, columns)
        self._set_size(columns, rows)
        self._process.send_signal(signal.SIGWINCH)

    def wait(self) -> int:
        """Wait until the program has ended, and return its exit code."""
        code = self._process.wait()
        self._reader.join()
        return code

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._ours, 65536)
            except OSError:  # the program has ended
                return
            if not data:
                return
            with self._lock:
                self.received += data
                self._stream.feed(data)

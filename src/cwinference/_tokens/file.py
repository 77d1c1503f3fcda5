"""A file that contains a token, and may be replaced by one with a newer token."""

import asyncio
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from errno import EINVAL
from typing import TYPE_CHECKING

from .._locks import lock_of
from .._secrets import Secret, forgets_locals
from .._signals import from_signal_handler
from .._text import reason_of
from ..errors import ConfigurationError
from .source import SharedSource, TokenReader

if TYPE_CHECKING:
    from pathlib import Path

_CHECK_SECONDS = 1.0


class TokenFile(SharedSource):
    """Reads a token file. What is not a regular file gives its content only once, so that is kept for all clients."""

    def __init__(self, path: "Path") -> None:
        self.path = path
        self._from_pipe: Secret[str] | None = None
        self._lock = lock_of(self)

    def __repr__(self) -> str:
        return f"from_file({str(self.path)!r})"

    def __reduce__(self) -> "tuple[type[TokenFile], tuple[Path]]":
        return TokenFile, (self.path,)  # for other processes, which read it themselves

    @forgets_locals
    def __call__(self) -> str:
        return self.read().reveal()

    def reader(self) -> "WatchedFile":
        """Return what one client reads it by."""
        return WatchedFile(self)

    def read(self) -> Secret[str]:
        """Return what the file contains, without white space around it; it may be empty."""
        try:
            if self.signature() is not None:
                return self._content()
            with self._lock:
                self._from_pipe = self._from_pipe or self._content()
                return self._from_pipe
        except (OSError, UnicodeDecodeError) as error:
            if from_signal_handler(error):
                raise
            reason = "not text" if isinstance(error, UnicodeDecodeError) else reason_of(error)
        # Raised outside of the except block: Python's error contains what was read, and would be chained to ours.
        raise ConfigurationError(f"token file {self.path}: {reason}")

    def signature(self) -> tuple[int, int, int] | None:
        """Return what changes together with the content; None for what is not a regular file. Raises OSError."""
        try:
            status = self.path.stat()
        except ValueError as error:  # no file can have this path
            raise OSError(EINVAL, reason_of(error)) from None
        return (status.st_mtime_ns, status.st_size, status.st_ino) if stat.S_ISREG(status.st_mode) else None

    def _content(self) -> Secret[str]:
        return Secret(self.path.read_text("utf-8").strip())


class WatchedFile(TokenReader):
    """A token file as one client has read it: what is old for one client may still be news to the others."""

    def __init__(self, file: TokenFile) -> None:
        self._file = file
        self._signature_read: tuple[int, int, int] | None = None
        self._token: Secret[str] | None = None
        self._next_check = 0.0

    def __repr__(self) -> str:
        return repr(self._file)

    @property
    def changed(self) -> Callable[[], bool]:
        """What says whether the file was replaced since it was read; it is checked at most once a second."""
        return self._has_changed

    def read(self, seconds: float | None = None) -> Secret[str]:
        """Return the new token; or the previous one, if a rotation has truncated the file and not filled it yet."""
        signature = None
        try:
            signature = self._file.signature()
        except OSError as error:
            if from_signal_handler(error):
                raise
            # Otherwise reading it shows why.
        token = self._file.read()
        if not token.reveal():
            if self._token is None:
                raise ConfigurationError(f"token file {self._file.path} is empty")
            self._next_check = time.monotonic() + _CHECK_SECONDS
            return self._token
        self._signature_read, self._token = signature, token
        return token

    async def read_async(self) -> Secret[str]:
        """Do the same on an event loop, which goes on: the file may be a pipe, and wait for its writer.

        The thread is a daemon, unlike those of asyncio, which would keep the process from exiting until then.
        """
        read: Future[Secret[str]] = Future()
        read.set_running_or_notify_cancel()  # a canceled task cancels only its own wait
        threading.Thread(target=self._read_into, args=(read,), name="cwinference token file", daemon=True).start()
        return await asyncio.wrap_future(read)

    def _read_into(self, outcome: "Future[Secret[str]]") -> None:
        try:
            outcome.set_result(self.read())
        except BaseException as error:
            outcome.set_exception(error)

    def _has_changed(self) -> bool:
        now = time.monotonic()
        if now < self._next_check:
            return False
        changed = self.differs()
        if not changed:
            self._next_check = now + _CHECK_SECONDS
        return changed

    def differs(self) -> bool:
        """Return whether the file differs from the one that was read; a missing file does not count."""
        try:
            return self._file.signature() != self._signature_read
        except OSError as error:
            if from_signal_handler(error):
                raise
            return False

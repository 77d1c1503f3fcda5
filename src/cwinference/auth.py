"""Token sources: a string, a callable, a file, or a command. No repr and no error ever shows a token."""

import asyncio
import inspect
import os
import re
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, cast
from weakref import WeakKeyDictionary

from ._locks import lock_of
from .errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

TokenSource: TypeAlias = str | Callable[[], str] | Callable[[], Awaitable[str]]
"""What `token=` accepts: the token itself, or a callable that returns it (for `AsyncClient` it may be async)."""

T = TypeVar("T")

Metadata: TypeAlias = tuple[tuple[str, str], ...]


class Secret(str):
    """A string whose repr does not show it, so that tracebacks with locals do not either."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def hidden(token: T) -> T:
    """Return the token, as a `Secret` if it is a string."""
    return cast(T, Secret(token)) if isinstance(token, str) else token


_TOKEN = re.compile(r"[\x21-\x7e]+")
_FILE_CHECK_SECONDS = 1.0


def from_file(path: str | os.PathLike[str]) -> Callable[[], str]:
    """Return a token source that reads a file; white space around the token is ignored.

    A rotated file is noticed within a second at the next call, or at once when the server says UNAUTHENTICATED.

    Args:
        path: the file that contains nothing but the token.

    Raises:
        ConfigurationError: `path` is no path; at the first call, the file cannot be read or is empty.
    """
    if not isinstance(path, str | os.PathLike):
        raise ConfigurationError(f"path: expected the path of a token file, got {type(path).__name__}")
    from pathlib import Path  # like json, it is loaded for the few who need it

    return _File(Path(path))


def from_command(command: Sequence[str], *, timeout: float = 30.0) -> Callable[[], str]:
    """Return a token source that runs a program, without a shell, and reads its output.

    It may print the token, or a Kubernetes ExecCredential (JSON with `status.token`). It runs once, at the first call,
    and again when the server says UNAUTHENTICATED. `AsyncClient` runs it on a thread.

    Args:
        command: the program and its arguments, such as `["cwic", "auth", "token"]`.
        timeout: seconds after which the program is killed (30).

    Raises:
        ConfigurationError: `command` is no list; at the first call, the program failed, timed out or printed no token.
    """
    if isinstance(command, str) or not isinstance(command, Sequence) or not command:
        raise ConfigurationError("command: expected a non-empty list such as ['cwic', 'auth', 'token']")
    return _Command(tuple(command), timeout)


class _File:
    def __init__(self, path: "Path") -> None:
        self.path = path
        self._signature_read: tuple[int, int, int] | None = None
        self._token: Secret | None = None
        self._next_check = 0.0

    def __repr__(self) -> str:
        return f"from_file({str(self.path)!r})"

    def __call__(self) -> Secret:
        try:
            signature = self._signature()
            return self._current(signature, Secret(self.path.read_text("utf-8").strip()))
        except (OSError, UnicodeDecodeError) as error:
            reason = _reason(error)
        # Raised outside of the except block: Python's error contains what was read, and would be chained to ours.
        raise ConfigurationError(f"token file {self.path}: {reason}")

    def _current(self, signature: tuple[int, int, int], token: Secret) -> Secret:
        """Return the new token; or the previous one, if a rotation has truncated the file and not filled it yet."""
        if not token:
            if self._token is None:
                raise ConfigurationError(f"token file {self.path} is empty")
            self._next_check = time.monotonic() + _FILE_CHECK_SECONDS
            return self._token
        self._signature_read, self._token = signature, token
        return token

    def changed(self) -> bool:
        """Return whether the file was replaced since it was read; it is checked at most once a second."""
        now = time.monotonic()
        if now < self._next_check:
            return False
        changed = self.differs()
        if not changed:
            self._next_check = now + _FILE_CHECK_SECONDS
        return changed

    def differs(self) -> bool:
        """Return whether the file differs from the one that was read; a missing file does not count."""
        try:
            return self._signature() != self._signature_read
        except OSError:
            return False

    def _signature(self) -> tuple[int, int, int]:
        status = self.path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino


class _Command:
    def __init__(self, command: tuple[str, ...], timeout: float) -> None:
        self._command = command
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"from_command([{self._command[0]!r}, ...])"

    def __call__(self) -> Secret:
        return _printed_token(self._run())

    def _run(self) -> Secret:
        limit = self._timeout
        try:
            return Secret(
                subprocess.run(self._command, capture_output=True, timeout=limit, check=True, text=True).stdout.strip()
            )
        except (OSError, subprocess.SubprocessError, UnicodeDecodeError) as error:
            reason = _reason(error)
        raise ConfigurationError(f"token command {self._command[0]!r}: {reason}")


def _printed_token(output: Secret) -> Secret:
    if not output.startswith("{"):
        return output
    import json

    token: object = None
    with suppress(ValueError, KeyError, TypeError):
        token = hidden(json.loads(output)["status"]["token"])
    if not isinstance(token, Secret):
        raise ConfigurationError("token command: printed JSON without status.token")
    return token


def _reason(error: Exception) -> str:
    """Return what went wrong, without anything that a program printed."""
    if isinstance(error, subprocess.CalledProcessError):
        return f"exited with code {error.returncode}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"printed nothing within {error.timeout:g} s"
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else "not text"


class Credentials(Protocol):
    """Gives the header that authorizes a call."""

    @property
    def refreshable(self) -> bool:
        """Whether the source may return another token when called again."""
        ...

    @property
    def may_be_async(self) -> bool:
        """Whether the source is known to be a coroutine function."""
        ...

    def metadata(self) -> Metadata | None:
        """Return the cached header; None if the source has to be called first."""
        ...

    def fetch(self, refused: Metadata | None) -> Metadata:
        """Return the header with a token from the source: another one than `refused`, if it has one."""
        ...

    async def fetch_async(self, refused: Metadata | None) -> Metadata:
        """Do the same, awaiting an async source."""
        ...


class TokenCredentials(Credentials):
    """The token of one client: validated, cached, and requested again when the server refuses it."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source if not isinstance(source, _File) else _File(source.path)
        """Each client watches a token file by itself: what one of them has read is still news to the others."""
        self._token: Secret | None = None
        self._metadata: Metadata | None = None
        self._lock = lock_of(self)
        self._loop_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
        self._changed = self._source.changed if isinstance(self._source, _File) else None
        if isinstance(source, str):
            self._keep(source)
        elif not callable(source):
            raise ConfigurationError(f"token: expected a string or a callable, got {type(source).__name__}")

    def __repr__(self) -> str:
        return f"TokenCredentials({'***' if isinstance(self._source, str) else self._source!r})"

    @property
    def refreshable(self) -> bool:
        """Whether the source may return another token when called again."""
        return not isinstance(self._source, str)

    @property
    def may_be_async(self) -> bool:
        """Whether the source is known to be a coroutine function."""
        return inspect.iscoroutinefunction(self._source)

    def metadata(self) -> Metadata | None:
        """Return the cached `authorization` header; None if the source has to be called first."""
        if self._changed is not None and self._changed():
            return None
        return self._metadata

    def fetch(self, refused: Metadata | None) -> Metadata:
        """Call the source, unless another thread has replaced the refused token in the meantime."""
        with self._lock:
            if self._metadata is not None and self._metadata is not refused and not self._file_changed():
                return self._metadata
            token = self._call_source()
            if inspect.isawaitable(token):
                getattr(token, "close", lambda: None)()  # otherwise Python warns that it was never awaited
                raise ConfigurationError("token: an async callable needs AsyncClient")
            return self._keep(token)

    async def fetch_async(self, refused: Metadata | None) -> Metadata:
        """Do the same, awaiting an async source."""
        loop = asyncio.get_running_loop()
        async with self._loop_locks.setdefault(loop, asyncio.Lock()):
            if self._metadata is not None and self._metadata is not refused and not self._file_changed():
                return self._metadata
            if isinstance(self._source, _Command):
                return self._keep(await asyncio.to_thread(self._source))
            token = self._call_source()
            return self._keep(hidden(await token) if inspect.isawaitable(token) else token)

    def _file_changed(self) -> bool:
        return isinstance(self._source, _File) and self._source.differs()

    def _call_source(self) -> Any:
        return hidden(cast(Callable[[], Any], self._source)())

    def _keep(self, token: object) -> Metadata:
        checked = check_token(token)
        if checked != self._token or self._metadata is None:
            self._token = checked
            self._metadata = (("authorization", Secret(f"Bearer {checked}")),)
        return self._metadata


class Anonymous(Credentials):
    """The credentials of a client that sends no token."""

    @property
    def refreshable(self) -> bool:
        return False

    @property
    def may_be_async(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "Anonymous()"

    def metadata(self) -> Metadata:
        return ()

    def fetch(self, refused: Metadata | None) -> Metadata:
        return ()

    async def fetch_async(self, refused: Metadata | None) -> Metadata:
        return ()


def check_token(token: object) -> Secret:
    """Return the token. Raises a ConfigurationError that does not show it."""
    if not isinstance(token, str):
        raise ConfigurationError(f"token: expected a string, got {type(token).__name__}")
    if not token:
        raise ConfigurationError("token must not be empty")
    if not _TOKEN.fullmatch(token):
        raise ConfigurationError(
            "token: contains a line break, a space or a character that is not printable ASCII; "
            "strip it and pass the token alone"
        )
    return Secret(token)


__all__ = ["TokenSource", "from_command", "from_file"]

"""Where the token comes from: a string, a callable, a file, a command. It is never shown in a repr or an error."""

import asyncio
import inspect
import os
import re
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast
from weakref import WeakKeyDictionary

from ._locks import lock_of
from .errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

TokenSource: TypeAlias = str | Callable[[], str] | Callable[[], Awaitable[str]]
"""What `token=` takes: the token itself, or a callable that gives one (for `AsyncClient` it may be async)."""

T = TypeVar("T")

Metadata: TypeAlias = tuple[tuple[str, str], ...]


class Secret(str):
    """A string that does not show itself in reprs, and so in no traceback's locals."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def hidden(token: T) -> T:
    """The same, and if it is a string, one that does not show itself."""
    return cast(T, Secret(token)) if isinstance(token, str) else token


_TOKEN = re.compile(r"[\x21-\x7e]+")
_FILE_CHECK_SECONDS = 1.0


def from_file(path: str | os.PathLike[str]) -> Callable[[], str]:
    """A token source that reads a file; white space around the token is ignored.

    A rotated file is picked up within a second of the next call, or at once when the server says UNAUTHENTICATED.
    """
    if not isinstance(path, str | os.PathLike):
        raise ConfigurationError(f"path: expected that of a token file, got {type(path).__name__}")
    from pathlib import Path  # like json, it is loaded for the few who need it

    return _File(Path(path))


def from_command(command: Sequence[str], *, timeout: float = 30.0) -> Callable[[], str]:
    """A token source that runs a program, without a shell, and reads what it prints.

    It may print the token or a Kubernetes ExecCredential (JSON with `status.token`). It runs once at the first call and
    again when the server says UNAUTHENTICATED. `timeout` is in seconds. `AsyncClient` runs it on a thread.
    """
    if isinstance(command, str) or not isinstance(command, Sequence) or not command:
        raise ConfigurationError("command: expected a non-empty list such as ['cwic', 'auth', 'token']")
    return _Command(tuple(command), timeout)


class _File:
    def __init__(self, path: "Path") -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._token: Secret | None = None
        self._next_check = 0.0

    def __repr__(self) -> str:
        return f"from_file({str(self.path)!r})"

    def __call__(self) -> Secret:
        try:
            seen = self._signature()
            return self._kept(seen, Secret(self.path.read_text("utf-8").strip()))
        except (OSError, UnicodeDecodeError) as error:
            reason = _reason(error)
        # Raised out here, because Python's error holds what was read, and would hang on ours.
        raise ConfigurationError(f"token file {self.path}: {reason}")

    def _kept(self, seen: tuple[int, int, int], token: Secret) -> Secret:
        """What was read; or what was read before, where a rotation has emptied the file and not filled it yet."""
        if not token:
            if self._token is None:
                raise ConfigurationError(f"token file {self.path}: it is empty")
            self._next_check = time.monotonic() + _FILE_CHECK_SECONDS
            return self._token
        self._seen, self._token = seen, token
        return token

    def changed(self) -> bool:
        """Whether the file was replaced since it was read; looks at most once a second."""
        now = time.monotonic()
        if now < self._next_check:
            return False
        changed = self.differs()
        if not changed:
            self._next_check = now + _FILE_CHECK_SECONDS
        return changed

    def differs(self) -> bool:
        """Whether the file is another one than was read; a missing one is not."""
        try:
            return self._signature() != self._seen
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
    """What went wrong, without anything that a program printed."""
    if isinstance(error, subprocess.CalledProcessError):
        return f"exited with code {error.returncode}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"gave nothing within {error.timeout:g} s"
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else "is not text"


class Credentials:
    """The token of one client, checked, cached, and asked for again when the server refuses it."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source if not isinstance(source, _File) else _File(source.path)
        """A file is watched for each client by itself: what one has read is not yet known to the next."""
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
        return f"Credentials({'***' if isinstance(self._source, str) else self._source!r})"

    @property
    def refreshable(self) -> bool:
        """Whether asking again may give another token."""
        return not isinstance(self._source, str)

    @property
    def may_be_async(self) -> bool:
        """Whether the source is known to be a coroutine function."""
        return inspect.iscoroutinefunction(self._source)

    def metadata(self) -> Metadata | None:
        """The cached `authorization` pair; None when the source has to be asked first."""
        if self._changed is not None and self._changed():
            return None
        return self._metadata

    def fetch(self, stale: Metadata | None) -> Metadata:
        """Ask the source, unless another thread has replaced the stale metadata meanwhile."""
        with self._lock:
            if self._metadata is not None and self._metadata is not stale and not self._file_changed():
                return self._metadata
            token = self._ask()
            if inspect.isawaitable(token):
                getattr(token, "close", lambda: None)()  # else Python warns that it was never awaited
                raise ConfigurationError("token: an async callable needs AsyncClient")
            return self._keep(token)

    async def fetch_async(self, stale: Metadata | None) -> Metadata:
        """The same, awaiting an async source."""
        loop = asyncio.get_running_loop()
        async with self._loop_locks.setdefault(loop, asyncio.Lock()):
            if self._metadata is not None and self._metadata is not stale and not self._file_changed():
                return self._metadata
            if isinstance(self._source, _Command):
                return self._keep(await asyncio.to_thread(self._source))
            token = self._ask()
            return self._keep(hidden(await token) if inspect.isawaitable(token) else token)

    def _file_changed(self) -> bool:
        return isinstance(self._source, _File) and self._source.differs()

    def _ask(self) -> Any:
        return hidden(cast(Callable[[], Any], self._source)())

    def _keep(self, token: object) -> Metadata:
        checked = check_token(token)
        if checked != self._token or self._metadata is None:
            self._token = checked
            self._metadata = (("authorization", Secret(f"Bearer {checked}")),)
        return self._metadata


class Anonymous(Credentials):
    """Credentials of a client that sends no token."""

    def __init__(self) -> None:
        super().__init__("none")

    def __repr__(self) -> str:
        return "Anonymous()"

    def metadata(self) -> Metadata:
        return ()

    def fetch(self, stale: Metadata | None) -> Metadata:
        return ()

    async def fetch_async(self, stale: Metadata | None) -> Metadata:
        return ()


def check_token(token: object) -> Secret:
    """The token, or a ConfigurationError that does not show it."""
    if not isinstance(token, str):
        raise ConfigurationError(f"token: expected a string, got {type(token).__name__}")
    if not token:
        raise ConfigurationError("token: it is empty")
    if not _TOKEN.fullmatch(token):
        raise ConfigurationError(
            "token: it holds a line break, a space or a character that is not printable ASCII; "
            "strip what was read with it and pass the token alone"
        )
    return Secret(token)


__all__ = ["TokenSource", "from_command", "from_file"]

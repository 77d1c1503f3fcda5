"""Token sources: a string, a callable, a file, or a command. No repr and no error ever shows a token."""

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias
from weakref import WeakKeyDictionary

from ._arguments import check_timeout
from ._locks import lock_of
from ._secrets import Secret, forgets_locals
from ._tokens import token_timeout
from ._tokens.source import reader_of
from .errors import ConfigurationError

TokenSource: TypeAlias = str | Callable[[], str] | Callable[[], Awaitable[str]]
"""What `token=` accepts: the token itself, or a callable that returns it (for `AsyncClient` it may be async)."""

HiddenSource: TypeAlias = Secret[str] | Callable[[], str] | Callable[[], Awaitable[str]]
"""The same with a token that nothing shows."""

Headers: TypeAlias = tuple[tuple[str, str], ...]
Metadata: TypeAlias = Secret[Headers]
"""Headers of a request, some of which are secret: the token's, and those that a caller adds."""


def hidden(source: TokenSource | HiddenSource) -> HiddenSource:
    """Return a source whose token, if that is what it is, nothing shows."""
    return Secret(source) if isinstance(source, str) else source


def with_headers(metadata: Metadata, more: Headers) -> Metadata:
    """Return the headers of a request with more of them."""
    return Secret((*metadata.reveal(), *more))


@forgets_locals
def from_file(path: str | os.PathLike[str]) -> Callable[[], str]:
    """Return a token source that reads a file; white space around the token is ignored.

    A rotated file is noticed within a second at the next call, or at once when the server says UNAUTHENTICATED. What is
    not a regular file, such as a named pipe or `/dev/stdin`, is read once, when the first client needs it; that waits
    for whoever writes it, and `timeout` of a sync call does not limit it.

    Args:
        path: the file that contains nothing but the token.

    Raises:
        ConfigurationError: `path` is not a path; at the first call, the file cannot be read or is empty.
    """
    if not isinstance(path, str | os.PathLike):
        raise ConfigurationError(f"path: expected the path of a token file, got {type(path).__name__}")
    from pathlib import Path  # like json, it is loaded for the few who need it

    from ._tokens.file import TokenFile

    return TokenFile(Path(path))


@forgets_locals
def from_command(command: Sequence[str], *, timeout: float | None = 30.0) -> Callable[[], str]:
    """Return a token source that runs a program, without a shell and a terminal, and reads its output.

    It may print the token, or a Kubernetes ExecCredential (JSON with `status.token`). It runs once, at the first call,
    and again when the server says UNAUTHENTICATED. When the call that needs it times out or is interrupted, the program
    and the programs that it has started are terminated, and half a second later killed.

    Args:
        command: the program and its arguments, such as `["cwic", "auth", "token"]`.
        timeout: seconds after which the program is ended in any case (30). None for no limit of its own.

    Raises:
        ConfigurationError: `command` is not a list of strings, or `timeout` is wrong; at the first call, the program
            failed, timed out or printed no token.
    """
    if isinstance(command, str) or not isinstance(command, Sequence) or not command:
        raise ConfigurationError("command: expected a non-empty list such as ['cwic', 'auth', 'token']")
    wrong = next((type(each).__name__ for each in command if not isinstance(each, str | os.PathLike)), None)
    if wrong is not None:
        raise ConfigurationError(f"command: expected a list of strings, got one of {wrong}")
    from ._tokens.command import TokenCommand

    return TokenCommand(tuple(command), check_timeout(timeout))


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

    def fetch(self, refused: Metadata | None, seconds: float | None = None) -> Metadata:
        """Return the header with a token from the source: another one than `refused`, if it has one.

        Raises DeadlineExceeded after `seconds`, unless a callable blocks; None for no limit.
        """
        ...

    async def fetch_async(self, refused: Metadata | None) -> Metadata:
        """Do the same, awaiting an async source."""
        ...


class TokenCredentials(Credentials):
    """The token of one client: validated, cached, and requested again when the server refuses it."""

    def __init__(self, source: TokenSource | HiddenSource, origin: str = "a string") -> None:
        self._reader = reader_of(hidden(source), origin)
        self._metadata: Metadata | None = None
        self._lock = lock_of(self)
        self._loop_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
        self._changed = self._reader.changed
        if not self._reader.refreshable:
            self._keep(self._reader.read(None))

    def __repr__(self) -> str:
        return f"TokenCredentials({getattr(self, '_reader', None)!r})"

    @property
    def origin(self) -> str:
        """Where the token comes from, for people: the file, the program, or what was said of a string."""
        return self._reader.origin

    @property
    def refreshable(self) -> bool:
        """Whether the source may return another token when called again."""
        return self._reader.refreshable

    @property
    def may_be_async(self) -> bool:
        """Whether the source is known to be a coroutine function."""
        return self._reader.may_be_async

    def metadata(self) -> Metadata | None:
        """Return the cached `authorization` header; None if the source has to be called first."""
        if self._changed is not None and self._changed():
            return None
        return self._metadata

    def fetch(self, refused: Metadata | None, seconds: float | None = None) -> Metadata:
        """Call the source, unless another thread has replaced the refused token in the meantime."""
        ends = None if seconds is None else time.monotonic() + seconds
        with _held(self._lock, ends):
            return self._replaced(refused) or self._keep(self._reader.read(_left(ends)))

    async def fetch_async(self, refused: Metadata | None) -> Metadata:
        """Do the same, awaiting an async source."""
        loop = asyncio.get_running_loop()
        async with self._loop_locks.setdefault(loop, asyncio.Lock()):
            return self._replaced(refused) or self._keep(await self._reader.read_async())

    def _replaced(self, refused: Metadata | None) -> Metadata | None:
        """Return the header by which another thread or task has replaced the refused one; None if there is none."""
        if self._metadata is refused or self._reader.differs():
            return None
        return self._metadata

    def _keep(self, token: Secret[Any]) -> Metadata:
        check_token(token)
        fresh: Metadata = Secret((("authorization", f"Bearer {token.reveal()}"),))
        if self._metadata is None or self._metadata != fresh:
            self._metadata = fresh
        return self._metadata


@contextmanager
def _held(lock: threading.Lock, ends: float | None) -> Generator[None]:
    """Hold a lock. Raises DeadlineExceeded if that is not possible in time: somebody else waits for the source."""
    seconds = _left(ends)
    if not lock.acquire(timeout=-1 if seconds is None else seconds):
        raise token_timeout()
    try:
        yield
    finally:
        lock.release()


def _left(ends: float | None) -> float | None:
    return None if ends is None else max(0.0, ends - time.monotonic())


_NO_HEADERS: Metadata = Secret(())


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
        return _NO_HEADERS

    def fetch(self, refused: Metadata | None, seconds: float | None = None) -> Metadata:
        return _NO_HEADERS

    async def fetch_async(self, refused: Metadata | None) -> Metadata:
        return _NO_HEADERS


def check_token(token: Secret[Any]) -> None:
    """Raise a ConfigurationError that does not show it if it cannot be sent as a token."""
    problem = _problem_of(token.reveal())
    if problem is not None:
        raise ConfigurationError(problem)


def _problem_of(token: object) -> str | None:
    if not isinstance(token, str):
        return f"token: expected a string, got {type(token).__name__}"
    if not token:
        return "token must not be empty"
    if not (token.isascii() and token.isprintable()) or " " in token:
        return (
            "token: contains a line break, a space or a character that is not printable ASCII; "
            "strip it and pass the token alone"
        )
    return None


__all__ = ["TokenSource", "from_command", "from_file"]

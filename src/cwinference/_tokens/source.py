"""How one client reads its token, from whatever `token=` was given."""

import inspect
from collections.abc import Callable
from typing import Any

from .._secrets import Secret
from ..errors import ConfigurationError


class TokenReader:
    """Reads the token of one client."""

    refreshable = True
    """Whether another token may be read next time."""
    may_be_async = False
    """Whether the source is known to be a coroutine function."""

    @property
    def changed(self) -> Callable[[], bool] | None:
        """What is asked before each call whether the token was replaced meanwhile; None if only the server knows."""
        return None

    @property
    def origin(self) -> str:
        """Where the token comes from, for people."""
        return repr(self)

    def differs(self) -> bool:
        """Return whether the token has certainly been replaced since it was read."""
        return False

    def read(self, seconds: float | None) -> Secret[Any]:
        """Return the token, unchecked. Raises DeadlineExceeded after `seconds` where that is possible."""
        raise NotImplementedError

    async def read_async(self) -> Secret[Any]:
        """Do the same on an event loop."""
        raise NotImplementedError


class SharedSource:
    """A source that several clients may share, each of which reads it by itself."""

    def reader(self) -> TokenReader:
        """Return what one client reads it by."""
        raise NotImplementedError


class GivenToken(TokenReader):
    """The token itself was given."""

    refreshable = False

    def __init__(self, token: Secret[Any], origin: str) -> None:
        self._token = token
        self._origin = origin

    def __repr__(self) -> str:
        return repr(self._token)

    @property
    def origin(self) -> str:
        """What its caller calls the place where it was found."""
        return self._origin

    def read(self, seconds: float | None) -> Secret[Any]:
        """Return it."""
        return self._token

    async def read_async(self) -> Secret[Any]:
        """Return it."""
        return self._token


class CalledSource(TokenReader):
    """A callable of the caller's, which may be async."""

    def __init__(self, source: Callable[[], Any]) -> None:
        self._source = source
        self.may_be_async = inspect.iscoroutinefunction(source)

    def __repr__(self) -> str:
        return repr(self._source)

    @property
    def origin(self) -> str:
        """No more than that it is one."""
        return "a callable"

    def read(self, seconds: float | None) -> Secret[Any]:
        """Return what it returns, however long that takes. Raises ConfigurationError if it is async."""
        token = Secret(self._source())
        if inspect.isawaitable(token.reveal()):
            getattr(token.reveal(), "close", lambda: None)()  # otherwise Python warns that it was never awaited
            raise ConfigurationError("token: an async callable needs AsyncClient")
        return token

    async def read_async(self) -> Secret[Any]:
        """Return what it returns, awaited if it is async."""
        token = Secret(self._source())
        return Secret(await token.reveal()) if inspect.isawaitable(token.reveal()) else token


def reader_of(source: Secret[str] | Callable[[], Any], origin: str) -> TokenReader:
    """Return how a client reads a source; `origin` says where a token that is given itself was found.

    Raises ConfigurationError for what is no source.
    """
    if isinstance(source, SharedSource):
        return source.reader()
    if callable(source):
        return CalledSource(source)
    if isinstance(source, Secret):
        return GivenToken(source, origin)
    raise ConfigurationError(f"token: expected a string or a callable, got {type(source).__name__}")

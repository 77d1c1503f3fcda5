"""HTTP/1.1 for event loops, without encryption and proxies, several times cheaper than by pyqwest.

pyqwest has threads of its own, and to hand a request over to them and its response back costs more than all the rest.
Here an exchange stays on the thread of its event loop. Only completions use it: elsewhere HTTP/2 and TLS are usual.

Idle connections are kept for the next request, those used last first. They belong to their event loop, and are closed
with it.
"""

import asyncio
import math
import re
import select
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit
from weakref import WeakKeyDictionary, WeakSet

from .. import errors
from .._gevent import has_patched_threads
from .._locks import lock_of
from .._secrets import Secret
from ..auth import Metadata
from ..config import Settings
from ._http1_connect import connect, no_connection
from ._http1_connection import Connection
from ._http1_exchange import Exchange
from ._http1_response import Response
from ._http_response import HttpResponse
from ._pyqwest import is_usable, no_response, note_use
from ._time_limit import TimeLimit, limits_of
from .base import running_loop

is_direct = True
"""Whether it is used; tests turn it off, to have everything done by pyqwest."""

_OPEN = "_cwinference_open"
"""The attribute of an event loop that has its open connections, and what closes them at its end."""

MOST_IDLE = 1000
IDLE_SECONDS = 4.0
"""Enough idle connections for many calls at once, kept for less than the 5 s after which common servers close them."""

_SAFE = "/%:@!$&'()*+,;=~[]|^"
_DOTS = re.compile(r"/(\.|%2e){1,2}/", re.IGNORECASE)


def can_send(settings: Settings) -> bool:
    """Return whether requests to this server can be sent this way."""
    usual = is_direct and not has_patched_threads() and hasattr(select, "poll")  # it is missing on Windows
    return usual and not settings.endpoint.secure and settings.http_version != 2 and settings.proxy is None


class Http1:
    """HTTP/1.1 to one server."""

    def __init__(self, settings: Settings) -> None:
        self._limit = settings.max_reply_bytes
        self._host, self._port = settings.endpoint.host, settings.endpoint.port
        self._authority = settings.endpoint.authority.removesuffix(":80")
        self._latest: _Head | None = None
        """That of the latest request, since the next one's is often the same."""
        self._idle: WeakKeyDictionary[asyncio.AbstractEventLoop, _Idle] = WeakKeyDictionary()
        self._is_closed = False
        self._lock = lock_of(self)

    async def fetch(
        self, verb: str, url: str, headers: Metadata, content: bytes | None, timeout: float | None
    ) -> HttpResponse:
        """Perform one exchange. `timeout` in seconds; None for no limit."""
        exchange = self.begin(verb, url, headers, content, timeout)
        if exchange is None:
            limit = TimeLimit(timeout)
            try:
                with limit:
                    connection = await self._take()
            except TimeoutError:
                raise no_response(timeout) from None
            exchange = self._exchange(connection, verb, url, headers, content, timeout, limit.due)
        if not exchange.is_over:
            waiter = asyncio.get_running_loop().create_future()
            exchange.when_over(partial(_wake, waiter))
            try:
                await waiter
            except BaseException:
                exchange.cancel()
                raise
        return exchange.response()

    def begin(
        self, verb: str, url: str, headers: Metadata, content: bytes | None, timeout: float | None
    ) -> Exchange | None:
        """Begin an exchange that nobody waits for; return None if there is no connection for it yet."""
        loop = running_loop()
        idle = self._idle.get(loop)
        connection = None if idle is None else idle.take()
        if connection is None:
            return None
        due = math.inf if timeout is None else loop.time() + timeout
        return self._exchange(connection, verb, url, headers, content, timeout, due)

    def _exchange(
        self,
        connection: Connection,
        verb: str,
        url: str,
        headers: Metadata,
        content: bytes | None,
        timeout: float | None,
        due: float,
    ) -> Exchange:
        exchange = Exchange(connection, self._give, self._limit, limits_of(connection.loop))
        try:
            exchange.begin(self._request(verb, url, headers, content), timeout, due)
        except BaseException:
            exchange.cancel()
            raise
        return exchange

    async def open(
        self, verb: str, url: str, headers: Metadata, content: bytes | None, timeout: float | None
    ) -> tuple[Response, Callable[[bool], None]]:
        """Begin an exchange; return the response, whose body the caller reads, and how to give the connection back.

        `timeout` limits the time until the response begins, in seconds.
        """
        connection: Connection | None = None
        try:
            with TimeLimit(timeout):
                connection = taken = await self._take()
                response = taken.send(self._request(verb, url, headers, content))
                await response.begin()
        except BaseException as error:
            if connection is not None:
                connection.abort()
            if isinstance(error, TimeoutError):
                raise no_response(timeout) from None
            raise
        return response, lambda _: self._give_anywhere(taken)

    async def close(self) -> None:
        """Release all connections that are idle; in a forked child they are the parent's."""
        if is_usable():
            with self._lock:
                self._is_closed = True
                every = list(self._idle.values())
                self._idle.clear()
            for idle in every:
                idle.close()
            await asyncio.sleep(0)  # the next turn of the event loop closes the sockets

    async def _take(self) -> Connection:
        """Return a connection that nobody uses. Raises ApiError."""
        loop = asyncio.get_running_loop()
        idle = self._idle.get(loop)
        if idle is None:
            idle = await self._idle_of(loop)
        return idle.take() or await self._connect(loop, idle)

    async def _idle_of(self, loop: asyncio.AbstractEventLoop) -> "_Idle":
        note_use()
        idle = _Idle()
        with self._lock:
            for other in [each for each in self._idle if each.is_closed()]:
                del self._idle[other]
            if self._is_closed:
                idle.close()  # it keeps nothing
            else:
                idle = self._idle.setdefault(loop, idle)
        await _close_with(loop, idle)
        return idle

    async def _connect(self, loop: asyncio.AbstractEventLoop, idle: "_Idle") -> Connection:
        try:
            connection = await connect(loop, self._host, self._port)
        except (OSError, UnicodeError) as error:
            raise no_connection(error, f"http://{self._authority}") from None
        connection.keeper = idle.keep
        loop.__dict__[_OPEN][0].add(connection)
        return connection

    def _give(self, connection: Connection) -> None:
        """Keep a connection for the next request, if that is possible. Only on its event loop."""
        if not (connection.is_kept() and connection.keeper is not None and connection.keeper(connection)):
            connection.abort()

    def _give_anywhere(self, connection: Connection) -> None:
        """Do the same on any thread; elsewhere than on its event loop, it is closed."""
        if connection.is_on_its_loop():
            self._give(connection)
        else:
            connection.abort()

    def _request(self, verb: str, url: str, headers: Metadata, content: bytes | None) -> bytes:
        """Return a request as it is sent. It shows the token, so no variable may hold it."""
        latest = self._latest
        if latest is None or latest.headers is not headers or latest.url != url or latest.verb != verb:
            latest = self._latest = _Head(verb, url, headers, self._head(verb, url, headers))
        if content or verb != "GET":
            return b"%bcontent-length: %d\r\n\r\n%b" % (latest.encoded.reveal(), len(content or b""), content or b"")
        return latest.encoded.reveal() + b"\r\n"

    def _head(self, verb: str, url: str, headers: Metadata) -> Secret[bytes]:
        first = f"{verb} {_target(url)} HTTP/1.1\r\nhost: {self._authority}\r\n"
        return Secret(_encoded([first, *[f"{name}: {value}\r\n" for name, value in headers.reveal()]]))


class _Head(NamedTuple):
    """The head of a request without the size of its body, for which of them it was made."""

    verb: str
    url: str
    headers: Metadata
    encoded: Secret[bytes]


class _Idle:
    """The idle connections of an event loop, the one used last at the end."""

    def __init__(self) -> None:
        self._connections = deque[Connection]()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def take(self) -> Connection | None:
        """Return the connection that was used last; None if none can be used."""
        connections, now = self._connections, time.monotonic()
        while connections:
            connection = connections.pop()  # only the event loop itself takes any, unless all is being closed
            if now - connection.idle_since < IDLE_SECONDS and connection.is_fresh():
                return connection
            connection.abort()
        return None

    def keep(self, connection: Connection) -> bool:
        """Keep a connection; return whether there is room. Only on its event loop."""
        if self._is_closed or len(self._connections) >= MOST_IDLE:
            return False
        connection.idle_since = time.monotonic()
        self._connections.append(connection)
        if self._timer is None:
            self._timer = connection.loop.call_later(IDLE_SECONDS, self._expire)
        return True

    def close(self) -> None:
        """Close all; on any thread."""
        self._is_closed = True
        self._timer = None  # it would keep a closed event loop alive
        with suppress(IndexError):  # the event loop may take some at the same time
            while True:
                self._connections.pop().abort()

    def _expire(self) -> None:
        """Close those that have been idle for too long, and come back for the others."""
        connections, now = self._connections, time.monotonic()
        while connections and now - connections[0].idle_since >= IDLE_SECONDS:
            connections.popleft().abort()
        self._timer = None
        if connections:
            loop = connections[0].loop
            self._timer = loop.call_later(connections[0].idle_since + IDLE_SECONDS - now, self._expire)


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


async def _close_with(loop: asyncio.AbstractEventLoop, idle: _Idle) -> None:
    """Close all connections when their event loop ends, as `asyncio.run` ends it. It would warn of them otherwise.

    The only thing that an event loop ends in good order are its async generators, so one of them waits for that.
    """
    guards: dict[str, Any] = loop.__dict__
    if _OPEN not in guards:
        every = WeakSet[_Idle | Connection]()
        guard = _at_end(every)
        guards[_OPEN] = every, guard
        await anext(guard)
    guards[_OPEN][0].add(idle)


async def _at_end(every: WeakSet[_Idle | Connection]) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        for each in [*every]:
            each.close()
        await asyncio.sleep(0)


def _target(url: str) -> str:
    """Return the path of a URL as a request has it: as browsers and pyqwest send it, without segments of dots."""
    path = quote(urlsplit(url).path.replace("\\", "/"), _SAFE)
    if not _DOTS.search(path):
        return path or "/"
    kept = list[str]()
    for segment in path.split("/"):
        dots = segment.lower().replace("%2e", ".")
        if dots == "..":
            del kept[max(1, len(kept) - 1) :]
        elif dots != ".":
            kept.append(segment)
    return "/".join(kept)


def _encoded(lines: list[str]) -> bytes:
    """Return the head of a request. Raises ConfigurationError if a value has what would add a line to it."""
    for each in lines[1:]:
        if not each.isascii() or not each[:-2].replace("\t", " ").isprintable():
            raise errors.ConfigurationError(
                f"headers: the value of {each.partition(':')[0]!a} contains characters that no header may contain"
            )
    return "".join(lines).encode("ascii")

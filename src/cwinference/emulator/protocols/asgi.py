"""Building blocks for ASGI: a request with its headers and state, its body within a limit, and complete responses."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol, Required, TypeAlias, TypedDict, cast

from ..interfaces import RpcError
from .codecs import MAX_MESSAGE_BYTES, compress, too_large
from .service import Interceptor

Scope: TypeAlias = Mapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]
Send: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers: TypeAlias = Sequence[tuple[bytes, bytes]]
CheckStart: TypeAlias = Callable[[bytes, int], None]
"""Gets the beginning of a body and its size so far; raises `RpcError` if that is enough to refuse it."""

MAX_DISCARDED_BYTES = 512 * 1024 * 1024
"""How much of a body that is too large is read and discarded, so that the client gets to read the response."""
_HEAD_BYTES = 16
_MIN_COMPRESSED_BYTES = 1024
"""Shorter messages are not worth compressing."""
_CODING = re.compile(r"\s*(?P<name>[\w.*-]+)\s*(?:;\s*q\s*=\s*(?P<weight>0(?:\.[0-9]*)?|1(?:\.0*)?)\s*)?")
"""One content coding of an `Accept-Encoding` header, with its weight."""
_CHARSET = re.compile(r"\bcharset\s*=\s*\"?([^\s;\"]*)")


class Disconnected(Exception):
    """The client disconnected before its request was complete."""


class ClientConnection(Protocol):
    """The connection that a request came on, below HTTP, as far as faults act on it; see `connection.Connection`."""

    @property
    def closed(self) -> bool:
        """Whether the connection is closed, so that nothing sent now arrives."""
        ...

    def abort(self) -> None:
        """Reset the connection."""
        ...

    async def flush(self) -> None:
        """Wait until everything written so far was handed to the operating system, but not for long."""
        ...

    def stop_reading(self) -> None:
        """Read nothing more, and leave the connection open."""
        ...

    def slow_down(self, cause: object, seconds: float) -> bool:
        """Lengthen the round trip, once for each cause; return whether the request arrived before, without delay."""
        ...

    async def go_away(self) -> None:
        """Send GOAWAY over HTTP/2; do nothing over HTTP/1.1."""
        ...

    def is_beyond_goaway(self, scope: Scope) -> bool:
        """Return whether a request came after the last one that GOAWAY accepted."""
        ...

    async def refuse(self, scope: Scope) -> None:
        """Refuse a request as not processed."""
        ...


class RequestState(TypedDict, total=False):
    """What the server and the faults attach to one request: the type of `scope["state"]`.

    The server gives every request a dictionary of its own, so that an entry affects this request only.
    """

    connection: Required[ClientConnection]
    """Set by the server."""
    interceptors: tuple[Interceptor, ...]
    """Run around the method that the request calls, the first outermost. Set by faults, used by `Service.call`."""
    around_deployment: Callable[[Collection[str], App], App]
    """Wraps what serves a request below a gateway in the faults of the deployment that it was routed to.

    It is called with the id and the name of that. Set by the faults, used when the request was routed.
    """
    clock_offset: float
    """Seconds by which the server's clock seems to be wrong. Set by the fault `skew`, used for the Date header."""


def state_of(scope: Scope) -> RequestState:
    """Return the state of a request. It is empty when a protocol is run without the server, as tests do."""
    return cast(RequestState, scope.get("state", {}))


class AsgiExchange:
    """One request, and the means to respond to it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, limit: int = MAX_MESSAGE_BYTES) -> None:
        self.scope = scope
        self._limit = limit
        """The largest body that is accepted, in bytes."""
        self._receive = receive
        self.send = send
        self._body_was_read = False
        self._headers: dict[bytes, bytes] = dict(scope["headers"])

    @property
    def verb(self) -> str:
        return str(self.scope["method"])

    @property
    def raw_path(self) -> str:
        """The path as it was sent, without its query."""
        return str(self.scope["raw_path"].decode("ascii", "replace"))

    @property
    def interceptors(self) -> Sequence[Interceptor]:
        """What the faults of this request run around the method that it calls."""
        return state_of(self.scope).get("interceptors", ())

    def header(self, name: bytes) -> str | None:
        """Return a header by its lower-case name, or None."""
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def content_type(self) -> str:
        """In lower case and without parameters, unless these name a charset other than UTF-8."""
        whole = (self.header(b"content-type") or "").lower()
        kind, _, parameters = whole.partition(";")
        charset = _CHARSET.search(parameters)
        return kind.strip() if charset is None or charset[1] == "utf-8" else whole

    async def body(self, timeout: float | None = None, check: CheckStart | None = None) -> bytes:
        """Read all of the body.

        Args:
            timeout: in seconds.
            check: called after each piece of the body, with its beginning and how much of it there is. Raises what a
                stream is to be refused with at once, since it may never end.

        Raises:
            RpcError: the body is too large or takes longer than the timeout, or `check` raised it.
        """
        if timeout is None:
            return await self._read_body(check)
        expired = RpcError("deadline_exceeded", "the deadline passed before the request was complete")
        if timeout <= 0:
            raise expired
        try:
            async with asyncio.timeout(timeout):
                return await self._read_body(check)
        except TimeoutError:
            # The connection has to end with the response, and must not wait for the rest of the body.
            self._body_was_read = True
            raise expired from None

    async def _read_body(self, check: CheckStart | None = None) -> bytes:
        chunks: list[bytes] = []
        head, size, more = b"", 0, True
        while more and size < MAX_DISCARDED_BYTES:
            message = await self._receive()
            if message["type"] != "http.request":
                raise Disconnected
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            more = message.get("more_body", False)
            if size > self._limit:
                chunks.clear()  # read on, but keep nothing: the memory in use stays within the limit
            elif chunk:
                chunks.append(chunk)
            if check is not None:
                head += chunk[: _HEAD_BYTES - len(head)]
                check(head, size)
        self._body_was_read = True
        if size > self._limit:
            raise too_large(self._limit)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def wait_for_disconnect(self) -> None:
        """Wait until the client disconnects. All of the body must have been read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def respond(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """Send a complete response at once, even if the request is not complete yet, and may never be.

        The response to HEAD has the same headers as that to GET, and no body.
        """
        length = (b"content-length", b"%d" % len(body))
        await self.send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        if self.verb == "HEAD":
            body = b""
        if not self._body_was_read and self.scope.get("http_version") != "2":
            # Over HTTP/1.1 the server closes a connection whose response ends before the request. If more of the body
            # arrives then, the close becomes a reset, which can destroy the response before it is read. So the end is
            # reported to the server only after the rest of the body; the client knows it by the content-length.
            await self.send({"type": "http.response.body", "body": body, "more_body": True})
            with suppress(RpcError):
                await self._read_body()
            body = b""
        await self.send({"type": "http.response.body", "body": body})

    async def respond_message(self, content_type: bytes, body: bytes) -> None:
        """Send a message with status 200, compressed when it is long and the client accepts gzip."""
        headers = [(b"content-type", content_type)]
        if len(body) >= _MIN_COMPRESSED_BYTES and self._accepts_gzip():
            body = compress(body)
            headers.append((b"content-encoding", b"gzip"))
        await self.respond(200, headers, body)

    def _accepts_gzip(self) -> bool:
        values = [value.decode("latin-1") for name, value in self.scope["headers"] if name == b"accept-encoding"]
        offers = [each for each in map(_CODING.fullmatch, ",".join(values).lower().split(",")) if each]
        weights = {each["name"]: float(each["weight"] or 1) for each in offers}
        gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0)))
        return gzip > 0 and gzip >= weights.get("identity", 0)

    async def respond_text(self, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
        """Send a line of plain text."""
        await self.respond(status, [(b"content-type", b"text/plain; charset=utf-8"), *headers], text.encode() + b"\n")

"""ASGI in small pieces: a request with its headers, its body within limits, and whole answers."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, TypeAlias

from ..interfaces import Refusal
from .codecs import MAX_MESSAGE_BYTES, compress, too_large

Scope: TypeAlias = Mapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]
Send: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

SKEW: ContextVar[float] = ContextVar("SKEW", default=0.0)
"""Seconds by which the Date of the current answer is off: a fault on purpose."""
MAX_DISCARDED_BYTES = 512 * 1024 * 1024
"""How much of a body that is too large is read away, so that its sender sees the answer."""
_WORTH_COMPRESSING = 1024
_CHARSET = re.compile(r"\bcharset\s*=\s*\"?([^\s;\"]*)")


class Disconnected(Exception):
    """The client left before its request was complete."""


class Exchange:
    """One request and the means to answer it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, limit: int = MAX_MESSAGE_BYTES) -> None:
        self.scope = scope
        self._limit = limit
        """The largest body that is taken, in bytes."""
        self._receive = receive
        self.send = send
        self._read = False
        self._headers: dict[bytes, bytes] = dict(scope["headers"])

    @property
    def verb(self) -> str:
        return str(self.scope["method"])

    @property
    def raw_path(self) -> str:
        """The path as it was sent, without its query."""
        return str(self.scope["raw_path"].decode("ascii", "replace"))

    def header(self, name: bytes) -> str | None:
        """A header by its lower-case name."""
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def content_type(self) -> str:
        """Lower case, without parameters; but one that says another charset than UTF-8 stays as it is."""
        whole = (self.header(b"content-type") or "").lower()
        kind, _, parameters = whole.partition(";")
        charset = _CHARSET.search(parameters)
        return kind.strip() if charset is None or charset[1] == "utf-8" else whole

    async def body(self, timeout: float | None = None) -> bytes:
        """All of the body. Raises `Refusal` when it is too large or does not arrive within `timeout` seconds."""
        if timeout is None:
            return await self._body()
        late = Refusal("deadline_exceeded", "the time that the client gave is over")
        if timeout <= 0:
            raise late
        try:
            async with asyncio.timeout(timeout):
                return await self._body()
        except TimeoutError:
            self._read = True
            raise late from None

    async def _body(self) -> bytes:
        chunks: list[bytes] = []
        size, more = 0, True
        while more and size < MAX_DISCARDED_BYTES:
            message = await self._receive()
            if message["type"] != "http.request":
                raise Disconnected
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            more = message.get("more_body", False)
            if size > self._limit:
                chunks.clear()
            elif chunk:
                chunks.append(chunk)
        self._read = True
        if size > self._limit:
            raise too_large(self._limit)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def gone(self) -> None:
        """Wait until the client hangs up; only after all of the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def drain(self) -> None:
        """Read away what has not been read of the body, however large.

        Answers come after it: an HTTP/1.1 connection ends with an answer that comes before, and resets take the answer
        along where more of the body is on its way.
        """
        if not self._read:
            with suppress(Refusal):
                await self._body()

    async def answer(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """Send a whole answer."""
        await self.drain()
        length = (b"content-length", b"%d" % len(body))
        await self.send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await self.send({"type": "http.response.body", "body": body})

    async def answer_message(self, content_type: bytes, body: bytes) -> None:
        """Send a success, compressed when it is long and the client wants it so."""
        headers = [(b"content-type", content_type)]
        if len(body) >= _WORTH_COMPRESSING and self._accepts_gzip():
            body = compress(body)
            headers.append((b"content-encoding", b"gzip"))
        await self.answer(200, headers, body)

    def _accepts_gzip(self) -> bool:
        offers = (self.header(b"accept-encoding") or "").split(",")
        return any(offer.partition(";")[0].strip() == "gzip" and not offer.endswith("q=0") for offer in offers)

    async def answer_text(self, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
        """Send a line of plain text."""
        await self.answer(status, [(b"content-type", b"text/plain; charset=utf-8"), *headers], text.encode() + b"\n")

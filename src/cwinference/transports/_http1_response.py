"""The response to a request over HTTP/1.1, as its connection receives it and its reader reads it.

No more is kept of it than its reader has to bear: the connection stops reading while a lot of it waits to be read.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

import httptools
import pyqwest

from .. import errors
from .._retry_rules import Hint

MOST_WAITING = 256 * 1024
"""How many bytes of a body wait for their reader before the connection stops reading."""
_MOST_FIELDS = 100
_LARGEST_HEAD = 512 * 1024
_MOST_OVERHEAD = 64 * 1024
"""How many bytes after the head may be no body: extensions of chunks, trailers."""
_PER_PIECE = 64
"""How many such bytes every piece of a body may have in addition, for the size of its chunk."""


class Pausable(Protocol):
    """What receives a response, and can be paused: its connection."""

    loop: asyncio.AbstractEventLoop

    def resume(self) -> None:
        """Go on reading, if it was stopped."""


class Response:
    """A response, as far as it was received; read piece by piece."""

    __slots__ = (
        "_connection",
        "_fields",
        "_has_begun",
        "_overhead",
        "_parser",
        "_pieces",
        "_waiter",
        "_waiting_bytes",
        "failure",
        "headers",
        "is_complete",
        "keeps_alive",
        "on_change",
        "status",
    )

    def __init__(self, connection: Pausable) -> None:
        self.status = 0
        self.headers: pyqwest.Headers
        """Known when it has begun."""
        self.is_complete = False
        self.keeps_alive = False
        """Whether the server accepts another request on the connection."""
        self.failure: errors.InferenceError | None = None
        """Why it will not become complete."""
        self.on_change: Callable[[], object] | None = None
        """Called when there is more of it, or no more, for who does not wait for it as its reader does."""
        self._connection = connection
        self._has_begun = False
        self._fields = list[tuple[bytes, bytes]]()
        self._pieces = list[bytes]()
        self._waiting_bytes = 0
        self._overhead = 0
        self._waiter: asyncio.Future[None] | None = None
        self._parser: httptools.HttpResponseParser | None = _parser_for(self)

    # --- for its reader

    async def begin(self) -> None:
        """Wait for its status and headers. Raises ApiError or ProtocolError."""
        while not self._has_begun:
            if self.failure is not None:
                raise self.failure
            await self._wait()

    @property
    def content(self) -> "Response":
        """The pieces of its body, as an iterator."""
        return self

    def __aiter__(self) -> "Response":
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece. Raises ApiError or ProtocolError."""
        while not self._pieces:
            if self.is_complete:
                raise StopAsyncIteration
            if self.failure is not None:
                raise self.failure
            await self._wait()
        pieces = self.take()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def take(self) -> list[bytes]:
        """Return the pieces that wait to be read, which may be none."""
        pieces, self._pieces = self._pieces, []
        self._waiting_bytes = 0
        self._connection.resume()
        return pieces

    async def aclose(self) -> None:
        """Let the event loop close the socket after a hang-up: a server that waits for room to send notices only that.

        Whoever has taken the connection gives it back.
        """
        if not self.is_complete:
            await asyncio.sleep(0)

    async def _wait(self) -> None:
        other = self._waiter
        self._waiter = waiter = self._connection.loop.create_future()
        try:
            await waiter
        finally:
            if self._waiter is waiter:
                self._waiter = None
            if other is not None and not other.done():  # another task reads the same stream, and waits as well
                other.set_result(None)

    # --- for its connection

    def receive(self, data: bytes) -> bool:
        """Take received bytes; return whether the connection should go on reading."""
        parser = self._parser
        if parser is None:
            self.keeps_alive = False  # nobody asked for more
            return False
        self._overhead += len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # to a protocol that was not asked for
            self.keeps_alive = False
        except httptools.HttpParserError as error:
            self.keeps_alive = False
            interruption = _interruption(error)
            if interruption is not None:
                self._fail(lost("its reading was interrupted", begun=True))
                self._wake()
                raise interruption from None
            self._fail(_unreadable(error))
        if self._overhead > (_MOST_OVERHEAD if self._has_begun else _LARGEST_HEAD):
            what = "what is no body" if self._has_begun else "message head"
            self._fail(errors.ProtocolError(f"the response cannot be read: {what} is too large"))
        self._overhead = max(0, self._overhead)
        self._wake()
        return self._waiting_bytes < MOST_WAITING

    def end(self, error: Exception | None) -> None:
        """Note that the connection is closed."""
        if error is None and self._has_begun and self._ends_with_connection():
            self.is_complete = True
        why = "the server closed it" if error is None else str(getattr(error, "strerror", None) or error)
        self._fail(lost(f"{why} {'within' if self._has_begun else 'before'} its response", begun=self._has_begun))
        self._wake()

    def _fail(self, failure: errors.InferenceError) -> None:
        if not self.is_complete and self.failure is None:
            self.failure = failure

    def _wake(self) -> None:
        """Let the reader go on, if there is something for it."""
        if self.is_complete or self.failure is not None:
            self._parser = None  # each refers to the other
        elif not self._pieces and not self._has_begun:
            return
        waiter = self._waiter
        if self.on_change is not None:
            self.on_change()
        elif waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _ends_with_connection(self) -> bool:
        """Return whether nothing else says where its body ends."""
        return "content-length" not in self.headers and not self._is_chunked()

    def _is_chunked(self) -> bool:
        return any("chunked" in coding.lower() for coding in self.headers.getall("transfer-encoding"))

    # --- for the parser, which calls these by name

    def on_message_begin(self) -> None:
        """Note that something follows its end, which makes the connection useless."""
        if self.is_complete:
            self.keeps_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; after the body, it is a trailer."""
        if not self._has_begun:
            self._fields.append((name, value))
        elif len(value) > _MOST_OVERHEAD:  # it may have come together with the end, so that nothing was counted yet
            raise ValueError("trailer is too large")

    def on_headers_complete(self) -> None:
        """Take the status, unless that of the final response is still to come."""
        parser = self._parser
        if parser is None or self.is_complete:
            return
        status = parser.get_status_code()
        if len(self._fields) > _MOST_FIELDS or not 100 <= status <= 999:
            raise ValueError("message head is too large" if self._fields else "invalid status parsed")
        if status >= 200 or status == 101:
            if self._overhead > _MOST_OVERHEAD:  # the head does not count any more; the rest may have begun to arrive
                self._overhead -= sum(len(name) + len(value) + 4 for name, value in self._fields)
            self.status, self.headers, self._has_begun = status, _headers(self._fields), True
        self._fields.clear()

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self._overhead -= len(piece) + _PER_PIECE
        if not self.is_complete:
            self._pieces.append(piece)
            self._waiting_bytes += len(piece)

    def on_message_complete(self) -> None:
        """Note the end, unless the final response is still to come."""
        if self._has_begun and not self.is_complete and self._parser is not None:
            clear = not ("content-length" in self.headers and self._is_chunked())  # it could end in two places
            self.is_complete, self.keeps_alive = True, clear and self._parser.should_keep_alive()


def _headers(fields: list[tuple[bytes, bytes]]) -> pyqwest.Headers:
    """Return headers; a value that is no text becomes an empty one."""
    try:
        return pyqwest.Headers([(str(name, "ascii"), str(value.strip(), "utf-8")) for name, value in fields])
    except ValueError:
        texts = [(str(name, "ascii"), str(value.strip(), "latin-1")) for name, value in fields]
        return pyqwest.Headers([(name, text if text.isascii() and text.isprintable() else "") for name, text in texts])


def _parser_for(response: Response) -> httptools.HttpResponseParser:
    """Return a parser that reads what browsers read: lines without CR, spaces after sizes, and a needless length."""
    parser = httptools.HttpResponseParser(response)
    parser.set_dangerous_leniencies(
        lenient_chunked_length=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
    )
    return parser


def _interruption(error: httptools.HttpParserError) -> BaseException | None:
    """Return what has interrupted a callback of the parser, such as KeyboardInterrupt. Only ValueErrors are ours."""
    cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
    return None if isinstance(cause, ValueError) else cause


def _unreadable(error: Exception) -> errors.ProtocolError:
    cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
    return errors.ProtocolError(f"the response cannot be read: {cause or error}")


def lost(why: str, *, begun: bool) -> errors.ApiError:
    """Return the error of a lost connection. If the response had begun, the model has run, and it is not retried."""
    return errors.with_hint(
        errors.Unavailable(f"the connection was lost: {why}"), Hint.NO_RETRY if begun else Hint.LOST
    )

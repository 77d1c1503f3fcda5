"""HTTP/1.1 to a model server: one connection per request, closed at once when the response is no longer wanted."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import h11

CONNECT_SECONDS = 5.0


class UpstreamError(Exception):
    """The model server cannot be reached, does not speak HTTP, or ended its response early."""


@dataclass(frozen=True)
class UpstreamResponse:
    """A response whose body is still arriving."""

    status: int
    headers: Mapping[str, str]
    """By their names in lower case."""
    body: AsyncIterator[bytes]
    """Raises `UpstreamError` when the response ends early."""


@asynccontextmanager
async def post(url: str, headers: Mapping[str, str], content: bytes) -> AsyncGenerator[UpstreamResponse]:
    """Send a POST request, and give its response to the `async with` block. Raises `UpstreamError`.

    Leaving the block closes the connection, whether or not all of the response was read: a model server stops
    generating when its client disconnects. That is why each request has a connection of its own.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    reader, writer = await _connect(parts.hostname or "", port, secure=parts.scheme == "https")
    try:
        connection = _UpstreamConnection(reader, writer)
        fixed = {"host": parts.netloc, "content-length": str(len(content)), "connection": "close"}
        await connection.send(h11.Request(method="POST", target=parts.path, headers=[*fixed.items(), *headers.items()]))
        await connection.send(h11.Data(data=content))
        await connection.send(h11.EndOfMessage())
        yield await connection.response()
    finally:
        # This also runs when the task is canceled, at whichever `await`. `close` takes effect at once: the server sees
        # the end of the connection even if another cancellation interrupts `wait_closed`.
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _connect(host: str, port: int, *, secure: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    with _translated_errors():
        async with asyncio.timeout(CONNECT_SECONDS):
            return await asyncio.open_connection(host, port, ssl=secure or None)


class _UpstreamConnection:
    """An open connection, and the state of HTTP on it, which h11 keeps."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT)

    async def send(self, event: Any) -> None:
        with _translated_errors():
            self._writer.write(cast(bytes | None, self._http.send(event)) or b"")
            await self._writer.drain()

    async def response(self) -> UpstreamResponse:
        head = await self._next_event()
        while isinstance(head, h11.InformationalResponse):
            head = await self._next_event()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        return UpstreamResponse(head.status_code, headers, self._body())

    async def _body(self) -> AsyncIterator[bytes]:
        while isinstance(event := await self._next_event(), h11.Data):
            yield bytes(event.data)

    async def _next_event(self) -> Any:
        with _translated_errors():
            # At the end of the connection `read` returns no bytes, and h11 knows whether the response was complete:
            # if not, the next event raises RemoteProtocolError.
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(65536))
            return event


@contextmanager
def _translated_errors() -> Generator[None]:
    try:
        yield
    except (OSError, h11.RemoteProtocolError) as error:
        raise UpstreamError(str(error) or type(error).__name__) from None

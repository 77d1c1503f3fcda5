"""HTTP/1.1 to a model server: one connection per exchange, closed at once when the exchange is given up."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import h11

CONNECT_SECONDS = 5.0


class Lost(Exception):
    """The server cannot be reached, or broke off."""


@dataclass(frozen=True)
class Response:
    """An answer whose body is still on its way; reading it raises `Lost` when it breaks off."""

    status: int
    headers: Mapping[str, str]
    """By their names in lower case."""
    body: AsyncIterator[bytes]


@asynccontextmanager
async def post(url: str, headers: Mapping[str, str], content: bytes) -> AsyncGenerator[Response]:
    """Send something. Raises `Lost`; leaving the block hangs up."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    reader, writer = await _connect(parts.hostname or "", port, secure=parts.scheme == "https")
    try:
        link = _Link(reader, writer)
        fixed = {"host": parts.netloc, "content-length": str(len(content)), "connection": "close"}
        await link.send(h11.Request(method="POST", target=parts.path, headers=[*fixed.items(), *headers.items()]))
        await link.send(h11.Data(data=content))
        await link.send(h11.EndOfMessage())
        yield await link.response()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _connect(host: str, port: int, *, secure: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    with _losses():
        async with asyncio.timeout(CONNECT_SECONDS):
            return await asyncio.open_connection(host, port, ssl=secure or None)


class _Link:
    """An open connection, on which h11 keeps the order of things."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._state = h11.Connection(h11.CLIENT)

    async def send(self, event: Any) -> None:
        with _losses():
            self._writer.write(cast(bytes | None, self._state.send(event)) or b"")
            await self._writer.drain()

    async def response(self) -> Response:
        head = await self._event()
        while isinstance(head, h11.InformationalResponse):
            head = await self._event()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        return Response(head.status_code, headers, self._body())

    async def _body(self) -> AsyncIterator[bytes]:
        while isinstance(event := await self._event(), h11.Data):
            yield bytes(event.data)

    async def _event(self) -> Any:
        with _losses():
            while (event := self._state.next_event()) is h11.NEED_DATA:
                self._state.receive_data(await self._reader.read(65536))
            return event


@contextmanager
def _losses() -> Generator[None]:
    try:
        yield
    except (OSError, h11.RemoteProtocolError) as error:
        raise Lost(str(error) or type(error).__name__) from None

"""A streamed completion: an iterator over its chunks, which hangs up when it is closed."""

import warnings
from collections.abc import AsyncGenerator, Generator
from inspect import Signature
from typing import Any, Self

from .._calls.closing import AsyncClosing, Closing
from ..errors import ApiError, ConfigurationError
from ..transports.completions import AsyncBody, SyncBody
from ._model_server import ModelServer
from ._request import CompletionRequest
from ._responses import Chunk, Usage
from ._stream_reader import StreamReader


class _Stream:
    """What both kinds of stream have in common."""

    __signature__ = Signature()  # users do not construct one

    def __init__(self, server: ModelServer, driver: Any, request: CompletionRequest, reader: StreamReader) -> None:
        self._server = server
        self._driver = driver
        self._request = request
        self._reader = reader
        self._body: Any = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._server}{', closed' if self._closed else ''}>"

    @property
    def text(self) -> str:
        """The text of the first choice so far; after an error, what came before it."""
        return self._reader.text

    @property
    def usage(self) -> Usage:
        """The tokens used, once the server has reported them."""
        return self._reader.usage

    _block = "a `with` block"

    def _begin(self) -> Any:
        """Send the request; return the open body, on `AsyncStream` a coroutine of it."""
        if self._closed:
            raise ConfigurationError("the stream is closed; request a new one")
        return self._driver.bind(self._server.open_stream)(self._request, self._reader)

    def _take_body(self) -> Any:
        """Return the body, to be closed, and count the outcome of the stream; None if that was done before."""
        body, self._body = self._body, None
        self._closed = True
        if body is not None:
            self._reader.count(self._server.counters)
        return body

    def _warn(self) -> None:
        warnings.warn(f"a stream was not closed; use it in {self._block}", ResourceWarning, stacklevel=3)


class Stream(Closing, _Stream):
    """A streamed completion of `Inference`: use it in a `with` block, and iterate over its chunks once.

    The request is sent when the block is entered, or at the first chunk. Leaving the block early, by break or by an
    error, hangs up, so that the server stops.
    """

    _body: SyncBody | None

    def __enter__(self) -> Self:
        self._open()
        return self

    def __iter__(self) -> Generator[Chunk]:
        reader = self._reader
        try:
            body = None if reader.done else self._open()
            while body is not None and not reader.done:
                try:
                    received = body.read(reader.begin())
                except ApiError as error:
                    raise reader.interrupted(error) from None
                yield from reader.receive(received)
            if self._body is not None:
                self._body.finish()
        finally:
            self.close()

    def close(self) -> None:
        """Hang up, if the stream has not ended; may be called again."""
        body = self._take_body()
        if body is not None:
            body.close()

    def __del__(self) -> None:
        if getattr(self, "_body", None) is not None:
            self._warn()
            self.close()

    def _open(self) -> SyncBody:
        if self._body is None:
            self._body = self._begin()
        assert self._body is not None  # noqa: S101
        return self._body


class AsyncStream(AsyncClosing, _Stream):
    """A streamed completion of `AsyncInference`: use it in an `async with` block, and iterate over its chunks once.

    The request is sent when the block is entered, or at the first chunk. Leaving the block early, by break, error or
    cancellation, hangs up, so that the server stops.
    """

    _body: AsyncBody | None
    _block = "an `async with` block"

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aiter__(self) -> AsyncGenerator[Chunk]:
        reader = self._reader
        try:
            body = None if reader.done else await self._open()
            while body is not None and not reader.done:
                try:
                    received = await body.read(reader.begin())
                except ApiError as error:
                    raise reader.interrupted(error) from None
                for chunk in reader.receive(received):
                    yield chunk
            if self._body is not None:
                await self._body.finish()
        finally:
            await self.close()

    async def close(self) -> None:
        """Hang up, if the stream has not ended; may be called again."""
        body = self._take_body()
        if body is not None:
            await body.close()

    def __del__(self) -> None:
        if getattr(self, "_body", None) is not None:
            self._warn()
            self._take_body().abandon()

    async def _open(self) -> AsyncBody:
        if self._body is None:
            self._body = await self._begin()
        assert self._body is not None  # noqa: S101
        return self._body

"""A streamed completion: an iterator over its chunks that hangs up when it is left."""

import warnings
from collections.abc import AsyncGenerator, Generator
from typing import Any, Self

from .._calls.closing import AsyncClosing, Closing
from ..errors import ApiError, ConfigurationError
from ..transports.completions import AsyncBody, SyncBody
from ._model_server import Front
from ._request import Prompt
from ._responses import Chunk, Usage
from ._stream_reader import Reader


class _Stream:
    """What both kinds of stream know."""

    def __init__(self, front: Front, driver: Any, prompt: Prompt, reader: Reader) -> None:
        self._front = front
        self._driver = driver
        self._prompt = prompt
        self._reader = reader
        self._body: Any = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._front}{', closed' if self._closed else ''}>"

    @property
    def text(self) -> str:
        """The text of the first choice so far; after an error, what came before it."""
        return self._reader.text

    @property
    def usage(self) -> Usage:
        """The tokens used, once the server has told them."""
        return self._reader.usage

    def _begin(self) -> Any:
        """Send the request; gives the open body, on `AsyncStream` a coroutine of it."""
        if self._closed:
            raise ConfigurationError("the stream is closed; ask for a new one")
        return self._driver.bind(self._front.open)(self._prompt, self._reader)

    def _give_up(self) -> Any:
        """Give the body up, to be closed, and count how the stream went; None when that was done before."""
        body, self._body = self._body, None
        self._closed = True
        if body is not None:
            self._reader.count(self._front.counters)
        return body

    def _warn(self) -> None:
        warnings.warn("a stream was dropped without being closed; use `with`", ResourceWarning, stacklevel=3)


class Stream(Closing, _Stream):
    """A streamed completion for threads: use it in a `with` block, and iterate over it once.

    The request is sent when the block is entered, or at the first step. Leaving early, by break or error, hangs up.
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
                    raise reader.broken(error) from None
                yield from reader.receive(received)
            if self._body is not None:
                self._body.finish()
        finally:
            self.close()

    def close(self) -> None:
        """Hang up, if it has not ended; may be called again."""
        body = self._give_up()
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
    """A streamed completion for event loops: use it in an `async with` block, and iterate over it once.

    The request is sent when the block is entered, or at the first step. Leaving early, by break, error or cancellation,
    hangs up.
    """

    _body: AsyncBody | None

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
                    raise reader.broken(error) from None
                for chunk in reader.receive(received):
                    yield chunk
            if self._body is not None:
                await self._body.finish()
        finally:
            await self.close()

    async def close(self) -> None:
        """Hang up, if it has not ended; may be called again."""
        body = self._give_up()
        if body is not None:
            await body.close()

    def __del__(self) -> None:
        if getattr(self, "_body", None) is not None:
            self._warn()
            self._give_up().abandon()

    async def _open(self) -> AsyncBody:
        if self._body is None:
            self._body = await self._begin()
        assert self._body is not None  # noqa: S101
        return self._body

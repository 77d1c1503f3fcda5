"""A streamed completion: an iterator over its chunks, which hangs up when it is closed."""

import warnings
from collections.abc import AsyncGenerator, Callable, Generator
from inspect import Signature
from typing import Any, Self

from .._calls.closing import AsyncClosing, Closing
from .._secrets import forget_locals
from .._text import safe_headers
from ..errors import ApiError, ConfigurationError, ProtocolError
from ..transports.completion_errors import note_response
from ..transports.completions import AsyncBody, SyncBody
from ..transports.http_errors import HttpHeaders
from ._model_server import ModelServer
from ._request import CompletionRequest
from ._responses import Chunk, Usage
from ._stream_reader import StreamReader
from ._weights import Weights


class _Stream:
    """What both kinds of stream have in common."""

    __signature__ = Signature()  # users do not construct one

    def __init__(
        self, server: ModelServer, begin: Callable[..., Any], request: CompletionRequest, reader: StreamReader
    ) -> None:
        self._server = server
        self._begin_request = begin
        self._request = request
        self._reader = reader
        self._body: Any = None
        self._closed = False
        self._headers: HttpHeaders | None = None
        self._attempts = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._server}{', closed' if self._closed else ''}>"

    @property
    def text(self) -> str:
        """The text of the first choice so far; after an error, what came before it."""
        return self._reader.text

    @property
    def usage(self) -> Usage | None:
        """The tokens used; None until the server has reported them, or if it never does."""
        return self._reader.usage

    @property
    def weights(self) -> Weights | None:
        """Which weights the model had, before the request and at its end, or by now; None unless `weights=True`."""
        observation = self._reader.seen_weights
        return None if observation is None else observation.weights()

    _block = "a `with` block"

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the response, by names in lower case, without secrets; empty before it has begun."""
        return {} if self._headers is None else safe_headers(self._headers.items())

    @property
    def attempts(self) -> int:
        """How many times the request was sent; 0 before it was."""
        return self._attempts

    def _begin(self) -> Any:
        """Send the request; return the open body, on `AsyncStream` a coroutine of it."""
        if self._closed:
            raise ConfigurationError("the stream is closed; request a new one")
        return self._begin_request(self._request, self._reader)

    def _note_opened(self, body: Any) -> None:
        self._body = body
        self._headers, self._attempts = body.headers, body.attempts

    def _take_body(self, error: BaseException | None = None) -> Any:
        """Return the body, to be closed, and report the outcome of the stream; None if that was done before."""
        body, self._body = self._body, None
        self._closed = True
        if error is not None:
            forget_locals(error)
        if body is not None:
            if isinstance(error, ApiError | ProtocolError):
                error.method, error.attempts = self._request.method.name, self._attempts
                note_response(error, body.status, body.headers)
            self._reader.end(self._server.counters, error)
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
        except BaseException as error:
            self._close(error)
            raise
        self._close()

    def close(self) -> None:
        """Hang up, if the stream has not ended; may be called again."""
        self._close()

    def _close(self, error: BaseException | None = None) -> None:
        body = self._take_body(error)
        if body is not None:
            body.close()

    def __del__(self) -> None:
        if getattr(self, "_body", None) is not None:
            self._warn()
            self.close()

    def _open(self) -> SyncBody:
        if self._body is None:
            self._note_opened(self._begin())
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
        except BaseException as error:
            await self._close(error)
            raise
        await self._close()

    async def close(self) -> None:
        """Hang up, if the stream has not ended; may be called again."""
        await self._close()

    async def _close(self, error: BaseException | None = None) -> None:
        body = self._take_body(error)
        if body is not None:
            await body.close()

    def __del__(self) -> None:
        if getattr(self, "_body", None) is not None:
            self._warn()
            self._take_body().abandon()

    async def _open(self) -> AsyncBody:
        if self._body is None:
            self._note_opened(await self._begin())
        assert self._body is not None  # noqa: S101
        return self._body

"""Whole HTTP responses: how their bodies are read, bounded in size, and decompressed."""

import time
from collections import deque
from typing import Any, NamedTuple

import pyqwest

from .. import errors
from .._text import safe_headers
from ._content_coding import check_size, decompress, decompress_error
from ._http1_usual import UsualResponse
from ._pyqwest import translate
from ._stream_ends import StreamEnds

ERROR_BYTES = 1024 * 1024
ERROR_SECONDS = 5.0
"""How much of the body of an error is read, and for how long: its status counts, and a retry should not wait."""

HTTP1 = pyqwest.HTTPVersion.HTTP1


class HttpResponse:
    """A whole HTTP response, decompressed."""

    __slots__ = ("_head", "_headers", "attempts", "body", "lost", "status")

    def __init__(self, status: int, headers: pyqwest.Headers | UsualResponse, body: bytes) -> None:
        self.status = status
        self._head = headers
        self._headers: pyqwest.Headers | None = None
        self.body = body
        self.attempts = 1
        """How many times the request was sent; set by whoever retries."""
        self.lost: errors.Unavailable | None = None
        """Of a response that is an error: that the connection was lost before its body was complete."""

    @property
    def headers(self) -> pyqwest.Headers:
        """Its headers, which are made when somebody asks for them."""
        if self._headers is None:
            self._headers = self._head.headers if isinstance(self._head, UsualResponse) else self._head
        return self._headers

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters."""
        return media_type(self.headers)


class Received(NamedTuple):
    """A response as it was received, not decompressed."""

    status: int
    headers: pyqwest.Headers
    body: bytes
    failure: Exception | None = None
    """Of a response that is an error: why its body is not complete."""


def whole(received: Received, limit: int) -> HttpResponse:
    """Return a response, decompressed up to `limit` bytes."""
    status, headers, body, failure = received
    if not is_success(status):
        body = decompress_error(body, content_encoding(headers), min(limit, ERROR_BYTES))
        response = HttpResponse(status, headers, body)
        if failure is not None:
            response.lost = _lost(failure, response)
        return response
    if "content-encoding" in headers:
        body = decompress(body, content_encoding(headers), limit)
    return HttpResponse(status, headers, body)


def read_body(response: pyqwest.SyncResponse, chunks: list[Any], limit: int) -> None:
    """Read a body into a list, of which the caller keeps what was received if this fails."""
    if is_success(response.status):
        check_size(announced_size(response.headers) or 0, limit)
    size = 0
    for chunk in response.content:
        size += len(chunk)
        check_size(size, limit)
        chunks.append(chunk)


async def read_body_async(
    response: pyqwest.Response, chunks: list[Any], limit: int, ends: StreamEnds, kept: deque[pyqwest.Response]
) -> None:
    """Read a body, as `read_body`. One of the announced size is complete, and often nothing after it has to be awaited.

    Then the response is added to those that are `kept`: dropping it now would reset its stream.
    """
    try:
        announced = announced_size(response.headers)
        if is_success(response.status):
            check_size(announced or 0, limit)
        size, is_stream = 0, response.http_version != HTTP1
        skip_end = not is_stream or ends.may_skip()
        began = complete = time.monotonic()
        async for chunk in response.content:
            size += len(chunk)
            check_size(size, limit)
            chunks.append(chunk)
            if size == announced and chunk:
                if skip_end and is_stream:
                    kept.append(response)
                if skip_end:
                    break
                complete = time.monotonic()
        if size == announced and not skip_end:
            ends.learn(end=time.monotonic() - complete, body=complete - began)
    except BaseException:
        await response.aclose()
        raise


def content_encoding(headers: pyqwest.Headers) -> str:
    """Return the codings of a body, separated by commas; empty if it has none."""
    return ", ".join(headers.getall("content-encoding"))


def is_success(status: int) -> bool:
    """Return whether an HTTP status means success."""
    return 200 <= status < 300


def media_type(headers: pyqwest.Headers) -> str:
    """Return the media type in lower case, without parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _lost(failure: Exception, response: HttpResponse) -> errors.Unavailable | None:
    """Return the error of a connection that was lost while a body was read; None if something else went wrong."""
    error = None if isinstance(failure, errors.InferenceError) else translate(failure, None)
    if not isinstance(error, errors.Unavailable):
        return None
    error.http_status, error.headers = response.status, safe_headers(response.headers.items())
    return error


def announced_size(headers: pyqwest.Headers) -> int | None:
    """Return the content-length; None if there is none."""
    text = headers.get("content-length", "")
    return int(text[:20]) if text.isdecimal() else None

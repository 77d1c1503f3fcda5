"""The Connect protocol's unary calls, spoken directly over our own HTTP.

connectrpc's client is not used: it makes UNAVAILABLE of whatever goes wrong below it and of every error body that is
not its own, hides the cause, and takes a third of the CPU time of a call.
"""

import math
from base64 import urlsafe_b64encode
from typing import NamedTuple
from urllib.parse import urlencode

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import DecodeError, Message

from .. import errors
from .._wire.json_reader import parse
from .._wire.methods import Method
from ..auth import Metadata
from ..config import USER_AGENT, Codec, Settings
from ._gzip import deflate
from ._http import Answer, AsyncHttp, SyncHttp
from .base import ResponseMetadata
from .http_errors import error_of

_HTTP_VERSION = 2
_MOST_MILLISECONDS = 9_999_999_999
"""The protocol allows ten digits."""
_TRAILER = "trailer-"


class ConnectTransport:
    """Connect for threads."""

    def __init__(self, settings: Settings, *, compress: bool = False, use_get: bool = False) -> None:
        self._http = SyncHttp(settings, _HTTP_VERSION)
        self._wire = _Wire(settings, compress, use_get)

    def send(
        self,
        method: Method,
        request: Message,
        metadata: Metadata,
        timeout: float | None,
        lost: list[str] | None = None,
        seen: ResponseMetadata | None = None,
    ) -> Message:
        try:
            answer = self._http.fetch(*self._wire.post_or_get(method, request, metadata, timeout), timeout)
            return self._wire.reply(method, answer, lost, seen)
        except (errors.ApiError, errors.ProtocolError) as error:
            error.method = method.name
            raise

    def close(self) -> None:
        self._http.close()


class AsyncConnectTransport:
    """Connect for event loops."""

    def __init__(self, settings: Settings, *, compress: bool = False, use_get: bool = False) -> None:
        self._http = AsyncHttp(settings, _HTTP_VERSION)
        self._wire = _Wire(settings, compress, use_get)

    async def send(
        self,
        method: Method,
        request: Message,
        metadata: Metadata,
        timeout: float | None,
        lost: list[str] | None = None,
        seen: ResponseMetadata | None = None,
    ) -> Message:
        try:
            answer = await self._http.fetch(*self._wire.post_or_get(method, request, metadata, timeout), timeout)
            return self._wire.reply(method, answer, lost, seen)
        except (errors.ApiError, errors.ProtocolError) as error:
            error.method = method.name
            raise

    async def close(self) -> None:
        await self._http.close()


class _Request(NamedTuple):
    """What goes to HTTP."""

    verb: str
    url: str
    headers: Metadata
    content: bytes | None


class _Wire:
    """Calls as HTTP requests, and HTTP answers as replies.

    `compress`: requests are gzipped. `use_get`: methods declared free of side effects are called by GET.
    """

    def __init__(self, settings: Settings, compress: bool, use_get: bool) -> None:
        self._base = settings.endpoint.url
        self._codec: Codec = settings.codec
        self._media_type = f"application/{settings.codec}"
        self._compress = compress
        self._use_get = use_get
        self._common = (("user-agent", USER_AGENT), ("accept-encoding", "gzip"))
        encoding = (("content-encoding", "gzip"),) if compress else ()
        self._of_post = (("content-type", self._media_type), ("connect-protocol-version", "1"), *encoding)

    def post_or_get(self, method: Method, request: Message, metadata: Metadata, timeout: float | None) -> _Request:
        """The request of a call. `timeout` in seconds; None for no limit."""
        content = request.SerializeToString() if self._codec == "proto" else _json_of(request)
        if self._compress:
            content = deflate(content)
        limit = () if timeout is None else (("connect-timeout-ms", _milliseconds(timeout)),)
        url = self._base + method.path
        if self._use_get and method.read_only:
            return _Request("GET", f"{url}?{self._query(content)}", (*metadata, *self._common, *limit), None)
        return _Request("POST", url, (*metadata, *self._common, *self._of_post, *limit), content)

    def reply(self, method: Method, answer: Answer, lost: list[str] | None, seen: ResponseMetadata | None) -> Message:
        """The reply in an answer; raises the error that it stands for."""
        if seen is not None:
            seen.headers = [pair for pair in answer.headers.items() if not pair[0].startswith(_TRAILER)]
            seen.trailers = [
                (name[len(_TRAILER) :], value) for name, value in answer.headers.items() if name.startswith(_TRAILER)
            ]
        if answer.status != 200:
            raise error_of(answer.status, answer.headers, answer.body, method.name)
        if answer.content_type != self._media_type:
            kind = answer.content_type or "without a content type"
            raise errors.ProtocolError(f"the answer is {kind}, not {self._media_type}", http_status=200)
        if self._codec == "json":
            return parse(answer.body, method.response, lost)
        try:
            return method.response.FromString(answer.body)
        except DecodeError:
            raise errors.ProtocolError(
                f"the answer ({len(answer.body)} bytes) is not a {method.response.DESCRIPTOR.name}", http_status=200
            ) from None

    def _query(self, content: bytes) -> str:
        """The parameters in the order that the protocol recommends for caches."""
        compression = {"compression": "gzip"} if self._compress else {}
        message = urlsafe_b64encode(content).decode("ascii").rstrip("=")
        return urlencode({"connect": "v1", "base64": "1", **compression, "encoding": self._codec, "message": message})


def _json_of(message: Message) -> bytes:
    return MessageToJson(message, indent=None, ensure_ascii=False).encode()


def _milliseconds(timeout: float) -> str:
    return str(min(max(1, math.ceil(timeout * 1000)), _MOST_MILLISECONDS))

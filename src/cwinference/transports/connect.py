"""The Connect protocol's unary calls, implemented directly on our HTTP.

connectrpc's client is not used: it turns any failure below it, and any error body that is not its own, into
UNAVAILABLE, hides the cause, and takes a third of the CPU time of a call.
"""

import math
from base64 import urlsafe_b64encode
from typing import NamedTuple
from urllib.parse import urlencode

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import DecodeError, Message

from .. import errors
from .._secrets import Secret
from .._text import safe_headers
from .._wire.json_reader import parse
from ..auth import Headers, Metadata, with_headers
from ..config import USER_AGENT, Codec, Settings
from ._content_coding import compress
from ._http import AsyncHttp, SyncHttp
from ._http_response import HttpResponse
from .base import UnaryCall
from .http_errors import error_of

_HTTP_VERSION = 2
_MOST_MILLISECONDS = 9_999_999_999
"""The protocol allows ten digits."""
_TRAILER = "trailer-"


class ConnectTransport:
    """Connect for threads."""

    def __init__(self, settings: Settings, *, compress: bool = False, use_get: bool = False) -> None:
        self._http = SyncHttp(settings, _HTTP_VERSION)
        self._protocol = _Protocol(settings, compress, use_get)

    def send(self, call: UnaryCall, metadata: Metadata, timeout: float | None) -> Message:
        try:
            response = self._http.fetch(*self._protocol.request(call, metadata, timeout), timeout)
            return self._protocol.message(call, response)
        except (errors.ApiError, errors.ProtocolError) as error:
            error.method = call.method.name
            raise

    def close(self) -> None:
        self._http.close()


class AsyncConnectTransport:
    """Connect for event loops."""

    def __init__(self, settings: Settings, *, compress: bool = False, use_get: bool = False) -> None:
        self._http = AsyncHttp(settings, _HTTP_VERSION)
        self._protocol = _Protocol(settings, compress, use_get)

    async def send(self, call: UnaryCall, metadata: Metadata, timeout: float | None) -> Message:
        try:
            response = await self._http.fetch(*self._protocol.request(call, metadata, timeout), timeout)
            return self._protocol.message(call, response)
        except (errors.ApiError, errors.ProtocolError) as error:
            error.method = call.method.name
            raise

    async def close(self) -> None:
        await self._http.close()


class _Request(NamedTuple):
    """An HTTP request."""

    verb: str
    url: str
    headers: Metadata
    content: bytes | None


class _Protocol:
    """Turns calls into HTTP requests, and HTTP responses into messages.

    `compress`: requests are gzipped. `use_get`: methods without side effects are called by GET.
    """

    def __init__(self, settings: Settings, compress: bool, use_get: bool) -> None:
        self._base = settings.endpoint.url
        self._codec: Codec = settings.codec
        self._media_type = f"application/{settings.codec}"
        self._compresses = compress
        self._use_get = use_get
        self._common: Headers = (("user-agent", USER_AGENT), ("accept-encoding", "gzip"))
        encoding = (("content-encoding", "gzip"),) if compress else ()
        of_post = (("content-type", self._media_type), ("connect-protocol-version", "1"), *encoding)
        self._of_post: Headers = (*self._common, *of_post)
        self._latest: tuple[Metadata | None, float | None, Metadata] = (None, None, Secret(()))

    def request(self, call: UnaryCall, metadata: Metadata, timeout: float | None) -> _Request:
        """Return the request of a call. `timeout` in seconds; None for no limit."""
        method = call.method
        content = call.request.SerializeToString() if self._codec == "proto" else _json_of(call.request)
        if self._compresses:
            content = compress(content)
        url = self._base + method.path
        if self._use_get and method.read_only:
            headers = with_headers(metadata, (*self._common, *_limit(timeout)))
            return _Request("GET", f"{url}?{self._query(content)}", headers, None)
        return _Request("POST", url, self._headers_of_post(metadata, timeout), content)

    def message(self, call: UnaryCall, response: HttpResponse) -> Message:
        """Return the message in a response; raise the error that it means."""
        received = call.response_metadata
        if received is not None:  # the trailers of a unary response are headers with a prefix
            pairs = [*response.headers.items()]
            received.headers = [pair for pair in pairs if not pair[0].startswith(_TRAILER)]
            received.trailers = [(name[len(_TRAILER) :], value) for name, value in pairs if name.startswith(_TRAILER)]
        if response.status != 200:
            raise response.lost or error_of(response.status, response.headers, response.body, call.method.name)
        try:
            return self._decoded(call, response)
        except errors.ProtocolError as error:
            error.http_status, error.headers = 200, safe_headers(response.headers.items())
            raise

    def _headers_of_post(self, metadata: Metadata, timeout: float | None) -> Metadata:
        """Return the headers of a POST: the same object as for the latest one, if nothing in it is different."""
        given, limit, headers = self._latest
        if given is not metadata or limit != timeout:
            headers = with_headers(metadata, (*self._of_post, *_limit(timeout)))
            self._latest = metadata, timeout, headers
        return headers

    def _decoded(self, call: UnaryCall, response: HttpResponse) -> Message:
        kind = call.method.response
        if response.content_type != self._media_type:
            media = response.content_type or "without a content type"
            raise errors.ProtocolError(f"the response is {media}, not {self._media_type}")
        if self._codec == "json":
            return parse(response.body, kind, call.unknown_fields)
        try:
            return kind.FromString(response.body)
        except DecodeError:
            raise errors.ProtocolError(
                f"the response ({len(response.body)} bytes) is not a {kind.DESCRIPTOR.name}"
            ) from None

    def _query(self, content: bytes) -> str:
        """Return the query of a GET, in the order that the protocol recommends for caches."""
        compression = {"compression": "gzip"} if self._compresses else {}
        message = urlsafe_b64encode(content).decode("ascii").rstrip("=")
        return urlencode({"connect": "v1", "base64": "1", **compression, "encoding": self._codec, "message": message})


def _json_of(message: Message) -> bytes:
    return MessageToJson(message, indent=None, ensure_ascii=False).encode()


def _limit(timeout: float | None) -> Headers:
    """Return the header that carries a timeout to the server."""
    if timeout is None:
        return ()
    return (("connect-timeout-ms", str(min(max(1, math.ceil(timeout * 1000)), _MOST_MILLISECONDS))),)

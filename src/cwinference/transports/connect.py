"""The Connect protocol, by connectrpc over our own HTTP. The only module that imports connectrpc.

connectrpc makes UNAVAILABLE of whatever goes wrong below it, and of every error body that is not its own. So the HTTP
below it is ours: it reads failed answers itself and raises our errors, which are taken out of connectrpc's again here.
Only POST is used, and nothing is compressed.
"""

import asyncio
import math
from typing import Any, NoReturn, cast

import pyqwest
from connectrpc.client import ConnectClient, ConnectClientSync
from connectrpc.code import Code
from connectrpc.compat import google_protobuf_binary_codec
from connectrpc.errors import ConnectError
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import DecodeError, Message

from .. import errors
from .._json import parse
from .._methods import Method
from ..auth import Metadata
from ..config import USER_AGENT, Settings
from ._answers import error_of
from ._http import Answer, AwaitingHttp, BlockingHttp

_HTTP_VERSION = 2


class BlockingTransport:
    """Connect for threads."""

    def __init__(self, settings: Settings) -> None:
        self._http = BlockingHttp(settings, _HTTP_VERSION)
        posts = _BlockingPosts(self._http, settings.codec)
        self._client = ConnectClientSync(http_client=cast(Any, posts), **_options(settings))
        self._methods: dict[str, MethodInfo[Any, Any]] = {}

    def send(
        self, method: Method, request: Message, metadata: Metadata, timeout: float | None, lost: list[str] | None = None
    ) -> Message:
        info = self._methods.get(method.path) or self._methods.setdefault(method.path, _info(method))
        try:
            reply: Message = self._client.execute_unary(
                request=request, method=info, headers=_headers(metadata), timeout_ms=_milliseconds(timeout)
            )
            return reply
        except ConnectError as error:
            _raise_ours(error, method, timeout)

    def close(self) -> None:
        self._http.close()


class AwaitingTransport:
    """Connect for event loops."""

    def __init__(self, settings: Settings) -> None:
        self._http = AwaitingHttp(settings, _HTTP_VERSION)
        posts = _AwaitingPosts(self._http, settings.codec)
        self._client = ConnectClient(http_client=cast(Any, posts), **_options(settings))
        self._methods: dict[str, MethodInfo[Any, Any]] = {}

    async def send(
        self, method: Method, request: Message, metadata: Metadata, timeout: float | None, lost: list[str] | None = None
    ) -> Message:
        info = self._methods.get(method.path) or self._methods.setdefault(method.path, _info(method))
        try:
            reply: Message = await self._client.execute_unary(
                request=request, method=info, headers=_headers(metadata), timeout_ms=_milliseconds(timeout)
            )
            return reply
        except ConnectError as error:
            _raise_ours(error, method, timeout)

    async def close(self) -> None:
        await self._http.close()


class _BlockingPosts:
    """What connectrpc asks of an HTTP client, over ours."""

    def __init__(self, http: BlockingHttp, codec: str) -> None:
        self._http = http
        self._codec = codec

    def post(
        self, url: str, headers: pyqwest.Headers, content: bytes, timeout: float | None = None
    ) -> pyqwest.FullResponse:
        return _checked(self._http.fetch("POST", url, headers, content, timeout), self._codec)


class _AwaitingPosts:
    """The same, awaiting. connectrpc keeps the time limit itself."""

    def __init__(self, http: AwaitingHttp, codec: str) -> None:
        self._http = http
        self._codec = codec

    async def post(self, url: str, headers: pyqwest.Headers, content: bytes) -> pyqwest.FullResponse:
        return _checked(await self._http.fetch("POST", url, headers, content, None), self._codec)


class _Json:
    """Connect's JSON codec over our own decoder."""

    def name(self) -> str:
        return "json"

    def encode(self, message: Message) -> bytes:
        return MessageToJson(message, indent=None, ensure_ascii=False).encode()

    def decode(self, data: bytes | bytearray, message_class: type[Message]) -> Message:
        return parse(bytes(data), message_class)


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "address": settings.endpoint.url,
        "codec": _Json() if settings.codec == "json" else google_protobuf_binary_codec(),
        "accept_compression": (),
        "send_compression": None,
    }


def _info(method: Method) -> MethodInfo[Any, Any]:
    info: MethodInfo[Any, Any] = MethodInfo(
        name=method.path.rpartition("/")[2],
        service_name=method.service,
        input=method.request,
        output=method.reply,
        idempotency_level=IdempotencyLevel.UNKNOWN,
        stream_type=StreamType.UNARY,
    )
    return info


def _headers(metadata: Metadata) -> dict[str, str]:
    return {"user-agent": USER_AGENT, **dict(metadata)}


def _milliseconds(timeout: float | None) -> int | None:
    """At least 1, because connectrpc takes 0 for "over already"; at most the 10 digits of the protocol."""
    return None if timeout is None else min(max(1, math.ceil(timeout * 1000)), 9_999_999_999)


def _checked(answer: Answer, codec: str) -> pyqwest.FullResponse:
    """A success in the right form; anything else is raised as our error, before connectrpc gives it another name."""
    if answer.status != 200:
        raise error_of(answer.status, answer.headers, answer.body, "")
    if answer.content_type != f"application/{codec}":
        raise errors.ProtocolError(f"the answer is {answer.content_type or 'without a content type'}", http_status=200)
    return pyqwest.FullResponse(answer.status, answer.headers, answer.body, pyqwest.Headers())


def _raise_ours(error: ConnectError, method: Method, timeout: float | None) -> NoReturn:
    cause = error.__cause__
    if isinstance(cause, asyncio.CancelledError):
        raise cause from None
    if isinstance(cause, errors.ApiError | errors.ProtocolError):
        cause.method = method.name
        raise cause from None
    if isinstance(cause, errors.InferenceError):
        raise cause from None
    if isinstance(cause, DecodeError):
        raise errors.ProtocolError(f"the answer is not a {method.reply.DESCRIPTOR.name}", method=method.name) from None
    if error.code is Code.DEADLINE_EXCEEDED:
        limit = "in time" if timeout is None else f"within {timeout:.3g} s"
        raise errors.DeadlineExceeded(f"no answer {limit}", method=method.name) from None
    raise errors.CODES[error.code.value](error.message, method=method.name) from None

"""REST/JSON, by the http rules of the methods."""

from google.protobuf.message import Message

from .. import errors
from .._wire.json_reader import parse
from .._wire.methods import Method
from ..auth import Metadata
from ..config import Settings
from ._http import Answer, AsyncHttp, SyncHttp, request_headers
from ._http_rule import target
from .base import ResponseMetadata
from .http_errors import error_of

_HTTP_VERSION = 1
_JSON = "application/json"


class RestTransport:
    """REST for threads."""

    def __init__(self, settings: Settings) -> None:
        self._base = settings.endpoint.url
        self._http = SyncHttp(settings, _HTTP_VERSION)

    def send(
        self,
        method: Method,
        request: Message,
        metadata: Metadata,
        timeout: float | None,
        lost: list[str] | None = None,
        seen: ResponseMetadata | None = None,
    ) -> Message:
        path, body = target(method, request)
        headers = request_headers(metadata, accept=_JSON, **_content_type(body))
        try:
            answer = self._http.fetch(_verb(method), self._base + path, headers, body, timeout)
        except (errors.ApiError, errors.ProtocolError) as error:
            error.method = method.name
            raise
        return _reply(answer, method, lost, seen)

    def close(self) -> None:
        self._http.close()


class AsyncRestTransport:
    """REST for event loops."""

    def __init__(self, settings: Settings) -> None:
        self._base = settings.endpoint.url
        self._http = AsyncHttp(settings, _HTTP_VERSION)

    async def send(
        self,
        method: Method,
        request: Message,
        metadata: Metadata,
        timeout: float | None,
        lost: list[str] | None = None,
        seen: ResponseMetadata | None = None,
    ) -> Message:
        path, body = target(method, request)
        headers = request_headers(metadata, accept=_JSON, **_content_type(body))
        try:
            answer = await self._http.fetch(_verb(method), self._base + path, headers, body, timeout)
        except (errors.ApiError, errors.ProtocolError) as error:
            error.method = method.name
            raise
        return _reply(answer, method, lost, seen)

    async def close(self) -> None:
        await self._http.close()


def _verb(method: Method) -> str:
    assert method.http is not None  # noqa: S101 - `target` has refused a method without a rule
    return method.http.verb


def _content_type(body: bytes | None) -> dict[str, str]:
    return {} if body is None else {"content_type": _JSON}


def _reply(answer: Answer, method: Method, lost: list[str] | None, seen: ResponseMetadata | None) -> Message:
    """The reply in the answer, or the error that it stands for."""
    if seen is not None:
        seen.headers = [*answer.headers.items()]
    if not 200 <= answer.status < 300:
        raise error_of(answer.status, answer.headers, answer.body, method.name)
    try:
        return parse(answer.body, method.response, lost)
    except errors.ProtocolError as error:
        error.method, error.http_status = method.name, answer.status
        raise

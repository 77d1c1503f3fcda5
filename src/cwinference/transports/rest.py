"""REST/JSON, by the http rules of the methods."""

from google.protobuf.message import Message

from .. import errors
from .._text import safe_headers
from .._wire.json_reader import parse
from .._wire.methods import Method
from ..auth import Metadata
from ..config import Settings
from ._http import AsyncHttp, SyncHttp, request_headers
from ._http_response import HttpResponse
from ._http_rule import target
from .base import UnaryCall
from .http_errors import error_of

_HTTP_VERSION = 1
_JSON = "application/json"


class RestTransport:
    """REST for threads."""

    def __init__(self, settings: Settings) -> None:
        self._base = settings.endpoint.url
        self._http = SyncHttp(settings, _HTTP_VERSION)

    def send(self, call: UnaryCall, metadata: Metadata, timeout: float | None) -> Message:
        path, body = target(call.method, call.request)
        headers = request_headers(metadata, accept=_JSON, **_content_type(body))
        try:
            response = self._http.fetch(_verb(call.method), self._base + path, headers, body, timeout)
        except (errors.ApiError, errors.ProtocolError) as error:
            error.method = call.method.name
            raise
        return _message(call, response)

    def close(self) -> None:
        self._http.close()


class AsyncRestTransport:
    """REST for event loops."""

    def __init__(self, settings: Settings) -> None:
        self._base = settings.endpoint.url
        self._http = AsyncHttp(settings, _HTTP_VERSION)

    async def send(self, call: UnaryCall, metadata: Metadata, timeout: float | None) -> Message:
        path, body = target(call.method, call.request)
        headers = request_headers(metadata, accept=_JSON, **_content_type(body))
        try:
            response = await self._http.fetch(_verb(call.method), self._base + path, headers, body, timeout)
        except (errors.ApiError, errors.ProtocolError) as error:
            error.method = call.method.name
            raise
        return _message(call, response)

    async def close(self) -> None:
        await self._http.close()


def _verb(method: Method) -> str:
    assert method.http is not None  # noqa: S101 - `target` has refused a method without a rule
    return method.http.verb


def _content_type(body: bytes | None) -> dict[str, str]:
    return {} if body is None else {"content_type": _JSON}


def _message(call: UnaryCall, response: HttpResponse) -> Message:
    """Return the message in a response; raise the error that it means."""
    method = call.method
    if call.response_metadata is not None:
        call.response_metadata.headers = [*response.headers.items()]
        call.response_metadata.json = response.body
    if not 200 <= response.status < 300:
        raise response.lost or error_of(response.status, response.headers, response.body, method.name)
    try:
        return parse(response.body, method.response, call.unknown_fields)
    except errors.ProtocolError as error:
        error.method, error.http_status = method.name, response.status
        error.headers = safe_headers(response.headers.items())
        raise

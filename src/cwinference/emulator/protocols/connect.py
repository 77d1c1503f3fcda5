"""The Connect protocol's unary calls: POST with binary or JSON, and GET for methods without side effects."""

import json
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from ..._wire.methods import Method
from ..interfaces import RpcError
from .asgi import AsgiExchange
from .codecs import HTTP_STATUS, JSON, PROTO, Codec, check_codec, decompress, pack
from .service import Service

CODECS: Mapping[str, Codec] = {"application/proto": PROTO, "application/json": JSON}
_BY_NAME = {codec.name: codec for codec in CODECS.values()}
_MAX_TIMEOUT_DIGITS = 10
"""The Connect protocol allows no more."""


class ConnectHandler:
    """Handles Connect calls."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def post(self, exchange: AsgiExchange, method: Method, codec: Codec) -> None:
        """Handle a call whose request is the body."""
        try:
            body = await exchange.body(_timeout(exchange.header(b"connect-timeout-ms")))
            if exchange.header(b"connect-protocol-version") not in (None, "1"):
                raise RpcError("invalid_argument", 'connect-protocol-version must be "1"')
            body = decompress(body, exchange.header(b"content-encoding") or "")
            response = self._call(exchange, method, codec, body)
        except RpcError as error:
            await _respond_error(exchange, error)
        else:
            await exchange.respond_message(b"application/" + codec.name.encode(), response)

    async def get(self, exchange: AsgiExchange, method: Method) -> None:
        """Handle a call whose request is in the query: only methods without side effects can be called so."""
        query = {name: values[-1] for name, values in _query(exchange).items()}
        codec = _BY_NAME.get(query.get("encoding", ""))
        if codec is None:
            await exchange.respond_text(415, "the query must contain encoding=proto or encoding=json")
            return
        try:
            await exchange.body(_timeout(exchange.header(b"connect-timeout-ms")))
            response = self._call(exchange, method, codec, _message_from_query(query))
        except RpcError as error:
            await _respond_error(exchange, error)
        else:
            await exchange.respond_message(b"application/" + codec.name.encode(), response)

    def _call(self, exchange: AsgiExchange, method: Method, codec: Codec, body: bytes) -> bytes:
        check_codec(method, codec)
        request = codec.decode(body, method.request)
        authorization = exchange.header(b"authorization")
        return self._service.respond(codec, method, request, authorization, exchange.interceptors)


async def _respond_error(exchange: AsgiExchange, error: RpcError) -> None:
    fields: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.details:
        fields["details"] = [
            {"type": each.type_url.rpartition("/")[2], "value": b64encode(each.value).decode().rstrip("=")}
            for each in pack(error.details)
        ]
    body = json.dumps(fields, ensure_ascii=False).encode()
    await exchange.respond(HTTP_STATUS[error.code], [(b"content-type", b"application/json")], body)


def _timeout(milliseconds: str | None) -> float | None:
    if milliseconds is None:
        return None
    if not (milliseconds.isascii() and milliseconds.isdecimal() and len(milliseconds) <= _MAX_TIMEOUT_DIGITS):
        raise RpcError("invalid_argument", f"connect-timeout-ms is not a number of milliseconds: {milliseconds!r}")
    return int(milliseconds) / 1000


def _query(exchange: AsgiExchange) -> Mapping[str, list[str]]:
    return parse_qs(exchange.scope["query_string"].decode("latin-1"), keep_blank_values=True)


def _message_from_query(query: Mapping[str, str]) -> bytes:
    if query.get("connect", "v1") != "v1":
        raise RpcError("invalid_argument", "connect must be v1")
    if "message" not in query:
        raise RpcError("invalid_argument", "the query must contain message")
    text = query["message"]
    if query.get("base64") != "1":
        return decompress(text.encode("utf-8", "surrogateescape"), query.get("compression", ""))
    try:
        body = b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)
    except (Base64Error, ValueError):
        raise RpcError("invalid_argument", "message is not base64") from None
    return decompress(body, query.get("compression", ""))

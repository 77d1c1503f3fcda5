"""The Connect protocol's unary calls: POST with binary or JSON, and GET for methods without side effects."""

import json
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from ..._wire.methods import Method
from ..interfaces import Refusal
from .asgi import Exchange
from .codecs import HTTP_STATUS, JSON, PROTO, Codec, check_codec, decompress, pack
from .service import Service

CODECS: Mapping[str, Codec] = {"application/proto": PROTO, "application/json": JSON}
_BY_NAME = {codec.name: codec for codec in CODECS.values()}
_LONGEST_TIMEOUT = 10


class Connect:
    """Answers Connect calls by the service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def post(self, exchange: Exchange, method: Method, codec: Codec) -> None:
        try:
            body = await exchange.body(_timeout(exchange.header(b"connect-timeout-ms")))
            if exchange.header(b"connect-protocol-version") not in (None, "1"):
                raise Refusal("invalid_argument", 'connect-protocol-version must be "1"')
            body = decompress(body, exchange.header(b"content-encoding") or "")
            reply = self._reply(exchange, method, codec, body)
        except Refusal as refusal:
            await answer_refusal(exchange, refusal)
        else:
            await exchange.answer_message(b"application/" + codec.name.encode(), reply)

    async def get(self, exchange: Exchange, method: Method) -> None:
        query = {name: values[-1] for name, values in _query(exchange).items()}
        codec = _BY_NAME.get(query.get("encoding", ""))
        if codec is None:
            await exchange.answer_text(415, "the query must say encoding=proto or encoding=json")
            return
        try:
            await exchange.body(_timeout(exchange.header(b"connect-timeout-ms")))
            reply = self._reply(exchange, method, codec, _message_in(query))
        except Refusal as refusal:
            await answer_refusal(exchange, refusal)
        else:
            await exchange.answer_message(b"application/" + codec.name.encode(), reply)

    def _reply(self, exchange: Exchange, method: Method, codec: Codec, body: bytes) -> bytes:
        check_codec(method, codec)
        request = codec.decode(body, method.request)
        return codec.encode(self._service.call(method, request, exchange.header(b"authorization")))


async def answer_refusal(exchange: Exchange, refusal: Refusal) -> None:
    """An error in Connect's form."""
    error: dict[str, Any] = {"code": refusal.code, "message": refusal.message}
    if refusal.details:
        error["details"] = [
            {"type": each.type_url.rpartition("/")[2], "value": b64encode(each.value).decode().rstrip("=")}
            for each in pack(refusal.details)
        ]
    body = json.dumps(error, ensure_ascii=False).encode()
    await exchange.answer(HTTP_STATUS[refusal.code], [(b"content-type", b"application/json")], body)


def _timeout(milliseconds: str | None) -> float | None:
    if milliseconds is None:
        return None
    if not (milliseconds.isascii() and milliseconds.isdecimal() and len(milliseconds) <= _LONGEST_TIMEOUT):
        raise Refusal("invalid_argument", f"connect-timeout-ms is not a number of milliseconds: {milliseconds!r}")
    return int(milliseconds) / 1000


def _query(exchange: Exchange) -> Mapping[str, list[str]]:
    return parse_qs(exchange.scope["query_string"].decode("latin-1"), keep_blank_values=True)


def _message_in(query: Mapping[str, str]) -> bytes:
    if query.get("connect", "v1") != "v1":
        raise Refusal("invalid_argument", "connect must be v1")
    if "message" not in query:
        raise Refusal("invalid_argument", "the query holds no message")
    text = query["message"]
    if query.get("base64") != "1":
        return decompress(text.encode("utf-8", "surrogateescape"), query.get("compression", ""))
    try:
        body = b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)
    except (Base64Error, ValueError):
        raise Refusal("invalid_argument", "message is not base64") from None
    return decompress(body, query.get("compression", ""))

"""gRPC and gRPC-Web, which differ in where the trailers stand: after the answer, or as its last frame."""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from urllib.parse import quote

from google.rpc import status_pb2

from ..._wire.methods import Method
from ..interfaces import Refusal
from .asgi import Exchange, Headers
from .codecs import GRPC_NUMBERS, JSON, MAX_MESSAGE_BYTES, PROTO, Codec, check_codec, decompress, pack, too_large
from .service import Service

CODECS: Mapping[str, Codec] = {
    "application/grpc": PROTO,
    "application/grpc+proto": PROTO,
    "application/grpc+json": JSON,
}
WEB_CODECS: Mapping[str, Codec] = {
    f"application/grpc-web{text}{suffix}": codec
    for text in ("", "-text")
    for suffix, codec in (("", PROTO), ("+proto", PROTO), ("+json", JSON))
}

_OK: Headers = [(b"grpc-status", b"0")]
_END = {"type": "http.response.body", "body": b""}
_PREFIX = 5
_COMPRESSED = 1
_TRAILERS = 0x80
_MAX_DETAILS = 6 * 1024
"""Bytes of details that still fit into the 8 KiB of metadata which clients accept by default."""
_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_TIMEOUT = re.compile(r"(\d{1,8})([HMSmun])")
_PLAIN = "".join(chr(each) for each in range(0x20, 0x7F) if chr(each) != "%")


class Grpc:
    """Answers gRPC and gRPC-Web calls by the service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def call(self, exchange: Exchange, method: Method | None, codec: Codec) -> None:
        """Answer over HTTP/2, with trailers; without a method, that there is none."""
        if exchange.scope["http_version"] != "2":
            await exchange.answer_text(505, "gRPC needs HTTP/2", (b"connection", b"close"))
            return
        try:
            body = await exchange.body(_timeout(exchange.header(b"grpc-timeout")))
            message, trailers = self._reply(exchange, method, codec, body), _OK
        except Refusal as refusal:
            message, trailers = b"", _trailers(refusal)
        send = exchange.send
        headers = [(b"content-type", (exchange.header(b"content-type") or "").encode("latin-1"))]
        if trailers is not _OK:
            await exchange.drain()
            headers.append((b"grpc-accept-encoding", b"gzip,identity"))
        await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": True})
        await send({"type": "http.response.body", "body": message} if message else _END)
        await send({"type": "http.response.trailers", "headers": trailers})

    async def call_web(self, exchange: Exchange, method: Method | None, codec: Codec) -> None:
        """Answer over any HTTP, with the trailers as the last frame, and in base64 where the client wants text."""
        text = "-text" in exchange.content_type
        try:
            body = await exchange.body(_timeout(exchange.header(b"grpc-timeout")))
            message = self._reply(exchange, method, codec, _from_text(body) if text else body)
            trailers = _OK
        except Refusal as refusal:
            message, trailers = b"", _trailers(refusal)
        lines = b"".join(b"%s: %s\r\n" % pair for pair in trailers)
        body = message + _frame(lines, _TRAILERS)
        await exchange.answer(
            200, [(b"content-type", exchange.content_type.encode())], b64encode(body) if text else body
        )

    def _reply(self, exchange: Exchange, method: Method | None, codec: Codec, body: bytes) -> bytes:
        if method is None:
            raise Refusal("unimplemented", f"unknown method {exchange.scope['path']}")
        check_codec(method, codec)
        request = codec.decode(_unframe(body, exchange.header(b"grpc-encoding") or ""), method.request)
        return _frame(codec.encode(self._service.call(method, request, exchange.header(b"authorization"))))


def _frame(message: bytes, flags: int = 0) -> bytes:
    return bytes((flags,)) + len(message).to_bytes(4, "big") + message


def _unframe(body: bytes, encoding: str) -> bytes:
    """The one message in the body of a unary call."""
    if not body:
        raise Refusal("unimplemented", "unary request has zero messages")
    end = _PREFIX + int.from_bytes(body[1:_PREFIX], "big")
    if len(body) < _PREFIX or len(body) < end:
        if end > MAX_MESSAGE_BYTES:
            raise too_large()
        raise Refusal("invalid_argument", "protocol error: incomplete envelope")
    if len(body) > end:
        raise Refusal("unimplemented", "unary request has multiple messages")
    if body[0] & ~_COMPRESSED:
        raise Refusal("internal", f"protocol error: invalid envelope flags {body[0]:#x}")
    if not body[0]:
        return body[_PREFIX:]
    if encoding in ("", "identity"):
        raise Refusal("internal", "protocol error: sent compressed message without compression support")
    return decompress(body[_PREFIX:], encoding)


def _trailers(refusal: Refusal) -> Headers:
    number = GRPC_NUMBERS[refusal.code]
    trailers = [
        (b"grpc-status", b"%d" % number),
        (b"grpc-message", quote(refusal.message, safe=_PLAIN).encode("ascii")),
    ]
    if refusal.details:
        status = status_pb2.Status(code=number, message=refusal.message, details=pack(refusal.details))
        encoded = b64encode(status.SerializeToString()).rstrip(b"=")
        if len(encoded) <= _MAX_DETAILS:
            trailers.append((b"grpc-status-details-bin", encoded))
    return trailers


def _timeout(text: str | None) -> float | None:
    if text is None:
        return None
    found = _TIMEOUT.fullmatch(text)
    if found is None:
        raise Refusal("invalid_argument", f"protocol error: invalid grpc-timeout {text!r}")
    return int(found[1]) * _SECONDS[found[2]]


def _from_text(body: bytes) -> bytes:
    """Undo base64, which may come in several pieces that are padded each."""
    try:
        return b"".join(b64decode(piece, validate=True) for piece in re.findall(rb"[^=]+=*", body))
    except (Base64Error, ValueError):
        raise Refusal("invalid_argument", "protocol error: the body is not base64") from None

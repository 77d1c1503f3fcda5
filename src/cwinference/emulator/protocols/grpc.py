"""gRPC and gRPC-Web. They differ in how a status is sent: as HTTP/2 trailers, or as the last frame of the body."""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from urllib.parse import quote

from google.rpc import status_pb2

from ..._wire.methods import Method
from ..interfaces import RpcError
from .asgi import AsgiExchange, Headers
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
"""Bytes before each message: one of flags, and the message's length in four, big-endian."""
_COMPRESSED = 1
"""Flag of a message that is compressed."""
_TRAILERS = 0x80
"""Flag of gRPC-Web's last frame, whose content is the trailers as lines of text."""
_MAX_DETAILS = 6 * 1024
"""The largest error details sent, in bytes of base64. Clients accept 8 KiB of metadata in all by default."""
_MAX_MESSAGE = 1536
"""The longest error message sent, in percent-encoded bytes."""
_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_TIMEOUT = re.compile(r"(\d{1,8})([HMSmun])")
_UNQUOTED = "".join(chr(each) for each in range(0x20, 0x7F) if chr(each) != "%")
"""The characters that `grpc-message` does not percent-encode."""


class GrpcHandler:
    """Handles gRPC and gRPC-Web calls."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def call(self, exchange: AsgiExchange, method: Method | None, codec: Codec) -> None:
        """Handle a gRPC call, whose status is sent as HTTP/2 trailers. None as method: the path names no known one."""
        if exchange.scope["http_version"] != "2":
            await exchange.respond_text(505, "gRPC needs HTTP/2", (b"connection", b"close"))
            return
        try:
            method = _known(exchange, method)
            body = await exchange.body(_timeout(exchange.header(b"grpc-timeout")), _check_start)
            message, trailers = self._call(exchange, method, codec, body), _OK
        except RpcError as error:
            message, trailers = b"", _error_trailers(error)
        send = exchange.send
        headers = [(b"content-type", (exchange.header(b"content-type") or "").encode("latin-1"))]
        if trailers is not _OK:
            headers.append((b"grpc-accept-encoding", b"gzip,identity"))
        # ASGI sends trailers only when the start of the response announces them. The body has to end explicitly, even
        # when an error leaves it empty: the trailers come after its last part.
        await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": True})
        await send({"type": "http.response.body", "body": message} if message else _END)
        await send({"type": "http.response.trailers", "headers": trailers})

    async def call_web(self, exchange: AsgiExchange, method: Method | None, codec: Codec) -> None:
        """Handle a gRPC-Web call, over any HTTP version; in its text form request and response are base64."""
        text = "-text" in exchange.content_type
        try:
            method = _known(exchange, method)
            body = await exchange.body(_timeout(exchange.header(b"grpc-timeout")), None if text else _check_start)
            message = self._call(exchange, method, codec, _from_base64(body) if text else body)
            trailers = _OK
        except RpcError as error:
            message, trailers = b"", _error_trailers(error)
        # Browsers hide HTTP trailers from scripts, so gRPC-Web sends them in the body, as a frame of their own.
        lines = b"".join(b"%s: %s\r\n" % pair for pair in trailers)
        body = message + _frame(lines, _TRAILERS)
        await exchange.respond(
            200, [(b"content-type", exchange.content_type.encode())], b64encode(body) if text else body
        )

    def _call(self, exchange: AsgiExchange, method: Method, codec: Codec, body: bytes) -> bytes:
        check_codec(method, codec)
        request = codec.decode(_unframe(body, exchange.header(b"grpc-encoding") or ""), method.request)
        authorization = exchange.header(b"authorization")
        return _frame(self._service.respond(codec, method, request, authorization, exchange.interceptors))


def _known(exchange: AsgiExchange, method: Method | None) -> Method:
    """Return the method if it is a known one. Raises `RpcError` before the body, which may be an endless stream."""
    if method is None:
        raise RpcError("unimplemented", f"unknown method {exchange.scope['path']}")
    return method


def _frame(message: bytes, flags: int = 0) -> bytes:
    return bytes((flags,)) + len(message).to_bytes(4, "big") + message


def _end_of_message(body: bytes) -> int:
    """Return where the first message of a body ends by its prefix, which can be beyond what was sent."""
    return _PREFIX + int.from_bytes(body[1:_PREFIX], "big")


def _check_start(head: bytes, size: int) -> None:
    """Refuse the body of a unary call as soon as there is more in it than one message, or something else."""
    if size >= _PREFIX and size > _end_of_message(head):
        raise RpcError("unimplemented", "unary request has multiple messages")
    if head and head[0] & ~_COMPRESSED:
        raise RpcError("internal", f"protocol error: invalid envelope flags {head[0]:#x}")


def _unframe(body: bytes, encoding: str) -> bytes:
    """Return the message in the body of a unary call: exactly one, decompressed."""
    if not body:
        raise RpcError("unimplemented", "unary request has zero messages")
    # A length beyond the limit counts as too large even if less was sent, as on servers that look at the prefix alone.
    end = _end_of_message(body)
    if len(body) < _PREFIX or len(body) < end:
        if end > MAX_MESSAGE_BYTES:
            raise too_large()
        raise RpcError("invalid_argument", "protocol error: incomplete envelope")
    _check_start(body, len(body))
    if not body[0]:
        return body[_PREFIX:]
    if encoding in ("", "identity"):
        raise RpcError("internal", "protocol error: sent compressed message without compression support")
    return decompress(body[_PREFIX:], encoding)


def _error_trailers(error: RpcError) -> Headers:
    number = GRPC_NUMBERS[error.code]
    trailers = [
        (b"grpc-status", b"%d" % number),
        (b"grpc-message", _quote_message(error.message)),
    ]
    if error.details:
        # `grpc-status-details-bin` repeats code and message next to the details; without padding, as gRPC prefers.
        status = status_pb2.Status(code=number, message=error.message, details=pack(error.details))
        encoded = b64encode(status.SerializeToString()).rstrip(b"=")
        if len(encoded) <= _MAX_DETAILS:
            trailers.append((b"grpc-status-details-bin", encoded))
    return trailers


def _quote_message(message: str) -> bytes:
    """Percent-encode an error message, and shorten one with which clients would refuse the metadata as too large."""
    lengths = (len(message), _MAX_MESSAGE, _MAX_MESSAGE // 12)  # a character has twelve bytes at most
    quoted = (quote(message[:length], safe=_UNQUOTED).encode("ascii") for length in lengths)
    return next(each for each in quoted if len(each) <= _MAX_MESSAGE)


def _timeout(text: str | None) -> float | None:
    if text is None:
        return None
    found = _TIMEOUT.fullmatch(text)
    if found is None:
        raise RpcError("invalid_argument", f"protocol error: invalid grpc-timeout {text!r}")
    return int(found[1]) * _SECONDS[found[2]]


def _from_base64(body: bytes) -> bytes:
    """Decode base64, which may consist of several parts that are padded separately."""
    try:
        return b"".join(b64decode(piece, validate=True) for piece in re.findall(rb"[^=]+=*", body))
    except (Base64Error, ValueError):
        raise RpcError("invalid_argument", "protocol error: the body is not base64") from None

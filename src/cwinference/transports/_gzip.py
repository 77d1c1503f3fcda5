"""Compressed bodies, decompressed only up to a limit: a small one must not fill the memory."""

import gzip
import zlib

from ..errors import ProtocolError

_GZIP = 16 + zlib.MAX_WBITS


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """Return the body without its encoding. Raises ProtocolError if that is not gzip, and over the limit."""
    if encoding == "identity":
        return body
    if encoding != "gzip":
        raise ProtocolError(f"the response has the encoding {encoding[:40]!r}, which was not requested")
    stream = zlib.decompressobj(_GZIP)
    try:
        plain = stream.decompress(body, limit + 1)
    except zlib.error:
        raise ProtocolError("the response is not gzip, as its headers say") from None
    check_size(len(plain), limit)
    if not stream.eof or stream.unused_data:
        raise ProtocolError("the gzip data of the response is truncated or followed by something else")
    return plain


def check_size(size: int, limit: int) -> None:
    """Refuse a response that is over the limit."""
    if size > limit:
        raise ProtocolError(f"the response is larger than max_reply_bytes ({limit})")


def compress(body: bytes) -> bytes:
    """Return the body as gzip."""
    return gzip.compress(body, mtime=0)

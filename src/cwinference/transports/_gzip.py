"""Compressed bodies, inflated no further than a limit: a small one must not grow in memory without a bound."""

import gzip
import zlib

from ..errors import ProtocolError

_GZIP = 16 + zlib.MAX_WBITS


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its content encoding; ProtocolError on any but `gzip` and `identity`, and over the limit."""
    if encoding == "identity":
        return body
    if encoding != "gzip":
        raise ProtocolError(f"the answer has the encoding {encoding[:40]!r}, which was not asked for")
    stream = zlib.decompressobj(_GZIP)
    try:
        plain = stream.decompress(body, limit + 1)
    except zlib.error:
        raise ProtocolError("the answer is not gzip, as it says") from None
    check_size(len(plain), limit)
    if not stream.eof or stream.unused_data:
        raise ProtocolError("the answer's gzip is cut short or followed by something else")
    return plain


def check_size(size: int, limit: int) -> None:
    """Refuse an answer that is over the limit."""
    if size > limit:
        raise ProtocolError(f"the answer is larger than max_reply_bytes ({limit})")


def deflate(body: bytes) -> bytes:
    """The body as gzip."""
    return gzip.compress(body, mtime=0)

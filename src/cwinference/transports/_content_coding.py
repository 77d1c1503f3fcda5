"""Content codings of HTTP (RFC 9110, section 8.4), undone up to a limit: a small body must not fill the memory.

Whole bodies and streams are decoded by the same code. What a server sends with an error is decoded as far as it goes:
whatever is wrong with the body, the status counts.
"""

import gzip
import zlib
from collections.abc import Iterator
from typing import Protocol

from ..errors import ProtocolError

_WBITS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_PIECE = 1024 * 1024
"""How many bytes are made at once of a compressed stream, which is what its reader has to bear."""
_MAX_CODINGS = 3


class Decoder(Protocol):
    """Undoes a coding, piece by piece."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what the data becomes. Raises ProtocolError if it is not what it claims to be."""
        ...

    def end(self) -> None:
        """Raise ProtocolError if more data should have come."""
        ...


class _Inflater:
    """Undoes gzip, of any number of members, or deflate. No bytes at all are an empty body."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._stream = zlib.decompressobj(_WBITS[coding])
        self._is_empty = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._stream.eof:
                self._next_member(data)
            self._is_empty = False
            try:
                plain = self._stream.decompress(data, _PIECE)
            except zlib.error:
                raise ProtocolError(f"the response is not {self._coding}, as its headers say") from None
            data = self._stream.unconsumed_tail or (self._stream.unused_data if self._stream.eof else b"")
            if plain:
                yield plain

    def end(self) -> None:
        if not self._stream.eof and not self._is_empty:
            raise ProtocolError(f"the {self._coding} data of the response is truncated")

    def _next_member(self, data: bytes) -> None:
        """Start with another gzip member; anything else after the end is not part of the coding."""
        if "gzip" not in self._coding or not data.startswith(b"\x1f\x8b"[: len(data)]):
            raise ProtocolError(f"the {self._coding} data of the response is followed by something else")
        self._stream = zlib.decompressobj(_WBITS[self._coding])


class _Chain:
    """Undoes several codings, the last one first."""

    def __init__(self, codings: list[str]) -> None:
        self._decoders = [_Inflater(coding) for coding in reversed(codings)]

    def feed(self, data: bytes) -> Iterator[bytes]:
        pieces: Iterator[bytes] = iter([data])
        for decoder in self._decoders:
            pieces = _through(decoder, pieces)
        return pieces

    def end(self) -> None:
        for decoder in self._decoders:
            decoder.end()


def _through(decoder: _Inflater, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield from decoder.feed(piece)


def decoder_for(encoding: str) -> Decoder | None:
    """Return what undoes the codings of a `content-encoding` header; None if there are none.

    Raises ProtocolError for codings that we do not know, and so did not ask for.
    """
    codings = [name for each in encoding.split(",") if (name := each.strip().lower()) not in ("", "identity")]
    unknown = next((name for name in codings if name not in _WBITS), None)
    if unknown is not None or len(codings) > _MAX_CODINGS:
        raise ProtocolError(f"the response has the encoding {encoding[:40]!r}, which was not requested")
    return _Chain(codings) if codings else None


class BodyDecoder:
    """Undoes the codings of a `content-encoding` header for a body that is read piece by piece.

    A coding that is cut off is no error here: streams have end marks of their own.
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._decoder: Decoder | None = None
        self._pieces: Iterator[bytes] = iter(())
        """What is left of the bytes that were received last."""

    def next(self) -> bytes | None:
        """Return more of what was received last; None if there is no more."""
        return next(self._pieces, None)

    def feed(self, received: bytes) -> bytes | None:
        """Return what was received, or the first part of it, decoded; None if it becomes nothing yet.

        Raises ProtocolError if it is not in the codings, or if they are not known.
        """
        if self._decoder is None:
            self._decoder = decoder_for(self._encoding)
            if self._decoder is None:
                return received
        self._pieces = self._decoder.feed(received)
        return next(self._pieces, None)


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """Return a whole body without its codings. Raises ProtocolError if they are wrong, or over the limit."""
    decoder = decoder_for(encoding)
    if decoder is None:
        return body
    plain = bytearray()
    for piece in decoder.feed(body):
        plain += piece
        check_size(len(plain), limit)
    decoder.end()
    return bytes(plain)


def decompress_error(body: bytes, encoding: str, limit: int) -> bytes:
    """Return the body of an error without its codings, as far as that is possible. Never raises."""
    plain = bytearray()
    try:
        decoder = decoder_for(encoding)
        if decoder is None:
            return body[:limit]
        for piece in decoder.feed(body):
            plain += piece
            if len(plain) > limit:
                break
    except ProtocolError:
        pass
    return bytes(plain[:limit])


def check_size(size: int, limit: int) -> None:
    """Refuse a response that is over the limit."""
    if size > limit:
        raise ProtocolError(f"the response is larger than max_reply_bytes ({limit})")


def compress(body: bytes) -> bytes:
    """Return the body as gzip."""
    return gzip.compress(body, mtime=0)

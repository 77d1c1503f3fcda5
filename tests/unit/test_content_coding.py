"""Content codings: what they become, however they are spelled and cut, and within a limit."""

import gzip
import time
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cwinference.errors import ProtocolError
from cwinference.transports._content_coding import compress, decoder_for, decompress, decompress_error

LIMIT = 1 << 20
TEXT = b"What is the capital of France? " * 50

SPELLINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "GZIP": gzip.compress,
    "x-gzip": gzip.compress,
    "X-Gzip": gzip.compress,
    "deflate": zlib.compress,
    "DEFLATE": zlib.compress,
    "identity": bytes,
    "": bytes,
    " , ,": bytes,
    "identity, identity": bytes,
    " gzip\t, identity,": gzip.compress,
    "deflate, gzip": lambda body: gzip.compress(zlib.compress(body)),
    "gzip,deflate,x-gzip": lambda body: gzip.compress(zlib.compress(gzip.compress(body))),
}


def decode(pieces: list[bytes], coding: str) -> bytes:
    """Return what a stream of pieces becomes."""
    decoder = decoder_for(coding)
    assert decoder is not None
    plain = b"".join(piece for received in pieces for piece in decoder.feed(received))
    decoder.end()
    return plain


@pytest.mark.parametrize("coding", SPELLINGS)
def test_every_spelling_is_undone(coding: str) -> None:
    body = SPELLINGS[coding](TEXT)
    assert decompress(body, coding, LIMIT) == TEXT
    assert decompress_error(body, coding, LIMIT) == TEXT


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, br", "gzip;q=1", "gzipped", "x-gzip x-gzip"])
def test_an_unknown_coding_is_refused_by_name(coding: str) -> None:
    with pytest.raises(ProtocolError, match="which was not requested"):
        decoder_for(coding)
    with pytest.raises(ProtocolError, match="which was not requested"):
        decompress(b"", coding, LIMIT)
    assert decompress_error(TEXT, coding, LIMIT) == b""


def test_too_many_codings_are_refused() -> None:
    assert decoder_for(", ".join(["gzip"] * 3)) is not None
    with pytest.raises(ProtocolError):
        decoder_for(", ".join(["gzip"] * 4))


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate", "gzip, gzip", "deflate, gzip"])
def test_nothing_becomes_nothing(coding: str) -> None:
    assert decompress(b"", coding, LIMIT) == b""
    assert decode([], coding) == b""
    assert decode([b"", b""], coding) == b""


@given(st.lists(st.binary(max_size=50), max_size=4), st.integers(1, 40), st.integers(0, 2))
@settings(max_examples=200, deadline=None)
def test_any_members_are_joined_and_may_be_cut_anywhere(members: list[bytes], size: int, layers: int) -> None:
    body = b"".join(map(gzip.compress, members))
    for _ in range(layers):
        body = gzip.compress(body)
    coding = ", ".join(["gzip"] * (layers + 1))
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    assert decode(pieces, coding) == decompress(body, coding, LIMIT) == b"".join(members)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_body_that_is_cut_anywhere_is_truncated(coding: str) -> None:
    body = SPELLINGS[coding](TEXT)
    for length in range(1, len(body)):
        with pytest.raises(ProtocolError, match="truncated"):
            decompress(body[:length], coding, LIMIT)
        assert TEXT.startswith(decompress_error(body[:length], coding, LIMIT))


def test_a_second_member_that_is_cut_anywhere_is_truncated() -> None:
    first, second = gzip.compress(TEXT), gzip.compress(TEXT)
    for length in range(1, len(second)):
        with pytest.raises(ProtocolError, match="truncated"):
            decompress(first + second[:length], "gzip", LIMIT)


WRONG = {
    "something else": TEXT,
    "deflate": zlib.compress(TEXT),
    "followed by something else": gzip.compress(TEXT) + b"x",
    "followed by zeros": gzip.compress(TEXT) + bytes(8),
    "followed by half a signature and more": gzip.compress(TEXT) + b"\x1fx",
    "a wrong checksum": gzip.compress(TEXT)[:-8] + bytes(8),
    "a wrong size": gzip.compress(TEXT)[:-4] + bytes(4),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_gzip_is_refused_but_never_for_an_error(wrong: str) -> None:
    with pytest.raises(ProtocolError, match="gzip"):
        decompress(WRONG[wrong], "gzip", LIMIT)
    with pytest.raises(ProtocolError, match="gzip"):
        decode([WRONG[wrong][start : start + 3] for start in range(0, len(WRONG[wrong]), 3)], "gzip")
    assert TEXT.startswith(decompress_error(WRONG[wrong], "gzip", LIMIT))


def test_deflate_has_no_members() -> None:
    with pytest.raises(ProtocolError, match="followed by something else"):
        decompress(zlib.compress(TEXT) * 2, "deflate", LIMIT)


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "gzip, gzip", "br", ""]))
@settings(max_examples=300, deadline=None)
def test_the_body_of_an_error_never_raises(body: bytes, coding: str) -> None:
    assert len(decompress_error(body, coding, 100)) <= 100


def test_the_limit_is_exact() -> None:
    body = gzip.compress(bytes(1000))
    assert len(decompress(body, "gzip", 1000)) == 1000
    with pytest.raises(ProtocolError, match=r"larger than max_reply_bytes \(999\)"):
        decompress(body, "gzip", 999)
    assert decompress_error(body, "gzip", 999) == bytes(999)
    assert decompress_error(bytes(1000), "", 999) == bytes(999)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_bomb_costs_little_memory_and_time(layers: int) -> None:
    packer = zlib.compressobj(1, wbits=31)
    body = b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()
    for _ in range(layers - 1):
        body = gzip.compress(body)
    coding = ", ".join(["gzip"] * layers)
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(ProtocolError, match="larger than"):
        decompress(body, coding, 2 << 20)
    assert len(decompress_error(body, coding, 2 << 20)) == 2 << 20
    assert time.process_time() - started < 20
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


def test_a_stream_is_decoded_in_pieces_that_are_bounded() -> None:
    decoder = decoder_for("gzip")
    assert decoder is not None
    sizes = [len(piece) for piece in decoder.feed(gzip.compress(bytes(10 << 20)))]
    assert sum(sizes) == 10 << 20
    assert max(sizes) == 1 << 20


def test_what_we_compress_can_be_undone() -> None:
    assert decompress(compress(TEXT), "gzip", LIMIT) == TEXT

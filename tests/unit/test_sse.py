"""The parser of server-sent events: the same events, however the bytes are split."""

import time
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cwinference.errors import ProtocolError
from cwinference.inference._sse import EventParser

LINE_ENDS = ["\n", "\r", "\r\n"]


def parse(*pieces: bytes, **options: int) -> list[bytes]:
    parser = EventParser(**options)
    return [event for piece in pieces for event in parser.feed(piece)]


def flood(parser: EventParser, piece: bytearray) -> None:
    """Feed a piece until the parser raises."""
    while True:
        parser.feed(bytes(piece))


@pytest.mark.parametrize("end", LINE_ENDS)
def test_every_kind_of_line_end_is_recognized(end: str) -> None:
    assert parse(f"data: a{end}{end}data: b{end}{end}".encode()) == [b"a", b"b"]


def test_data_of_several_lines_is_one_event() -> None:
    assert parse(b"data: {\ndata:\ndata\ndata: }\n\n") == [b"{\n\n\n}"]


def test_one_space_after_the_colon_is_not_data() -> None:
    assert parse(b"data:a\n\ndata: b\n\ndata:  c\n\n") == [b"a", b"b", b" c"]


def test_comments_other_fields_and_empty_events_are_ignored() -> None:
    assert parse(b": keep-alive\n\nevent: message\nid: 7\nretry: 10\ndatum: x\n\n\n\n") == []


def test_a_byte_order_mark_is_skipped_at_the_start_only() -> None:
    mark = b"\xef\xbb\xbf"
    assert parse(mark + b"data: a\n\n" + mark + b"data: b\n\n") == [b"a"]


def test_an_event_ends_with_an_empty_line() -> None:
    parser = EventParser()
    assert parser.feed(b"data: a\n") == []
    assert parser.end() == b"a"
    assert parser.feed(b"\n") == [b"a"]


def test_the_end_of_the_stream_returns_an_incomplete_event() -> None:
    parser = EventParser()
    assert parser.feed(b"data: a\n\ndata: [DO") == [b"a"]
    assert parser.end() == b"[DO"
    assert EventParser().end() is None


def test_an_endless_line_is_refused_within_limits_of_time_and_memory() -> None:
    limit, piece = 4 << 20, bytearray(b"x" * 16384)
    parser = EventParser(limit)
    parser.feed(b"data: ")
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(ProtocolError, match="4194304 bytes"):
        flood(parser, piece)
    assert time.process_time() - started < 10
    assert tracemalloc.get_traced_memory()[1] < 2 * limit
    tracemalloc.stop()


def test_an_event_of_endless_lines_is_refused() -> None:
    parser = EventParser(1 << 20)
    with pytest.raises(ProtocolError):
        flood(parser, bytearray(b"data: " + b"x" * 1000 + b"\n"))


def test_a_huge_event_within_the_limit_is_accepted() -> None:
    data = b"y" * (1 << 20)
    stream = b"data: " + data + b"\n\n"
    assert parse(*(stream[i : i + 1000] for i in range(0, len(stream), 1000))) == [data]


texts = st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=12)
events = st.lists(st.lists(texts, min_size=1, max_size=3), max_size=5)
noise = st.sampled_from(["", ": comment", "event: delta", "id: 1", "unknown"])


@given(events, st.lists(noise, min_size=1), st.lists(st.sampled_from(LINE_ENDS), min_size=1), st.booleans(), st.data())
@settings(max_examples=300, deadline=None)
def test_any_split_yields_the_events_that_were_written(
    written: list[list[str]], extra: list[str], ends: list[str], mark: bool, data: st.DataObject
) -> None:
    lines: list[str] = []
    for number, event in enumerate(written):
        lines += [*(f"data: {line}" for line in event), extra[number % len(extra)], ""]
    ended = "".join(line + ends[number % len(ends)] for number, line in enumerate(lines))
    if "\r" in ends and "\n" in ends:
        ended = "".join(line + ends[0] for line in lines)
    stream = (b"\xef\xbb\xbf" if mark else b"") + ended.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert parse(*pieces) == ["\n".join(event).encode() for event in written]


@given(st.binary(max_size=200), st.integers(1, 7))
@example(b"data: a\r\r\n\n", 1)
@settings(max_examples=500, deadline=None)
def test_any_bytes_yield_the_same_events_whole_or_in_pieces(stream: bytes, size: int) -> None:
    whole, cut = EventParser(), EventParser()
    found = whole.feed(stream)
    assert [event for i in range(0, len(stream), size) for event in cut.feed(stream[i : i + size])] == found
    assert cut.end() == whole.end()

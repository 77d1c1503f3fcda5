"""The parser of server-sent events: types of events, lines outside of events, and pieces without anything in them."""

import pytest

from cwinference.inference._sse import EventParser, NamedEvent


def names(stream: bytes) -> list[tuple[bytes, bytes | None]]:
    """Return the events of a stream with their types."""
    return [(each, each.name if isinstance(each, NamedEvent) else None) for each in EventParser().feed(stream)]


def test_an_event_has_the_type_that_is_before_or_after_its_data() -> None:
    assert names(b"event: ping\ndata: a\n\n") == [(b"a", b"ping")]
    assert names(b"data: a\nevent:ping\n\n") == [(b"a", b"ping")]
    assert names(b"event: x\nevent: ping \ndata: a\n\n") == [(b"a", b"ping")]
    assert names(b"event:\ndata: a\n\nevent\ndata: b\n\n") == [(b"a", None), (b"b", None)]


def test_a_type_belongs_to_one_event() -> None:
    assert names(b"event: ping\ndata: a\n\ndata: b\n\n") == [(b"a", b"ping"), (b"b", None)]
    assert names(b"event: ping\n\ndata: b\n\n") == [(b"b", None)]
    assert names(b"event: ping\n: comment\nid: 3\ndata: a\n\n") == [(b"a", b"ping")]


def test_an_event_that_the_end_cuts_off_keeps_its_type() -> None:
    parser = EventParser()
    assert parser.feed(b"event: error\ndata: a") == []
    rest = parser.end()
    assert isinstance(rest, NamedEvent)
    assert (rest, rest.name) == (b"a", b"error")


@pytest.mark.parametrize("stream", [b"data: a\n", b"data: a", b"data: a\r", b"data: a\r\n", b"event: x\ndata: a\n"])
def test_empty_pieces_change_nothing(stream: bytes) -> None:
    parser = EventParser()
    for start in range(len(stream)):
        assert parser.feed(b"") == []
        assert parser.feed(stream[start : start + 1]) == []
    assert parser.feed(b"") == []
    assert parser.end() == b"a"


def test_a_line_end_in_two_pieces_does_not_end_an_event() -> None:
    parser = EventParser()
    assert parser.feed(b"data: a\r") == []
    assert parser.feed(b"\n") == []
    assert parser.end() == b"a"
    assert parser.feed(b"\r") == [b"a"]


UNFRAMED = {
    b'{"a": 1}\n': b'{"a": 1}',
    b'{\n "a": 1\n}\n': b'{\n "a": 1\n}',
    b'{"a": 1}\n\ndata: x\n\n': b'{"a": 1}',
    b'{\n: keep-alive\nid: 3\nretry: 5\nevent: x\n "a": 1}\n': b'{\n "a": 1}',
    b"a\nb\n": b"",
    b' {"a": 1}\n': b"",
}


@pytest.mark.parametrize("stream", UNFRAMED)
def test_lines_from_one_that_looks_like_json_on_are_kept(stream: bytes) -> None:
    parser = EventParser()
    assert parser.unframed_lines == []
    for start in range(len(stream)):
        parser.feed(stream[start : start + 1])
    assert b"\n".join(parser.unframed_lines) == UNFRAMED[stream]


def test_an_unframed_line_without_its_end_is_kept_at_the_end() -> None:
    parser = EventParser()
    parser.feed(b'{"a": 1}')
    assert parser.unframed_lines == []
    assert parser.end() is None
    assert parser.unframed_lines == [b'{"a": 1}']


def test_endless_lines_outside_of_events_are_kept_up_to_a_limit() -> None:
    parser = EventParser()
    for _ in range(1000):
        parser.feed(b"{" + b"x" * 1000 + b"\n")
    assert sum(map(len, parser.unframed_lines)) < 70_000

"""Keys of completions with the digests of their requests, in little memory."""

import tracemalloc

import pytest

from cwinference.inference.batch import key_set
from cwinference.inference.batch.key_set import UNDIGESTED, CompletedKeys, digest_number

COUNT = 30_000


@pytest.fixture(params=[key_set._by_python, key_set._by_digest], autouse=True)
def hash_function(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run everything with both: Python's own hash does not have 64 good bits everywhere."""
    monkeypatch.setattr(key_set, "_number", request.param)


@pytest.mark.parametrize("named_first", [True, False])
def test_digests_are_found_whatever_was_added_before_and_after(named_first: bool) -> None:
    keys = CompletedKeys()
    for number in range(COUNT):
        if named_first == (number < COUNT // 2):
            keys.note(f"id-{number}", None)
        else:
            keys.note(str(number), f"digest {number}")
    for number in range(COUNT):
        if named_first == (number < COUNT // 2):
            assert keys.digest(f"id-{number}") == UNDIGESTED
            assert keys.digest(str(number)) is None
        else:
            assert keys.digest(str(number)) == digest_number(f"digest {number}")
    assert len(keys) == COUNT
    assert keys.last_line == (COUNT - 1 if named_first else COUNT // 2 - 1)


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("a", None), (None, "a")])
def test_a_key_with_two_digests_has_that_of_no_request(first: str | None, second: str | None) -> None:
    keys = CompletedKeys()
    for digest in (first, second, second):
        keys.note("1", digest)
    assert keys.digest("1") not in (None, UNDIGESTED, digest_number("a"), digest_number("b"))


def test_a_key_that_was_noted_twice_keeps_its_digest() -> None:
    keys = CompletedKeys()
    for _ in range(2):
        keys.note("1", "a")
        keys.note("id", None)
    assert (keys.digest("1"), keys.digest("id")) == (digest_number("a"), UNDIGESTED)


def test_the_last_line_is_that_of_numbers_only() -> None:
    keys = CompletedKeys()
    for key in ("x", "7", "1" * 5000, "\u00b2", "-9"):
        keys.note(key, "digest")
    keys.note("9", None)
    assert keys.last_line == 9


@pytest.mark.parametrize(("digest", "most"), [(None, 24), ("d", 48)])
def test_keys_and_digests_take_little_memory(digest: str | None, most: int) -> None:
    keys = CompletedKeys()
    tracemalloc.start()
    for number in range(COUNT):
        keys.note(str(number), digest)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert size < most * COUNT

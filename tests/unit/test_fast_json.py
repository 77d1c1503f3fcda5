"""Whichever library has read a JSON text, the result is that of `json`: the same value, or the same kind of error."""

import dataclasses
import datetime
import decimal
import enum
import json
import random
import struct
import subprocess
import sys
import uuid
from collections import OrderedDict, UserDict, deque
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cwinference._json import dumps, loads, with_sorted_members
from cwinference.inference import _model_server, _stream_reader
from cwinference.inference.batch import lines, requests

SPELLINGS = [
    "0", "-0", "-0.0", "01", "-01", "1.", ".1", "+1", "--1", "-", "1e5", "1E+5", "1e", "0x1", "1_0",
    "18446744073709551615", "18446744073709551616", "-9223372036854775808", "-9223372036854775809", "1" * 40,
    "1" * 4300, "1" * 5000, "1" * 400 + ".5", "9007199254740993.0", "1e22", "1e23", "1e400", "-1e400", "1e-400",
    "5e-324", "8.5e-323", "2.2250738585072011e-308", "1.7976931348623159e308", "1e99999999999999999999",
    "0e99999999999999999999", "NaN", "Infinity", "-Infinity", "nan", "true", "True", "nul", "null", '"a', '"\\ud800"',
    '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\uD83D\\u0041"', '"\\ud83d\\ud83d\\ude00"', '"\\u00g0"', '"\\x41"',
    '"\\/"', '"\\u0000"', '"\t"', '"\0"', '"\x7f\x85\u2028"', '"\ufeff"', "'a'", '"\\', '"\\u12"', '{"a": 1, "a": 2}',
    '{"b": 1, "a": 2, "b": 3}', '{"a": 1,}', "{1: 2}", "{null: 1}", '{"a" 1}', "{,}", "[1,]", "[,1]", "[1", "{", "]",
    "", " ", " \t\r\n1\n", "\x0b1", "\x0c1", "\xa01", "\u20281", "1 2", "{}{}", "[1]x", "/**/1", "[]//", "\ufeff{}",
    "{}\ufeff", "1\0", "[" * 200 + "]" * 200, '{"a":' * 200 + "1" + "}" * 200, "[" * 200_000,
    "[" * 200_000 + "]" * 200_000, '{"a":' * 200_000,
]  # fmt: skip
BYTES = [
    b"\xff", b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\xf4\x90\x80\x80"', b'"\xc3', b"\xef\xbb\xbf[1]",
    b"\xef\xbb\xbf",
    *(form.encode(code) for form in ("{}", '{"a": "\u00e9"}') for code in ("utf-16", "utf-16-le", "utf-32-be")),
]  # fmt: skip
READERS: list[Callable[[bytes], Any]] = [
    _stream_reader._leniently, _stream_reader._beginning, _model_server._strictly, lines._strictly, requests._strictly,
]  # fmt: skip
"""What reads the texts that msgspec refuses, apart from `json.loads`."""


def outcome(read: Callable[[Any], Any], text: bytes | str) -> str:
    """The value with its types and the order of its members, or the kind of error."""
    try:
        return repr(read(text))
    except ValueError:
        return "no JSON"
    except RecursionError:
        return "too deep"


def check(text: bytes | str) -> None:
    for read in (json.loads, *(READERS if isinstance(text, bytes) else ())):
        assert outcome(partial(loads, otherwise=read), text) == outcome(read, text)


def test_msgspec_is_installed_where_these_tests_run() -> None:
    import msgspec

    assert msgspec.json.decode(b"1") == 1


@pytest.mark.parametrize("text", SPELLINGS, ids=lambda text: repr(text)[:30])
def test_every_spelling_is_read_as_json_reads_it(text: str) -> None:
    check(text)
    check(text.encode())
    for around in (f"[{text}]", f'{{"a": {text}}}', f" {text}\n", f"{text},"):
        check(around)
        check(around.encode())


@pytest.mark.parametrize("text", BYTES, ids=repr)
def test_every_encoding_is_read_as_json_reads_it(text: bytes) -> None:
    check(text)
    check(b"[" + text + b"]")


def test_a_string_that_has_no_encoding_is_read_as_json_reads_it() -> None:
    check('"\ud800"')


PIECES = [
    *'"\\{}[],: \n\t09-+.eE', "\\u", "d800", "dc00", "true", "null", "NaN", "Infinity", "\\n", "\u00e9", "\u2028", "\0",
    "\x0b", "\ufeff", "18446744073709551616", '"a":', '"a"', "\\ud83d\\ude00", "\U0001f600", "\udcff",
]  # fmt: skip
NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
SCALARS = NUMBERS | st.sampled_from(SPELLINGS[:60]) | st.text(max_size=5).map(json.dumps)
KEYS = st.sampled_from(['"a"', '"b"', '"\\u0061"', '"' + "k" * 100 + '"']) | st.text(max_size=5).map(json.dumps)
SPACES = st.sampled_from(["", "", " ", "\r\n\t"])
TEXTS = st.recursive(
    st.builds("".join, st.tuples(SPACES, SCALARS, SPACES)),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(KEYS, inner), max_size=4).map(
            lambda items: "{" + ",".join(f"{key}:{value}" for key, value in items) + "}"
        )
    ),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(TEXTS)
def test_a_generated_text_is_read_as_json_reads_it(text: str) -> None:
    check(text)
    check(text.encode())


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.just(""), TEXTS), st.lists(st.tuples(st.integers(0, 200), st.sampled_from(PIECES)), max_size=6))
def test_a_damaged_text_is_read_as_json_reads_it(text: str, inserted: list[tuple[int, str]]) -> None:
    for place, piece in inserted:
        text = text[:place] + piece + text[place + len(piece) % 3 :]
    check(text)
    check(text.encode("utf-8", "surrogateescape"))
    check(text.encode("utf-8", "surrogateescape")[:-1])


def test_every_double_is_read_to_its_last_bit() -> None:
    numbers = random.Random(9)  # noqa: S311 - numbers for a test
    for _ in range(5000):
        number = struct.unpack("d", numbers.randbytes(8))[0]
        if number - number == 0:
            for form in (repr(number), f"{number:.17e}", f"{number:.30e}", f"{number:.15e}"):
                assert repr(loads(form)) == repr(json.loads(form)), form


def test_without_msgspec_everything_is_read_by_json() -> None:
    program = (
        "import sys\n"
        "sys.modules['msgspec'] = None\n"
        "from cwinference._json import loads\n"
        "from cwinference import Inference\n"
        "assert loads(b'[1, NaN, 18446744073709551616]')[2] == 2**64\n"
        "assert loads(b'x', len) == 1\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_members_are_sorted_as_json_sorts_them(value: dict[str, Any]) -> None:
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return
    expected = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    assert with_sorted_members(text, value) == expected


@pytest.mark.parametrize("value", [
    {"b": 1e16, "a": 1e-7}, {"b": 5e-324, "a": -0.0}, {"b": 10**30, "a": (1, 2)},
    {"\ud7ff": 1, "\ue000": 2, "\U0001f600": 3},
    {"b": "\x00\x1f\x7f\u2028\"\\/", "a": True}, {"b": {"d": 1, "c": 2}, "a": None},
])  # fmt: skip
def test_what_msgspec_writes_in_another_way_is_left_to_json(value: dict[str, Any]) -> None:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    assert (
        with_sorted_members(text, value)
        == json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    )


def test_names_that_are_no_text_are_sorted_as_they_are_sent() -> None:
    value: Any = {10: 1, 9: 2, "b": {True: 1, "a": 2}}
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    assert with_sorted_members(text, value) == b'{"10":1,"9":2,"b":{"a":2,"true":1}}'


class Text(str):
    __slots__ = ()


class Named(enum.StrEnum):
    A = "x"


class Counted(enum.IntEnum):
    A = 3


class Plain(enum.Enum):
    A = "x"


@dataclasses.dataclass
class Record:
    a: int = 1


class Hiding(dict[str, str]):
    def items(self) -> Any:
        return [("a", "***")]


class Lenient(enum.Enum):
    A = "x"

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1


def moved() -> OrderedDict[str, int]:
    value = OrderedDict(b=1, a=2)
    value.move_to_end("b")
    return value


class Incomparable(dict[str, int]):
    def __eq__(self, other: object) -> bool:
        raise LookupError("it cannot be compared")

    __hash__ = None


def written(write: Callable[[Any], bytes], value: Any) -> object:
    """The text, or the kind of error."""
    try:
        return write(value)
    except (TypeError, ValueError, RecursionError) as error:
        return type(error)


def by_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(st.characters()) | st.integers() | st.none() | st.floats(), inner, max_size=4)
    ),
)


@given(ANYTHING)
def test_whatever_is_written_is_what_json_writes_or_refuses(value: Any) -> None:
    assert written(dumps, value) == written(by_json, value)


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("value", [
    1e16, 1e-5, 1e22, 123456789012345680.0, 0.0001, 5e-324, -0.0, 2**64, -(2**70), Text("q"), Named.A, Counted.A,
    Plain.A, {Named.A: 1}, {Counted.A: 1}, {True: 1}, {1.5: 2}, {(1, 2): 3}, (1, 2), {1, 2}, frozenset([1]), range(3),
    b"x", bytearray(b"x"), memoryview(b"x"), deque([1]), iter([1]), object(), decimal.Decimal("1.5"), uuid.UUID(int=1),
    datetime.datetime(2026, 11, 30, tzinfo=datetime.UTC), datetime.timedelta(1), Record(), OrderedDict(b=1, a=2),
    UserDict(a=1), Incomparable(a=1), Hiding(a="b"), Lenient.A, moved(),
    float("nan"), [float("inf")], "\ud800", deep(900), deep(100_000), 10**4400,
], ids=lambda value: type(value).__name__)  # fmt: skip
def test_what_msgspec_would_write_in_another_way_is_written_or_refused_by_json(value: Any) -> None:
    assert written(dumps, {"value": value}) == written(by_json, {"value": value})


def test_every_character_is_written_as_json_writes_it() -> None:
    for start in range(0, 0x110000, 0x800):
        if not 0xD800 <= start < 0xE000:
            text = "".join(map(chr, range(start, start + 0x800)))
            assert dumps(text) == by_json(text)

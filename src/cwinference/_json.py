"""Reads JSON, by msgspec where that gives what `json` gives, four times faster, and by `json` everywhere else.

msgspec refuses what it would read in another way: NaN and infinities, numbers beyond a double, lone surrogates, byte
order marks, other encodings than UTF-8. So nobody can see which of the two has read a text, apart from its speed.

Where only a part of a text is asked for, msgspec reads that part alone: it checks the rest, but makes no values of it.

It writes JSON too, of Python's own types, where what it has written, read again, is equal to what was to be written: it
writes more types than `json`, and other ones in another way.
"""

import json
import marshal
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


def _as_written(text: str) -> float:
    """Return the number that was written. Raises ValueError if `json` writes it in another way, as it does 1e16."""
    value = float(text)
    if repr(value) != text:
        raise ValueError
    return value


try:
    from msgspec import DecodeError, defstruct
    from msgspec.json import Decoder, Encoder
    from msgspec.structs import asdict
except ImportError:  # where there is no wheel for it
    _defstruct: Any = None
    _decoder: Any = None
    _asdict: Any = None
    _decode: Callable[[bytes | str], Any] | None = None
    _read_back: Callable[[bytes], Any] | None = None
    _encode: Callable[[Any], bytes] | None = None
    _encode_sorted: Callable[[Any], bytes] | None = None
    _refusals: tuple[type[Exception], ...] = ()
else:
    _defstruct, _decoder, _asdict = defstruct, Decoder, asdict
    _decode, _read_back = Decoder().decode, Decoder(float_hook=_as_written).decode
    _encode, _encode_sorted = Encoder().encode, Encoder(order="sorted").encode
    _refusals = (DecodeError, ValueError, RecursionError)  # not in every version is a DecodeError a ValueError


_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_canonical = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
_not_encoded = (TypeError, ValueError, OverflowError, RecursionError)
_WITHOUT_REFERENCES = 2
"""The latest format of marshal that does not look for objects that occur twice."""
_LONGEST_WITH_PART = sys.int_info.default_max_str_digits
"""Of longer texts no part is read: an integer in the rest could have more digits than Python reads."""


def loads(text: bytes | str, otherwise: Callable[[Any], Any] = json.loads) -> Any:
    """Return the value of a JSON text. What msgspec refuses is given to `otherwise`, which decides."""
    if _decode is not None:
        try:
            return _decode(text)
        except _refusals:
            pass
    return otherwise(text)


def dumps(value: Any) -> bytes:
    """Return compact JSON, with characters beyond ASCII as they are. Raises what `json` raises."""
    if _encode is not None and _read_back is not None:
        try:
            text = _encode(value)
            marshal.dumps(value, _WITHOUT_REFERENCES)  # refuses subclasses, which may iterate or compare as they like
            if _read_back(text) == value:
                return text
        except _not_encoded:
            pass
    return _compact(value).encode()


def with_sorted_members(text: bytes, value: Any) -> bytes:
    """Return a JSON text with the members of its objects sorted by name; `value` is what `json` made the text of."""
    if _encode is not None and _encode_sorted is not None:
        try:
            if _encode(value) == text:  # so msgspec writes everything that is in it as `json` does
                return _encode_sorted(value)
        except _not_encoded:
            pass
    return _canonical(json.loads(text)).encode()


def part(kind: type[T]) -> type[T]:
    """Declare by a class's annotations which members of a JSON object are read, with which types and defaults."""
    if _defstruct is None:
        return kind
    fields: list[Any] = [
        (name, of, vars(kind)[name]) if name in vars(kind) else (name, of) for name, of in kind.__annotations__.items()
    ]
    about = {"__doc__": kind.__doc__}
    made: Any = _defstruct(kind.__name__, fields, module=kind.__module__, namespace=about, gc=False)
    return made  # type: ignore[no-any-return]


def part_reader(kind: type[T]) -> Callable[[bytes], T | None]:
    """Return a function that reads a `part` of a JSON text.

    It returns None where the whole text has to be read: if that is not JSON, the part has other types than declared, or
    the text is long.
    """
    if _decoder is None:
        return lambda _: None
    decode: Callable[[bytes], T] = _decoder(kind).decode

    def read(text: bytes) -> T | None:
        if len(text) > _LONGEST_WITH_PART:
            return None
        try:
            found = decode(text)
            # The encoding of what it passes over is the one thing that msgspec does not check.
            return found if text.isascii() or str(text, "utf-8") else None
        except _refusals:
            return None

    return read


members: Callable[[Any], dict[str, Any]] = _asdict
"""Returns the members of an object of a `record_type`, by attribute; what the JSON lacks is None."""


def record_type(name: str, fields: Iterable[tuple[str, str, Any]]) -> Any:
    """Return a type for JSON objects, given the attribute, the name in JSON and the type of each member.

    They may lack some, but have no others.
    """
    given = [*fields]
    return _defstruct(
        name,
        [(attribute, kind | None, None) for attribute, _, kind in given],
        rename={attribute: in_json for attribute, in_json, _ in given},
        forbid_unknown_fields=True,
        gc=False,
    )


def record_reader(make: Callable[[], Any]) -> Callable[[bytes], Any]:
    """Return a function that reads a JSON text of the `record_type` that `make` returns; None if it is of another.

    `make` may raise a TypeError if there is no such type.
    """
    try:
        decode = None if _decoder is None else _decoder(make()).decode
    except TypeError:
        decode = None
    if decode is None:
        return lambda _: None

    def read(text: bytes) -> Any:
        try:
            return decode(text)
        except _refusals:
            return None

    return read

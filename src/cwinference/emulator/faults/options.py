"""What a fault may be told: its kinds, the options of each, and the values that make sense."""

import re
from collections.abc import Callable, Collection, Mapping
from math import isfinite
from typing import Any, Literal, TypeAlias, cast, get_args

from google.protobuf.message import Message

from ..._wire.methods import METHODS
from ...errors import ConfigurationError
from ..protocols.codecs import HTTP_STATUS

Kind: TypeAlias = Literal[
    "error",
    "page",
    "delay",
    "drip",
    "cut",
    "refuse",
    "goaway",
    "garbage",
    "oversized",
    "content_type",
    "half_open",
    "skew",
    "duplicate",
]
When: TypeAlias = Literal["before", "during", "after", "answer"]

OPTIONS: Mapping[Kind, Mapping[str, Any]] = {
    "error": {"code": "unavailable", "message": "injected fault", "details": (), "headers": {}, "after_work": False},
    "page": {"status": 502},
    "delay": {"seconds": 1.0},
    "drip": {"size": 1, "seconds": 0.1},
    "cut": {"when": "answer", "seconds": 0.05},
    "refuse": {},
    "goaway": {},
    "garbage": {"size": 64},
    "oversized": {"size": 64 * 1024 * 1024 + 1},
    "content_type": {"content_type": "text/html"},
    "half_open": {},
    "skew": {"seconds": 300.0},
    "duplicate": {},
}
"""What each kind may be told, with its default."""

_MOST_SKEW = 10**9
_METHODS = {method.name for method in METHODS.values()}
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def check(kind: Kind, selection: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Raises ConfigurationError for what a fault cannot be, by the name of the first that is wrong."""
    _expect(kind in get_args(Kind), "kind", _one_of(get_args(Kind)), kind)
    known = OPTIONS[kind]
    for name in options:
        if name not in known:
            raise ConfigurationError(f"{name}: no option of {kind!r}, which takes {', '.join((*known, *selection))}")
    for name, value in selection.items():
        holds, expected = _SELECTION[name]
        _expect(holds(value), name, expected, value)
    for name, value in options.items():
        holds, expected = _SKEW if (kind, name) == ("skew", "seconds") else _OPTION[name]
        _expect(holds(value), name, expected, value)


def _expect(holds: bool, name: str, expected: str, value: object) -> None:
    if not holds:
        raise ConfigurationError(f"{name}: expected {expected}, got {value!r}")


def _one_of(names: Collection[str]) -> str:
    return f"one of {', '.join(names)}"


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_printable(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable()


def _is_whole(value: object, least: int, most: float = float("inf")) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_number(value: object, least: float, most: float = float("inf")) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and least <= value <= most


def _is_method(value: object) -> bool:
    return value is None or (isinstance(value, str) and value in _METHODS)


def _are_calls(value: object) -> bool:
    if value is None:
        return True
    several = cast(Collection[object], value) if isinstance(value, Collection) else [value]
    return len(several) > 0 and all(_is_whole(each, 1) for each in several)


def _are_messages(value: object) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(each, Message) for each in cast(Collection[object], value)
    )


def _are_headers(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    pairs = cast(Mapping[object, object], value).items()
    return all(_HEADER_NAME.fullmatch(str(name)) and _is_printable(str(text)) for name, text in pairs)


_Expectation: TypeAlias = tuple[Callable[[Any], bool], str]
_SELECTION: Mapping[str, _Expectation] = {
    "method": (_is_method, "the name of a method, such as 'CreateGateway'"),
    "path": (lambda value: value is None or _is_text(value), "a text"),
    "nth": (_are_calls, "a whole number from 1, or several"),
    "probability": (lambda value: _is_number(value, 0, 1), "a number from 0 to 1"),
    "seed": (lambda value: _is_whole(value, -(2**63)), "a whole number"),
    "times": (lambda value: value is None or _is_whole(value, 1), "a whole number from 1"),
}
_OPTION: Mapping[str, _Expectation] = {
    "code": (lambda value: _is_text(value) and value in HTTP_STATUS, _one_of(HTTP_STATUS)),
    "message": (_is_text, "a text"),
    "details": (_are_messages, "a list of messages of google.rpc"),
    "headers": (_are_headers, "names and values, all of them printable ASCII"),
    "after_work": (lambda value: isinstance(value, bool), "true or false"),
    "status": (lambda value: _is_whole(value, 200, 599), "an HTTP status from 200 to 599"),
    "seconds": (lambda value: _is_number(value, 0), "a number from 0"),
    "size": (lambda value: _is_whole(value, 1), "a whole number of bytes from 1"),
    "when": (lambda value: value in get_args(When), _one_of(get_args(When))),
    "content_type": (_is_printable, "printable ASCII"),
}
_SKEW: _Expectation = (
    lambda value: _is_number(value, -_MOST_SKEW, _MOST_SKEW),
    f"a number from {-_MOST_SKEW} to {_MOST_SKEW}",
)

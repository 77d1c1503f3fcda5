"""The kinds of faults, the options of each, and checks of their values."""

import re
from collections.abc import Callable, Collection, Mapping
from math import isfinite
from typing import Any, Literal, TypeAlias, cast, get_args

from google.protobuf.message import Message

from ..._wire.methods import METHODS
from ...errors import ConfigurationError
from ..protocols.codecs import HTTP_STATUS

FaultKind: TypeAlias = Literal[
    "error",
    "page",
    "delay",
    "latency",
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
CutTime: TypeAlias = Literal["before", "during", "after", "response"]

DEFAULTS: Mapping[FaultKind, Mapping[str, Any]] = {
    "error": {"code": "unavailable", "message": "injected fault", "details": (), "headers": {}, "after_work": False},
    "page": {"status": 502},
    "delay": {"seconds": 1.0},
    "latency": {"seconds": 0.1},
    "drip": {"size": 1, "seconds": 0.1},
    "cut": {"when": "response", "seconds": 0.05},
    "refuse": {},
    "goaway": {},
    "garbage": {"size": 64},
    "oversized": {"size": 64 * 1024 * 1024 + 1},
    "content_type": {"content_type": "text/html"},
    "half_open": {},
    "skew": {"seconds": 300.0},
    "duplicate": {},
}
"""The options of each kind, with their defaults."""

_MAX_SKEW = 10**9
_METHODS = {method.name for method in METHODS.values()}
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def check_fault(kind: FaultKind, selection: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Raise ConfigurationError for the first argument of a fault that is unknown or has a wrong value."""
    _expect(kind in get_args(FaultKind), "kind", _one_of(get_args(FaultKind)), kind)
    known = DEFAULTS[kind]
    for name in options:
        if name not in known:
            expected = ", ".join((*known, *selection))
            raise ConfigurationError(f"{name}: unknown option of {kind!r}; known options are {expected}")
    for name, value in selection.items():
        is_valid, expected = _SELECTION[name]
        _expect(is_valid(value), name, expected, value)
    if selection.get("deployment") is not None and selection.get("method") is not None:
        raise ConfigurationError("deployment cannot be combined with method; completions call no method of the API")
    for name, value in options.items():
        is_valid, expected = _SKEW if (kind, name) == ("skew", "seconds") else _OPTION[name]
        _expect(is_valid(value), name, expected, value)


def _expect(valid: bool, name: str, expected: str, value: object) -> None:
    if not valid:
        raise ConfigurationError(f"{name}: expected {expected}, got {value!r}")


def _one_of(names: Collection[str]) -> str:
    return f"one of {', '.join(names)}"


def _is_string(value: object) -> bool:
    return isinstance(value, str)


def _is_printable(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable()


# bool is a subclass of int, but `nth = true` in a file is a mistake.
def _is_integer(value: object, least: int, most: float = float("inf")) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_number(value: object, least: float, most: float = float("inf")) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and least <= value <= most


def _is_method(value: object) -> bool:
    return value is None or (isinstance(value, str) and value in _METHODS)


def _is_nth(value: object) -> bool:
    if value is None:
        return True
    numbers = cast(Collection[object], value) if isinstance(value, Collection) else [value]
    return len(numbers) > 0 and all(_is_integer(each, 1) for each in numbers)


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
"""Whether a value is valid, and a description of valid ones for the error message."""
_SELECTION: Mapping[str, _Expectation] = {
    "method": (_is_method, "the name of a method, such as 'CreateGateway'"),
    "path": (lambda value: value is None or _is_string(value), "a string"),
    "deployment": (lambda value: value is None or (_is_string(value) and value != ""), "the name or the id of one"),
    "nth": (_is_nth, "a whole number, at least 1, or several"),
    "probability": (lambda value: _is_number(value, 0, 1), "a number from 0 to 1"),
    "seed": (lambda value: _is_integer(value, -(2**63)), "a whole number"),
    "times": (lambda value: value is None or _is_integer(value, 1), "a whole number, at least 1"),
}
_OPTION: Mapping[str, _Expectation] = {
    "code": (lambda value: _is_string(value) and value in HTTP_STATUS, _one_of(HTTP_STATUS)),
    "message": (_is_string, "a string"),
    "details": (_are_messages, "a list of google.rpc messages"),
    "headers": (_are_headers, "names and values of headers, in printable ASCII"),
    "after_work": (lambda value: isinstance(value, bool), "true or false"),
    "status": (lambda value: _is_integer(value, 200, 599), "an HTTP status from 200 to 599"),
    "seconds": (lambda value: _is_number(value, 0), "a number of seconds, at least 0"),
    "size": (lambda value: _is_integer(value, 1), "a whole number of bytes, at least 1"),
    "when": (lambda value: value in get_args(CutTime), _one_of(get_args(CutTime))),
    "content_type": (_is_printable, "printable ASCII"),
}
_SKEW: _Expectation = (
    lambda value: _is_number(value, -_MAX_SKEW, _MAX_SKEW),
    f"a number of seconds from {-_MAX_SKEW} to {_MAX_SKEW}",
)

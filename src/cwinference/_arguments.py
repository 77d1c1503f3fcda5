"""Checks of arguments: each returns the value, or raises a ConfigurationError that says what is wrong with it."""

import inspect
from datetime import timedelta
from typing import Any, Final, Literal

from .errors import ConfigurationError

_LONGEST_TIMEOUT = 1e9
"""About 30 years. gRPC takes much more for the past, and pyqwest panics."""

_HIGHEST_COUNT = 2**31 - 1
"""What gRPC's options can express."""


class _Unset:
    def __repr__(self) -> str:
        return "the client's default"


UNSET: Final[Any] = _Unset()
"""The default of an argument for which None has a meaning of its own."""


def shown(value: object) -> str:
    """Return what an error says of a wrong value: its repr; of a number that is too long to be printed, its type."""
    try:
        return repr(value)
    except ValueError:
        return f"an {type(value).__name__} of more digits than Python prints"


def check_timeout(timeout: float | None, argument: str = "timeout", none: str = "no limit") -> float | None:
    """Return a positive number of seconds, or None for no limit; limits of decades count as none.

    `none` is what the error says that None stands for.
    """
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        advice = "; use its total_seconds()" if isinstance(timeout, timedelta) else ""
        raise ConfigurationError(
            f"{argument}: expected a positive number of seconds, or None for {none}, got {shown(timeout)}{advice}"
        )
    return None if timeout > _LONGEST_TIMEOUT else float(timeout)


def check_count(count: int, argument: str) -> int:
    """Return a whole number above 0; beyond 2,147,483,647 it counts as that."""
    if isinstance(count, bool) or not isinstance(count, int) or count <= 0:
        raise ConfigurationError(f"{argument}: expected a whole number above 0, got {shown(count)}")
    return min(count, _HIGHEST_COUNT)


def check_at_least(least: float, number: float, argument: str) -> float:
    """Return a number of at least `least`; seconds of decades, and infinity, count as 30 years."""
    if isinstance(number, bool) or not isinstance(number, int | float) or not number >= least:
        raise ConfigurationError(f"{argument}: expected a number of at least {least}, got {shown(number)}")
    return min(number, _LONGEST_TIMEOUT)


def check_flag(flag: bool, argument: str, advice: str = "") -> bool:
    """Return a bool; numbers and strings are refused, since most of them would count as True."""
    if not isinstance(flag, bool):
        raise ConfigurationError(f"{argument}: expected True or False, got {shown(flag)}{advice}")
    return flag


def check_text(text: str, argument: str) -> str:
    """Return a string that is not empty."""
    if not isinstance(text, str):
        raise ConfigurationError(f"{argument}: expected a string, got {type(text).__name__}")
    if not text:
        raise ConfigurationError(f"{argument} must not be empty")
    return text


def check_id(value: str, argument: str = "id") -> str:
    """Return an id or a name: a string that is not empty and keeps its meaning as a segment of a URL's path."""
    if isinstance(value, str) and value not in ("", ".", ".."):
        return value
    if not isinstance(value, str) and hasattr(value, "spec"):
        raise ConfigurationError(f"{argument}: expected a string, got {type(value).__name__}; use its spec.id")
    check_text(value, argument)
    raise ConfigurationError(f"{argument}: {value!r} would lead to another path over REST")


def check_callback(callback: object, argument: str) -> None:
    """Accept None or a function. An async one is refused: nothing would await its result."""
    if callback is not None and not callable(callback):
        raise ConfigurationError(f"{argument}: expected a function or None, got {type(callback).__name__}")
    if inspect.iscoroutinefunction(callback):
        raise ConfigurationError(f"{argument}: expected a plain function; an async one would never be awaited")


def check_http_version(version: int | None) -> Literal[1, 2] | None:
    """Return 1, 2, or None for what the scheme suggests."""
    if version is not None and (type(version) is not int or version not in (1, 2)):
        raise ConfigurationError(f"http_version: expected None, 1 or 2, got {shown(version)}")
    return None if version is None else 2 if version == 2 else 1


def at_most_one(oneof: str, **members: object) -> None:
    """Refuse two members of a oneof."""
    given = [name for name, value in members.items() if value is not None]
    if len(given) > 1:
        raise ConfigurationError(f"{oneof}: {' and '.join(given)} are mutually exclusive; give one of them")

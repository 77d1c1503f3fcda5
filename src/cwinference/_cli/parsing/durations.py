"""Durations as people write them: `90`, `90s`, `10m`, `1h`, `1h30m`."""

import re

import click

from .converter import Converter

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(s|m|h|d|)")


def seconds_of(text: str) -> float | None:
    """Return the seconds of a duration, or None if it is none."""
    parts = _PART.findall(text)
    if not parts or "".join(map("".join, parts)) != text or (len(parts) > 1 and any(not unit for _, unit in parts)):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def duration_text(seconds: float) -> str:
    """Return a duration as an option takes it: `30m`."""
    unit, size = next(((unit, size) for unit, size in (("h", 3600), ("m", 60)) if seconds % size == 0), ("s", 1))
    return f"{seconds / size:g}{unit}"


class Duration(Converter[float]):
    """The type of an option that takes a duration; its value is in seconds.

    Args:
        allows_zero: whether 0 is one, too.
    """

    name = "duration"

    def __init__(self, *, allows_zero: bool = False) -> None:
        self._allows_zero = allows_zero

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        seconds = value if isinstance(value, float | int) else seconds_of(str(value).strip())
        if seconds is None or seconds < 0 or (seconds == 0 and not self._allows_zero):
            least = "" if self._allows_zero else " above 0"
            self.fail(f"expected a duration{least}, such as 90, 90s, 10m or 1h, got {value!r}", param, ctx)
        return float(seconds)


DURATION = Duration()
PAUSE = Duration(allows_zero=True)

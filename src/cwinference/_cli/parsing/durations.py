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


class Duration(Converter[float]):
    """The type of an option that takes a duration; its value is in seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        seconds = value if isinstance(value, float | int) else seconds_of(str(value).strip())
        if seconds is None or not seconds > 0:
            self.fail(f"expected a duration above 0, such as 90, 90s, 10m or 1h, got {value!r}", param, ctx)
        return float(seconds)


DURATION = Duration()

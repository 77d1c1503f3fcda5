"""Data from a file, and where in the file each value is, so that an error names the line. JSON, read strictly."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ._text import one_line
from .errors import ConfigurationError

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indexes that lead to a value: `("gateways", "front", "zones", 0)`."""

_DEEPEST = 60
_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value is.

    Attributes:
        line: the line in the file, from 1.
        text: how a number, bool or null is written, which its value does not show: `0.10`. None for all others. It may
            be a secret that was meant to be a string.
    """

    line: int
    text: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Odd:
    """A value that is no plain data, such as a date or an octal number: certainly a string that lacks its quotes."""

    text: str = field(repr=False)


@dataclass(frozen=True)
class Document:
    """What a file contains.

    Attributes:
        value: mappings with strings as keys, lists, strings, numbers, bools, None, and `Odd`.
        places: where the values are. Empty for data that came from no file.
        source: what errors call the file; empty for data that came from none.
    """

    value: Any = field(repr=False)
    places: Mapping[Path, Place] = field(default_factory=dict[Path, Place], repr=False)
    source: str = ""

    def place(self, path: Path) -> Place | None:
        """Return where a value is, or else what is around it."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.places:
                return self.places[path[:end]]
        return None

    def error(self, path: Path, text: str, shown: str | None = None) -> ConfigurationError:
        """Return an error about a value; `shown` is its path in words that suit better than dots between keys."""
        place = self.place(path)
        where = [self.source, f"line {place.line}" if place else "", dotted(path) if shown is None else shown, text]
        return ConfigurationError(": ".join(one_line(each) for each in where if each))


def dotted(path: Path) -> str:
    """Return a path as text: `gateways.front.zones[0]`."""
    text = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in path)
    return text.removeprefix(".")


def parse_json(text: str, source: str = "") -> Document:
    """Read JSON. What `json` would let pass is refused: duplicate keys, NaN, infinities.

    Raises:
        ConfigurationError: it is not JSON; the text names the line.
    """
    reader = _Reader(text, source)
    value, end = reader.value(reader.skip(0), ())
    if reader.skip(end) != len(text):
        raise reader.refusal(reader.skip(end), "expected the end of the file")
    return Document(value, reader.places, source)


class _Reader:
    """Reads one text; positions are those of characters."""

    def __init__(self, text: str, source: str) -> None:
        self.text, self.source = text, source
        self.places: dict[Path, Place] = {}
        self._line, self._counted = 1, 0

    def skip(self, position: int) -> int:
        found = _SPACE.match(self.text, position)
        return found.end() if found else position

    def value(self, position: int, path: Path) -> tuple[Any, int]:
        if len(path) > _DEEPEST:
            raise self.refusal(position, "nested too deeply")
        self.places.setdefault(path, Place(self._line_of(position)))
        match self.text[position : position + 1]:
            case "{":
                return self._object(position + 1, path)
            case "[":
                return self._array(position + 1, path)
            case '"':
                return self._string(position)
            case _:
                return self._plain(position, path)

    def refusal(self, position: int, text: str) -> ConfigurationError:
        position = min(position, len(self.text.rstrip()))  # the line that lacks something, not one after the last
        self._line, self._counted = 1, 0  # an error may be about what is before the last line that was looked up
        return Document(None, {(): Place(self._line_of(position))}, self.source).error((), text)

    def _line_of(self, position: int) -> int:
        self._line += self.text.count("\n", self._counted, position)
        self._counted = position
        return self._line

    def _string(self, position: int) -> tuple[str, int]:
        try:
            text, end = _DECODER.raw_decode(self.text, position)
        except ValueError:
            raise self.refusal(position, "a string has no end, or a character in it that JSON escapes") from None
        return str(text), end

    def _plain(self, position: int, path: Path) -> tuple[Any, int]:
        try:
            value, end = _DECODER.raw_decode(self.text, position)
        except ValueError:
            raise self.refusal(position, "expected a value") from None
        text = self.text[position:end]
        if text.lstrip("-") in ("NaN", "Infinity"):
            raise self.refusal(position, f"{text} is not a number")
        self.places[path] = Place(self.places[path].line, text)
        return value, end

    def _array(self, position: int, path: Path) -> tuple[list[Any], int]:
        found = list[Any]()
        position = self.skip(position)
        while self.text[position : position + 1] != "]":
            item, position = self.value(position, (*path, len(found)))
            found.append(item)
            position = self._after(position, "]")
        return found, position + 1

    def _object(self, position: int, path: Path) -> tuple[dict[str, Any], int]:
        found = dict[str, Any]()
        position = self.skip(position)
        while self.text[position : position + 1] != "}":
            if self.text[position : position + 1] != '"':
                raise self.refusal(position, 'expected a key in double quotes, or "}"')
            start = position
            key, position = self._string(position)
            place = (*path, key)
            self.places.setdefault(place, Place(self._line_of(start)))
            if key in found:
                raise self.refusal(start, f"{dotted(place)}: the key is there twice")
            position = self.skip(position)
            if self.text[position : position + 1] != ":":
                raise self.refusal(position, f'{dotted(place)}: expected ":"')
            found[key], position = self.value(self.skip(position + 1), place)
            position = self._after(position, "}")
        return found, position + 1

    def _after(self, position: int, end: str) -> int:
        """Return where the next item, or the end, begins."""
        position = self.skip(position)
        if self.text[position : position + 1] == end:
            return position
        if self.text[position : position + 1] != ",":
            raise self.refusal(position, f'expected "," or "{end}"')
        after = self.skip(position + 1)
        if self.text[after : after + 1] == end:
            raise self.refusal(position, f'there is a comma before "{end}"')
        return after

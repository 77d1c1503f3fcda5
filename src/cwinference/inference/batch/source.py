"""Where the requests of a batch come from: a JSONL file, which is opened once, or an iterable."""

import codecs
import os
import re
import select
import stat
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import suppress
from io import BytesIO, FileIO, UnsupportedOperation
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

from ..._text import reason_of
from ...errors import ConfigurationError
from . import access
from .appended_file import named

Requests: TypeAlias = str | os.PathLike[str] | Iterable[Mapping[str, Any]]
"""A JSONL file's path (`-`: standard input), or requests: bodies, or OpenAI's form with `custom_id`, `url`, `body`."""

_BLOCK = 1 << 18
_COUNTED_BLOCK = 1 << 22
_LONGEST = 1 << 28
"""Bytes of a line beyond which it is not read as a whole."""
_END = re.compile(rb"[^\n]\n")
_STANDARD_INPUT = Path("-")
_UTF_16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


class OverlongLine:
    """In place of a line that is too long."""


class Source:
    """The requests, as lines of JSON or as what the iterable has."""

    def __init__(self, requests: Requests) -> None:
        """Check the argument. Raises ConfigurationError."""
        if isinstance(requests, Mapping):
            raise ConfigurationError(
                "requests: expected a file or an iterable of requests; put a single one into a list"
            )
        if isinstance(requests, bytes) or not isinstance(requests, str | os.PathLike | Iterable):
            raise ConfigurationError(
                f"requests: expected a file or an iterable of requests, got {type(requests).__name__}"
            )
        is_path = isinstance(requests, str | os.PathLike)
        self._path = access.check_path(requests, "requests") if is_path else None
        self._iterable: Any = requests
        self._file: FileIO | BytesIO | None = None
        self._closing = threading.Lock()
        self._start = 0
        """Where the first line begins."""
        self.lines_counted = len(requests) if isinstance(requests, Sized) and not is_path else None
        """How many lines or requests there are; None if that is not known."""

    @property
    def name(self) -> str:
        """What an error calls all of them."""
        return "the iterable" if self._path is None else _shown(self._path)

    def name_of(self, line: int) -> str:
        """Return what an error calls a request."""
        return f"request {line}" if self._path is None else f"line {line} of {_shown(self._path)}"

    def open(self) -> os.stat_result | None:
        """Open a regular file, and return what identifies it. Raises ConfigurationError.

        Others are opened when they are read, because a named pipe waits for its writer.
        """
        if self._path is None:
            return None
        if self._path == _STANDARD_INPUT:
            return self._open_standard_input()
        try:
            status = access.status_of(self._path, "requests")
        except FileNotFoundError as error:
            raise access.unusable(self._path, "requests", error) from None
        if stat.S_ISDIR(status.st_mode):
            raise ConfigurationError(f"requests: {self._path} is a folder; use the path of a file")
        if not stat.S_ISREG(status.st_mode):
            return None
        self._file = access.open_to_read(self._path, "requests")
        self._encoding(next(self._blocks(self._file, self._path), b"")[:4])
        self._file.seek(0)
        return os.fstat(self._file.fileno())

    def _open_standard_input(self) -> os.stat_result | None:
        if sys.stdin is None:
            raise ConfigurationError("requests: standard input is closed; use a file")
        try:
            self._file = FileIO(os.dup(sys.stdin.fileno()), "rb")
        except UnsupportedOperation:  # in its place is something in memory
            self._file = BytesIO(sys.stdin.read().encode("utf-8", "surrogatepass"))
            return None
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"requests: standard input: {reason_of(error)}") from None
        with suppress(OSError):  # a pipe has no position
            self._start = self._file.tell()
        return os.fstat(self._file.fileno())

    def lines(self) -> Iterator[tuple[int, Any]]:
        """Yield the requests with the numbers of their lines, from 1, without empty lines.

        Raises ConfigurationError and OSError, and whatever the iterable raises.
        """
        for number, request in enumerate(self._iterable if self._path is None else self._split(self._path), 1):
            if not isinstance(request, bytes | str) or request.strip():
                yield number, request

    def count_lines(self) -> None:
        """Count the lines of a regular file, on a thread of its own, if that is possible without reading it twice."""
        with self._closing, suppress(OSError, RuntimeError):
            file = self._file
            if file is None or file.closed or not hasattr(os, "pread"):
                return
            if not isinstance(file, BytesIO) and stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                descriptor, name = os.dup(file.fileno()), "cwinference batch counter"
                threading.Thread(target=self._count, args=(descriptor,), name=name, daemon=True).start()

    def _count(self, descriptor: int) -> None:
        try:
            lines, position, last = 0, self._start, b"\n"
            while block := os.pread(descriptor, _COUNTED_BLOCK, position):
                if not position and _is_wide(block):
                    return
                lines += _ends_in(last + block)
                position, last = position + len(block), block[-1:]
            self.lines_counted = lines + (last != b"\n")
        except OSError:
            pass
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Close the file."""
        with self._closing:
            if self._file is not None:
                self._file.close()

    def _split(self, path: Path) -> Iterator[bytes | OverlongLine]:
        if self._file is None:
            self._file = access.open_to_read(path, "requests")
        blocks = self._blocks(self._file, path)
        head = b""
        for block in blocks:
            head += block
            if len(head) >= 4:
                break
        encoding = self._encoding(head)
        if encoding == "utf-8":
            return lines_in(chain([head.removeprefix(codecs.BOM_UTF8)], blocks))
        return lines_in(_in_utf_8(chain([head[2:]], blocks), encoding))

    def _blocks(self, file: FileIO | BytesIO, path: Path) -> Iterator[bytes]:
        """Yield what can be read at once, and wait only if there is nothing."""
        while True:
            try:
                block: bytes | None = file.read(_BLOCK)
            except OSError as error:
                raise named(error, path) from None
            if block is None:  # a socket that does not block
                select.select([file], [], [])
            elif not block:
                return
            else:
                yield block

    def _encoding(self, head: bytes) -> str:
        """Return the encoding by the first four bytes. Raises ConfigurationError if it is none that is read."""
        if head[:2] in _UTF_16 and head[:4] not in _UTF_32:
            return _UTF_16[head[:2]]
        zeros = [byte == 0 for byte in head[:4]]
        if head[:4] in _UTF_32 or zeros in ([False, True, True, True], [True, True, True, False]):
            raise ConfigurationError(f"requests: {self.name} is in UTF-32; convert it to UTF-8")
        if zeros in ([False, True, False, True], [True, False, True, False]):
            raise ConfigurationError(
                f"requests: {self.name} is in UTF-16 without a byte order mark; convert it to UTF-8"
            )
        return "utf-8"


def _ends_in(text: bytes) -> int:
    """Return how many lines end in a text after its first byte. Empty ones, which are no requests, do not count."""
    if b"\n\n" in text:
        return len(_END.findall(text))
    return text.count(b"\n") - text.startswith(b"\n")


def _is_wide(block: bytes) -> bool:
    return block[:2] in _UTF_16


def _shown(path: Path) -> str:
    return "standard input" if path == _STANDARD_INPUT else str(path)


def _in_utf_8(blocks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yield the same text in UTF-8; where it is not valid, neither is what is yielded."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    for block in blocks:
        yield decoder.decode(block).encode("utf-8", "surrogatepass")
    if decoder.getstate()[0]:
        yield b"\xff"


def lines_in(blocks: Iterable[bytes]) -> Iterator[bytes | OverlongLine]:
    """Yield the lines of a file without their newlines; of one that is too long, only that."""
    begun: list[bytes] = []
    size = 0
    for block in blocks:
        first, *others = block.split(b"\n")
        size += len(first)
        if size <= _LONGEST:
            begun.append(first)
        if others:
            yield b"".join(begun) if size <= _LONGEST else OverlongLine()
            begun = [others.pop()]
            size = len(begun[0])
            yield from others
    if size:
        yield b"".join(begun) if size <= _LONGEST else OverlongLine()

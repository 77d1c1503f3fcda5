"""What is removed from the files of a batch when a run ends: each file is replaced by one without it."""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter, FileIO
from pathlib import Path
from typing import BinaryIO

from . import access
from .key_set import CompletedKeys, digest_number
from .lines import Entry, entry_in, failed_key, without_mark
from .recovery import lines_before
from .replacing import replace_file

_BLOCK = 1 << 20


def without_replaced(
    file: FileIO, path: Path, changed: CompletedKeys, replaced: CompletedKeys, *, has_ended: bool
) -> FileIO:
    """Put a file without completions of requests that have changed in the place of OUT; return it, open.

    Of a key of `changed`, which has the digest of the request as it is now, or of `replaced`, the last line is kept if
    it has replaced others, and is of that request. Unless the run has ended, one that nothing has replaced is kept too.
    """
    last = CompletedKeys()  # with the numbers of their lines in place of digests
    for number, _, entry in _entries(file):
        if entry is not None and entry.replaces and (entry.key in changed or entry.key in replaced):
            last.note(entry.key, str(number), replaces=True)

    def is_kept(number: int, entry: Entry) -> bool:
        current = changed.digest(entry.key) if entry.key in changed else replaced.digest(entry.key)
        if current is None:
            return True
        if entry.key not in last:
            return not has_ended
        is_last = last.digest(entry.key) == digest_number(str(number))
        return entry.replaces and is_last and digest_number(entry.digest or "") == current

    def write(new: FileIO) -> None:
        with buffered(new) as writer:
            for number, line, entry in _entries(file):
                if entry is None or is_kept(number, entry):
                    writer.write(without_mark(line))

    return replace_file(path, write, "out")


def failures_in(file: FileIO, before: int, is_meant: Callable[[str], bool]) -> list[str]:
    """Return the keys of earlier failures of which `is_meant` is true, each once; `before` is as below."""
    keys = dict.fromkeys(failed_key(line) or "" for line in _lines(file, before))
    return [key for key in keys if is_meant(key)]


def with_failures(file: FileIO, path: Path, before: int, is_kept: Callable[[str], bool]) -> FileIO:
    """Put a file with fewer earlier failures in the place of the file of failures; return it, open.

    Args:
        file: the file of failures.
        path: its path.
        before: how many of its bytes are of earlier runs.
        is_kept: whether those with a key are kept.
    """
    size = os.fstat(file.fileno()).st_size

    def write(new: FileIO) -> None:
        with buffered(new) as writer:
            for line in _lines(file, before):
                if is_kept(failed_key(line) or ""):
                    writer.write(line)
            copy(file, before, size, writer)

    return replace_file(path, write, "out: failures")


def remove_failures(file: FileIO, path: Path) -> None:
    """Remove the file of failures, or only what is in it if something else is at its path by now."""
    file.truncate(0)
    if access.is_still_at(path, file):
        if os.name == "nt":  # which removes no open file
            file.close()
        with suppress(OSError):
            path.unlink()


def copy(file: FileIO, start: int, end: int, writer: BinaryIO) -> None:
    """Copy a part of a file."""
    file.seek(start)
    while start < end and (block := file.read(min(_BLOCK, end - start))):
        start += len(block)
        writer.write(block)


@contextmanager
def buffered(file: FileIO) -> Generator[BinaryIO]:
    """Write to an open file in large blocks; it stays open."""
    writer = BufferedWriter(file, _BLOCK)
    yield writer
    writer.detach()


def _entries(file: FileIO) -> Iterator[tuple[int, bytes, Entry | None]]:
    for number, line in enumerate(_lines(file, os.fstat(file.fileno()).st_size), 1):
        yield number, line, entry_in(line)


def _lines(file: FileIO, end: int) -> Iterator[bytes]:
    return (line for _, line in lines_before(file, end, lambda: False))

"""What earlier runs of a batch left: read back before anything is changed, and refused if it is not provably theirs."""

import logging
import os
from collections.abc import Callable, Iterator
from io import BufferedReader, FileIO
from pathlib import Path
from typing import NamedTuple

from ...errors import ConfigurationError
from .key_set import CompletedKeys, KeySet
from .lines import begins_completion, begins_failure, entry_in, failed_key
from .tokens import TokenCount

log = logging.getLogger("cwinference.batch")

_BLOCK = 1 << 16
_LONGEST = 1 << 30
"""Bytes of a line beyond which it is surely no response."""


class Stopped(Exception):
    """The batch was stopped while its files were read."""


class End(NamedTuple):
    """How to mend the end of a file of lines."""

    size: int
    """How many bytes of it are to be kept."""
    lacks_newline: bool
    """Whether the last line is whole except for its newline."""
    zeros: int
    """How many zero bytes are at its end."""

    def mend(self, file: FileIO, path: Path) -> None:
        """Cut off what a power loss or a killed run left at the end."""
        if self.zeros:
            log.warning("%s: %d zero bytes at its end, as a power loss leaves them, are cut off", path, self.zeros)
        if os.fstat(file.fileno()).st_size != self.size:
            file.truncate(self.size)
        if self.lacks_newline:
            file.write(b"\n")


class ResultsSoFar(NamedTuple):
    """OUT as it was read back."""

    completed: CompletedKeys
    replaced: CompletedKeys
    """Those keys of which there are lines that have been replaced, and are to be removed."""
    usage: TokenCount
    end: End


class FailuresSoFar(NamedTuple):
    """The file of failures as it was read back."""

    keys: KeySet
    end: End


def read_results(file: FileIO, path: Path, is_stopped: Callable[[], bool]) -> ResultsSoFar:
    """Read OUT back. Raises ConfigurationError if anything in it was not written by a batch, and Stopped."""
    completed, replaced, usage = CompletedKeys(), CompletedKeys(), TokenCount()
    failed, kept, is_whole = 0, 0, True
    end, zeros = _end_without_zeros(file)
    if zeros and not end:
        raise ConfigurationError(f"out: {path} has nothing but zero bytes; remove it, or use another file")
    for number, line in lines_before(file, end, is_stopped):
        entry, is_whole = entry_in(line), line.endswith(b"\n")
        if entry is None:
            is_last = kept + len(line) == end
            if is_whole or not is_last or not begins_completion(line, surely=number == 1):
                raise ConfigurationError(
                    f"out: line {number} of {path} is not a response of a batch, so the file was left as it is; "
                    "use another file"
                )
            log.info("%s: line %d, which a killed run left unfinished, is cut off", path, number)
            is_whole = True
            break
        kept += len(line)
        failed += not entry.is_completed
        if entry.is_completed:
            completed.note(entry.key, entry.digest, replaces=entry.replaces)
            usage.add(entry.usage)
            if entry.replaces:
                replaced.note(entry.key, entry.digest, replaces=True)
    if failed:
        log.info("%s has %d failed responses, whose requests are sent again", path, failed)
    return ResultsSoFar(completed, replaced, usage, End(kept, not is_whole, zeros))


def read_failures(file: FileIO, path: Path, is_stopped: Callable[[], bool]) -> FailuresSoFar:
    """Read the file of failures back, which is about to change. Raises the same."""
    end, zeros = _end_without_zeros(file)
    keys, kept, is_whole = KeySet(), 0, True
    for number, line in lines_before(file, end, is_stopped):
        is_whole = line.endswith(b"\n")
        if (key := failed_key(line)) is not None:
            keys.add(key)
            kept += len(line)
        elif kept + len(line) == end and not is_whole and begins_failure(line, surely=number == 1):
            is_whole = True
        else:
            raise ConfigurationError(
                f"out: failures go to {path}, whose line {number} is not a failure of a batch, so the file was left as "
                "it is; move it, or use another out"
            )
    if zeros and not end:
        raise ConfigurationError(f"out: failures go to {path}, which has nothing but zero bytes; move it")
    return FailuresSoFar(keys, End(kept, not is_whole, zeros))


def _end_without_zeros(file: FileIO) -> tuple[int, int]:
    """Return the size of a file without the zero bytes at its end, and how many these are."""
    size = end = os.fstat(file.fileno()).st_size
    while end > 0:
        start = max(0, end - _BLOCK)
        file.seek(start)
        kept = len((file.read(end - start) or b"").rstrip(b"\0"))
        if kept:
            return start + kept, size - start - kept
        end = start
    return 0, size


def lines_before(file: FileIO, end: int, is_stopped: Callable[[], bool]) -> Iterator[tuple[int, bytes]]:
    """Yield the lines before `end` with their numbers. What cannot begin a JSON object is not read as a whole."""
    file.seek(0)
    reader, number = BufferedReader(file, _BLOCK), 0
    try:
        while end > 0:
            number += 1
            if is_stopped():
                raise Stopped
            line = reader.readline(min(end, _BLOCK))
            if line.startswith(b"{") and not line.endswith(b"\n"):
                line += reader.readline(min(end, _LONGEST) - len(line))
            if not line:
                return
            end -= len(line)
            yield number, line
    finally:
        reader.detach()

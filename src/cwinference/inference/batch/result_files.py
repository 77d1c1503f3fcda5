"""The files of a batch: completions in OUT, each once, whatever happened to earlier runs; failures in a second file."""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..._text import printable
from ...errors import ApiError, ConfigurationError, InferenceError, ProtocolError
from .key_set import KeySet

_encode = json.JSONEncoder(separators=(",", ":")).encode

_BEGINNING = b'{"custom_id":'
_BEFORE_BODY = b',"response":{"status_code":200,"body":'
_AFTER_BODY = b'},"error":null}\n'

WRITE_SECONDS = 0.05
"""How often completions are written."""
SYNC_SECONDS = 1.0
"""How often what was written is synced to the disk."""


class ResultFiles:
    """OUT, open for appending by one process, and the file of failures."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.failures = failures_path(self.out)
        self.completed = KeySet()
        """The keys of the completions in OUT."""
        self._completions = _open(self.out)
        self._broken = False
        self._lock = threading.Lock()
        self._unwritten: list[bytes] = []
        try:
            self._recover()
            self._failures = self.failures.open("wb", buffering=0)
        except BaseException:
            self._completions.close()
            raise
        self._next_sync = time.monotonic() + SYNC_SECONDS

    def add(self, line: bytes) -> None:
        """Add a completion, made by `completion_line`; `write` writes it."""
        with self._lock:
            self._unwritten.append(line)

    def write(self) -> None:
        """Write what was added; to be called every `WRITE_SECONDS`.

        One write for many lines: each write releases Python's lock, after which a thread waits for its turn. Every
        `SYNC_SECONDS` the file is synced, so that a crash of the machine loses little.
        """
        with self._lock:
            lines, self._unwritten = self._unwritten, []
        if lines:
            self._append(self._completions, b"".join(lines))
        if time.monotonic() >= self._next_sync:
            self._sync()

    def _sync(self) -> None:
        self._next_sync = time.monotonic() + SYNC_SECONDS
        os.fsync(self._completions.fileno())

    def add_failure(self, line: bytes) -> None:
        """Add a failure, made by `failure_line`."""
        self._append(self._failures, line)

    def close(self) -> None:
        """Write and sync everything, and close the files; remove the file of failures if it is empty."""
        try:
            self.write()
            self._sync()
        finally:
            self._close()

    def _close(self) -> None:
        self._completions.close()
        empty = self._failures.tell() == 0
        self._failures.close()
        if empty:
            self.failures.unlink(missing_ok=True)

    def _append(self, file: BinaryIO, line: bytes) -> None:
        if self._broken:
            raise OSError("an earlier line could not be written whole")
        remaining = memoryview(line)
        try:
            while remaining:
                remaining = remaining[file.write(remaining) :]
        except OSError:
            self._broken = True
            raise

    def _recover(self) -> None:
        """Read what earlier runs completed, and cut off a line that a killed run left unfinished."""
        good = 0
        for number, line in enumerate(_lines(self.out), 1):
            key = _key_in(line)
            if key is None:
                if not _may_be_unfinished(line):
                    raise ConfigurationError(f"out: line {number} of {self.out} is not a completion; use another file")
                break
            self.completed.add(key)
            good += len(line)
        self._completions.truncate(good)


def completion_line(key: str, body: bytes) -> bytes:
    """Return a completion in OpenAI's batch form, its JSON as received, unless that might be split into several lines.

    Some readers split lines at characters beyond ASCII, such as U+2028.
    """
    if not body.isascii() or b"\n" in body or b"\r" in body:
        body = _encode(json.loads(body)).encode()
    return b"".join([_BEGINNING, _encode(key).encode(), _BEFORE_BODY, body, _AFTER_BODY])


def failure_line(key: str, line: int, error: InferenceError) -> bytes:
    """Return a failure in the same form, with the line of the request."""
    status = error.http_status if isinstance(error, ApiError | ProtocolError) else None
    code = error.code if isinstance(error, ApiError) else type(error).__name__
    reported = {
        "code": code,
        "message": printable(str(error)) if isinstance(error, InferenceError) else type(error).__name__,
    }
    response = None if status is None else {"status_code": status, "body": None}
    return _line({"custom_id": key, "line": line, "response": response, "error": reported})


def failures_path(out: Path) -> Path:
    """Return `OUT.errors.jsonl` for `OUT.jsonl`."""
    return out.with_name(f"{out.name.removesuffix('.jsonl')}.errors.jsonl")


def _line(value: Any) -> bytes:
    return _encode(value).encode() + b"\n"


def _open(path: Path) -> BinaryIO:
    try:
        file = path.open("ab", buffering=0)
    except OSError as error:
        raise ConfigurationError(f"out: {path}: {error.strerror}") from None
    if not path.is_file():  # a device or a pipe
        file.close()
        raise ConfigurationError(f"out: {path} is not a regular file, in which a later run could see what is completed")
    with suppress(ImportError):  # not on Windows
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise ConfigurationError(f"out: another batch is writing to {path}") from None
    return cast(BinaryIO, file)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _may_be_unfinished(line: bytes) -> bool:
    """Return whether it is the beginning of a line of ours, and no more."""
    return not line.endswith(b"\n") and (line.startswith(_BEGINNING) or _BEGINNING.startswith(line))


def _key_in(line: bytes) -> str | None:
    """Return the key of a whole line of OUT; None if it is none."""
    if not line.endswith(b"\n"):
        return None
    try:
        value = json.loads(line)
    except ValueError:
        return None
    key = cast(dict[str, Any], value).get("custom_id") if isinstance(value, dict) else None
    return key if isinstance(key, str) else None

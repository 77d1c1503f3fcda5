"""The files of a batch: answers in OUT, each once, whatever happened to earlier runs; failures beside it."""

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
"""How often answers are written."""
SYNC_SECONDS = 1.0
"""How often what was written is made to last."""


class Ledger:
    """OUT, open for appending by one process, and the file of failures."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.errors = errors_beside(self.out)
        self.answered = KeySet()
        """Keys whose answers stand in OUT."""
        self._answers = _open(self.out)
        self._broken = False
        self._lock = threading.Lock()
        self._unwritten: list[bytes] = []
        try:
            self._recover()
            self._failures = self.errors.open("wb", buffering=0)
        except BaseException:
            self._answers.close()
            raise
        self._next_sync = time.monotonic() + SYNC_SECONDS

    def answer(self, line: bytes) -> None:
        """Add an answer, made by `answer_line`; `write` writes it."""
        with self._lock:
            self._unwritten.append(line)

    def write(self) -> None:
        """Write what was added, to be called every `WRITE_SECONDS`: one write for many lines, each of which would cost
        a thread its turn. Now and then, make it last through a crash of the machine."""
        with self._lock:
            lines, self._unwritten = self._unwritten, []
        if lines:
            self._append(self._answers, b"".join(lines))
        if time.monotonic() >= self._next_sync:
            self._sync()

    def _sync(self) -> None:
        self._next_sync = time.monotonic() + SYNC_SECONDS
        os.fsync(self._answers.fileno())

    def failure(self, line: bytes) -> None:
        """Add a failure, made by `failure_line`."""
        self._append(self._failures, line)

    def close(self) -> None:
        """Make all of it last, and let the files go; without failures, their file goes too."""
        try:
            self.write()
            self._sync()
        finally:
            self._close()

    def _close(self) -> None:
        self._answers.close()
        empty = self._failures.tell() == 0
        self._failures.close()
        if empty:
            self.errors.unlink(missing_ok=True)

    def _append(self, file: BinaryIO, line: bytes) -> None:
        if self._broken:
            raise OSError("an earlier line could not be written whole")
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError:
            self._broken = True
            raise

    def _recover(self) -> None:
        """Learn what was answered before, and cut off a line that a killed run left unfinished."""
        good = 0
        for number, line in enumerate(_lines(self.out), 1):
            key = _key_in(line)
            if key is None:
                if not _may_be_cut_off(line):
                    raise ConfigurationError(f"out: line {number} of {self.out} is no answer; use another file")
                break
            self.answered.add(key)
            good += len(line)
        self._answers.truncate(good)


def answer_line(key: str, body: bytes) -> bytes:
    """An answer in OpenAI's batch form, its JSON as it came where that is one line whoever splits it."""
    if not body.isascii() or b"\n" in body or b"\r" in body:
        body = _encode(json.loads(body)).encode()
    return b"".join([_BEGINNING, _encode(key).encode(), _BEFORE_BODY, body, _AFTER_BODY])


def failure_line(key: str, line: int, error: InferenceError) -> bytes:
    """A failure in the same form, with the line of the request."""
    status = error.http_status if isinstance(error, ApiError | ProtocolError) else None
    code = error.code if isinstance(error, ApiError) else type(error).__name__
    told = {
        "code": code,
        "message": printable(str(error)) if isinstance(error, InferenceError) else type(error).__name__,
    }
    response = None if status is None else {"status_code": status, "body": None}
    return _line({"custom_id": key, "line": line, "response": response, "error": told})


def errors_beside(out: Path) -> Path:
    """`OUT.errors.jsonl` for `OUT.jsonl`."""
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
        raise ConfigurationError(f"out: {path} is no plain file, from which a later run could tell what is answered")
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


def _may_be_cut_off(line: bytes) -> bool:
    """Whether it is the beginning of a line of ours, and no more."""
    return not line.endswith(b"\n") and (line.startswith(_BEGINNING) or _BEGINNING.startswith(line))


def _key_in(line: bytes) -> str | None:
    """The key of a whole line of OUT."""
    if not line.endswith(b"\n"):
        return None
    try:
        value = json.loads(line)
    except ValueError:
        return None
    key = cast(dict[str, Any], value).get("custom_id") if isinstance(value, dict) else None
    return key if isinstance(key, str) else None

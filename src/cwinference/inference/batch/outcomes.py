"""What became of the requests of a batch: counted, and handed to the files."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..._text import one_line
from ...errors import ApiError, ConfigurationError, InferenceError, Unauthenticated
from .._request import CHAT, TEXT, CompletionRequest
from .._responses import Usage
from .lines import failure_line
from .requests import Item
from .result_files import ResultFiles
from .tokens import TokenCount

IN_A_ROW = 100
"""After how many failures without a success in between a run ends, if not more are in flight."""

_FATAL = (ConfigurationError, Unauthenticated)
"""Errors with which every other request would fail too. Not PermissionDenied: it may be about a single model."""


@dataclass(frozen=True)
class BatchResult:
    """The outcome of a run of a batch.

    Attributes:
        completed: completions that this run wrote.
        failed: requests that failed. They are in the file of failures; the next run retries them.
        skipped: requests that an earlier run had completed.
        first_failure: the line of the request that failed first, and why; None if none failed.
        failures: the path of the file with all failures; None if none failed.
        gave_up: whether the run ended early because too many requests failed in a row; the next run sends the rest.
        unsent: requests without an outcome that were not sent, because `retry_failed` sends only those that failed.
        usage: the tokens of the completions that this run wrote, as far as the server reported them.
        total_usage: the tokens of all completions in OUT, including those of earlier runs.
    """

    completed: int
    failed: int
    skipped: int
    first_failure: str | None = field(default=None, compare=False)
    failures: Path | None = field(default=None, compare=False)
    gave_up: bool = field(default=False, compare=False)
    unsent: int = 0
    usage: Usage = field(default_factory=lambda: TokenCount().usage, compare=False)
    total_usage: Usage = field(default_factory=lambda: TokenCount().usage, compare=False)


class Outcomes:
    """Takes the outcomes of requests. Many threads may use it.

    If the order is kept, a completion waits in memory until all before it are written. So no request may be sent that
    is more than `window` ahead of the first without an outcome: `advance` is called with the end of what may be sent.
    """

    def __init__(self, files: ResultFiles, window: int | None, advance: Callable[[int], None]) -> None:
        self.completed = 0
        self.failed = 0
        self.failed_in_a_row = 0
        self.first_failure: str | None = None
        self.tokens = TokenCount()
        self._files = files
        self._window = window
        self._advance = advance
        self._lock = threading.Lock()
        self._waiting: dict[int, bytes | None] = {}
        """Lines whose turn has not come, by number; None for a failure, which has no line in OUT."""
        self._next_number = 0
        if window is not None:
            advance(window)

    def complete(self, item: Item, line: bytes, usage: Any) -> None:
        """Take the completion of a request, as a line for OUT, with what it says of tokens."""
        with self._lock:
            self.completed += 1
            self.failed_in_a_row = 0
            self.tokens.add(usage)
            self._files.note_outcome(item.key)
            self._add(item.number, line)

    def fail(self, item: Item, error: InferenceError) -> int:
        """Take a failure; return how many there were in a row."""
        self.fail_unsent(item.key, item.line, error)
        with self._lock:
            self.failed_in_a_row += 1
            self._add(item.number, None)
            return self.failed_in_a_row

    def fail_unsent(self, key: str, line: int, error: InferenceError) -> None:
        """Take the failure of a request that cannot be sent, which has no number."""
        with self._lock:
            self.failed += 1
            if self.first_failure is None:
                self.first_failure = f"line {line}: {one_line(str(error))}"
            self._files.note_outcome(key)
        self._files.add_failure(failure_line(key, line, error))

    def flush(self) -> None:
        """Wait no longer for what has no outcome: give the files all completions, in their order."""
        with self._lock:
            for number in sorted(self._waiting):
                line = self._waiting.pop(number)
                if line is not None:
                    self._files.add(line)

    def _add(self, number: int, line: bytes | None) -> None:
        if self._window is None:
            if line is not None:
                self._files.add(line)
            return
        self._waiting[number] = line
        before = self._next_number
        while self._next_number in self._waiting:
            ready = self._waiting.pop(self._next_number)
            if ready is not None:
                self._files.add(ready)
            self._next_number += 1
        if self._next_number > before:
            self._advance(self._next_number + self._window)


def is_fatal(error: InferenceError, request: CompletionRequest, can_route: Callable[[CompletionRequest], bool]) -> bool:
    """Return whether every other request would fail like that: also if the gateway itself cannot be read.

    `can_route` says whether a request can be routed: if not, only that one has a ConfigurationError.
    """
    if isinstance(error, ApiError) and error.method not in (CHAT.name, TEXT.name):
        return True
    if isinstance(error, ConfigurationError) and not can_route(request):
        return False
    return isinstance(error, _FATAL)

"""A run of a batch: what both kinds of `Inference` share of it, and its workers, on threads or on an event loop."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from ..._arguments import check_count
from ..._text import one_line
from ...errors import ApiError, ConfigurationError, InferenceError, PermissionDenied, Unauthenticated
from .._limiter import Limiter
from .._request import CHAT, TEXT, CompletionRequest
from .key_set import KeySet
from .progress_bar import ProgressBar
from .requests import Item, Requests, completion_request, fields_of, read_requests, take_key
from .result_files import WRITE_SECONDS, ResultFiles, completion_line, failure_line

CONCURRENCY = 64
"""How many requests are in flight by default."""

_AHEAD = 1000
"""How many completions wait at most for an earlier one if the order is kept."""
_FATAL = (ConfigurationError, Unauthenticated, PermissionDenied)
"""Errors with which every other request would fail too."""
_IN_A_ROW = 100
"""After how many failures without a success in between a run ends, if not more are in flight."""


@dataclass(frozen=True)
class BatchResult:
    """The outcome of a run of a batch.

    Attributes:
        completed: completions that this run wrote.
        failed: requests that failed. They are in the file of failures, and the next run retries them.
        skipped: requests that an earlier run had completed.
        first_failure: the line of the request that failed first, and why; None if none failed.
        failures: the file of all failures; None if none failed.
        gave_up: whether so many failed in a row that the remaining requests were not sent; the next run sends them.
    """

    completed: int
    failed: int
    skipped: int
    first_failure: str | None = field(default=None, compare=False)
    failures: Path | None = field(default=None, compare=False)
    gave_up: bool = field(default=False, compare=False)


class Batch:
    """A run: hands out requests, and takes their outcomes. Many threads may use it.

    If the order is kept, a completion waits in memory until all before it are written. `window` bounds how many: each
    request takes one of its slots before it is handed out, and frees it when its line or its failure has had its turn.
    """

    def __init__(
        self,
        requests: Requests,
        out: str | os.PathLike[str],
        *,
        concurrency: int,
        limit: int,
        ordered: bool,
        progress: bool | None,
        keep_going: bool,
    ) -> None:
        self.workers = min(check_count(concurrency, "concurrency"), limit)
        if not isinstance(out, str | os.PathLike) or not os.fspath(out):
            raise ConfigurationError(f"out: expected the path of a file, got {out!r}")
        source = read_requests(requests, Path(out))
        self.files = ResultFiles(Path(out))
        self.window = Limiter(max(_AHEAD, 2 * self.workers)) if ordered else None
        """Slots for requests in flight or waiting for their turn to be written; None if the order is not kept."""
        self._items = self._pending(source)
        self._lock = threading.Lock()
        self._waiting: dict[int, bytes | None] = {}
        """Lines whose turn has not come, by number; None for a failure, which has no line in OUT."""
        self._next_number = 0
        self._skipped = self._completed = self._failed = 0
        self._failed_in_a_row = 0
        self._most_in_a_row = inf if keep_going else max(_IN_A_ROW, 2 * self.workers)
        self._first_failure: str | None = None
        self._stopped = self._gave_up = False
        self._progress = ProgressBar(progress)

    def take(self) -> Item | None:
        """Return the next request; None if there is none."""
        with self._lock:
            return None if self._stopped else next(self._items, None)

    def complete(self, item: Item, body: bytes) -> None:
        """Write a completion."""
        line = completion_line(item.key, body)
        with self._lock:
            self._completed += 1
            self._failed_in_a_row = 0
            self._write(item.number, line)

    def fail(self, item: Item, error: Exception) -> None:
        """Write a failure. Raises it if every other request would fail like that, and stops if it looks like that."""
        if not isinstance(error, InferenceError) or _is_fatal(error):
            self.stop()
            raise error
        with self._lock:
            self._note_failure(item.key, item.line, error)
            self._write(item.number, None)
            self._failed_in_a_row += 1
            give_up = self._failed_in_a_row >= self._most_in_a_row and not self._gave_up
            self._gave_up |= give_up
        if give_up:
            self.stop()

    def stop(self) -> None:
        """Hand out no more requests, and wake all workers that wait for a slot."""
        with self._lock:
            self._stopped = True
            for _ in range(self.workers if self.window is not None else 0):
                self.leave()

    def leave(self) -> None:
        """Free a slot, if the order is kept."""
        if self.window is not None:
            self.window.leave()

    def close(self) -> BatchResult:
        """Close the files, and return the outcome."""
        self._progress.close()
        self.files.close()
        return BatchResult(
            completed=self._completed,
            failed=self._failed,
            skipped=self._skipped,
            first_failure=self._first_failure,
            failures=self.files.failures if self._failed else None,
            gave_up=self._gave_up,
        )

    def _write(self, number: int, line: bytes | None) -> None:
        self._progress.step(self._completed, self._failed, self._skipped)
        if self.window is None:
            if line is not None:
                self.files.add(line)
            return
        self._waiting[number] = line
        while self._next_number in self._waiting:
            ready = self._waiting.pop(self._next_number)
            if ready is not None:
                self.files.add(ready)
            self._next_number += 1
            self.leave()

    def _note_failure(self, key: str, line: int, error: InferenceError) -> None:
        self._failed += 1
        if self._first_failure is None:
            self._first_failure = f"line {line}: {one_line(str(error))}"
        self.files.add_failure(failure_line(key, line, error))

    def _pending(self, source: Iterator[tuple[int, Any]]) -> Iterator[Item]:
        """Yield the requests that no earlier run has completed. One that cannot be sent is a failure at once."""
        seen, before, number = KeySet(), self.files.completed, 0
        for line, value in source:
            key = str(line)
            try:
                fields = fields_of(value)
                key = take_key(fields, key)
                if not seen.add(key):
                    raise ConfigurationError(f"duplicate custom_id {key!r}")
                if before and key in before:
                    self._skipped += 1
                    continue
                request = completion_request(fields)
            except ConfigurationError as error:
                self._note_failure(key, line, error)
                continue
            yield Item(key, line, request, number)
            number += 1


def _is_fatal(error: InferenceError) -> bool:
    """Return whether every other request would fail like that too: also if the gateway itself cannot be read."""
    is_of_completion = not isinstance(error, ApiError) or error.method in (CHAT.name, TEXT.name)
    return isinstance(error, _FATAL) or not is_of_completion


def _work(batch: Batch, send: Callable[[CompletionRequest], bytes]) -> None:
    while True:
        if batch.window is not None:
            batch.window.enter(None)
        item = batch.take()
        if item is None:
            return batch.leave()
        try:
            body = send(item.request)
        except Exception as error:
            batch.fail(item, error)
        else:
            batch.complete(item, body)


async def _work_async(batch: Batch, send: Callable[[CompletionRequest], Awaitable[bytes]]) -> None:
    while True:
        if batch.window is not None:
            await batch.window.enter_async(None)
        item = batch.take()
        if item is None:
            return batch.leave()
        try:
            body = await send(item.request)
        except Exception as error:
            batch.fail(item, error)
        else:
            batch.complete(item, body)


def run_on_threads(batch: Batch, send: Callable[[CompletionRequest], bytes]) -> BatchResult:
    """Perform a batch on threads of its own; raise the first error that ends it."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            _work(batch, send)
        except BaseException as error:
            batch.stop()
            failures.append(error)

    threads = [threading.Thread(target=run, name="cwinference batch", daemon=True) for _ in range(batch.workers)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(WRITE_SECONDS)
                batch.files.write()
    finally:
        batch.stop()
        result = batch.close()
    if failures:
        raise failures[0]
    return result


async def _keep_writing(batch: Batch) -> None:
    while True:
        await asyncio.sleep(WRITE_SECONDS)
        await asyncio.to_thread(batch.files.write)


async def run_on_loop(batch: Batch, send: Callable[[CompletionRequest], Awaitable[bytes]]) -> BatchResult:
    """Perform a batch on the running loop; raise the first error that ends it."""
    writer: asyncio.Future[Any] = asyncio.ensure_future(_keep_writing(batch))
    work: asyncio.Future[Any] = asyncio.gather(*(_work_async(batch, send) for _ in range(batch.workers)))
    try:
        await asyncio.wait([writer, work], return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            writer.result()
        await work
    finally:
        batch.stop()
        for each in (writer, work):
            each.cancel()
        await asyncio.gather(writer, work, return_exceptions=True)
        result = batch.close()
    return result

"""A run of a batch: what its reader, its workers and its writer share."""

import os
import time
from collections.abc import Callable
from math import inf

from ..._arguments import check_count
from ...errors import InferenceError, ProtocolError
from .._auto_limiter import Limit
from .._limiter import Limiter
from .._model_server import CheckedBody
from .._request import CompletionRequest
from . import access
from .lines import completion_line
from .outcomes import IN_A_ROW, BatchResult, Outcomes, is_fatal
from .progress import BatchProgress, Meter
from .progress_bar import ProgressBar, Shown
from .reader import Reader
from .request_queue import RequestQueue
from .requests import Item
from .result_files import Earlier, ResultFiles
from .source import Requests, Source
from .terms import Terms
from .writer import Writer

CONCURRENCY = 64
"""How many requests are in flight by default."""

_WINDOW = 1000
"""How far requests may be ahead of the first without an outcome if the order is kept, if not more are in flight."""
_STALLED = 20
"""For how many rounds of the writer requests are held back while no other one is read."""


class Batch:
    """A run: a reader fills the queue, workers take requests from it and return outcomes, and a writer writes them.

    Reader and writer are threads of their own. The workers are those of `runner`; they are started as there is work.
    """

    def __init__(
        self,
        requests: Requests,
        out: str | os.PathLike[str],
        *,
        concurrency: Limit,
        limiter: Limiter,
        ordered: bool,
        progress: Shown,
        keep_going: bool,
        terms: Terms,
        can_route: Callable[[CompletionRequest], bool],
    ) -> None:
        """Check the arguments; `start` opens the files.

        `can_route` says whether a request can be routed: if not, only that one has a ConfigurationError.
        """
        self._most_workers = None if concurrency == "auto" else check_count(int(concurrency), "concurrency")
        self._limiter = limiter
        path = access.check_out(out)
        self._wake: Callable[[], None] = _do_nothing
        self._queue = RequestQueue(lambda: self._wake())
        self._terms = terms
        self._source = Source(requests)
        self._reader = Reader(self._source, path, self._queue, terms)
        self._files = ResultFiles(path, terms)
        window = max(_WINDOW, 2 * (self._most_workers or 0)) if ordered else None
        self._outcomes = Outcomes(self._files, window, self._queue.advance)
        self._writer = Writer(self._write, self._abort)
        self._earlier = Earlier()
        self._shows_progress = progress
        self._progress: ProgressBar | None = None
        self._meter = Meter(time.monotonic)
        self._keeps_going = keep_going
        self._can_route = can_route
        self._workers = 0
        self._error: BaseException | None = None
        self._is_aborted = self._gave_up = self._has_ended = self._was_behind = False
        self._stalled_at = self._stalled_for = 0

    @property
    def most_workers(self) -> int:
        """How many workers there may be now. One more than slots shows a limiter that more are wanted."""
        limit = self._limiter.limit
        return limit + 1 if self._most_workers is None else min(self._most_workers, limit)

    def start(self, wake: Callable[[], None]) -> None:
        """Open the files and start to read. `wake` is called on any thread when `offer` or `is_over` may change."""
        self._wake = wake
        self._limiter.on_growth = wake
        self._writer.start()
        try:
            self._reader.start(self._open, self._outcomes.fail_unsent, self.stop, self._note)
        except BaseException:  # there is no thread for it
            self._writer.finish(_do_nothing)
            raise

    def offer(self, workers: int) -> int:
        """Return how many workers to start in addition to those that there are."""
        if self._files.is_behind:
            self._was_behind = True
            return 0
        offered = self._queue.offer(is_more_wanted=workers < self.most_workers)
        more = min(offered, self.most_workers - workers)
        self._workers = max(self._workers, workers + more)
        return more

    def is_over(self, workers: int) -> bool:
        """Return whether nothing is left to do or to wait for."""
        return self._is_aborted or (workers == 0 and self._queue.is_done)

    def take(self) -> Item | None:
        """Return the next request; None if there is none now, so that the worker has to end."""
        return None if self._files.is_behind else self._queue.take()

    def complete(self, item: Item, body: CheckedBody) -> None:
        """Take a completion."""
        try:
            line = completion_line(item.key, body.content, item.digest, replaces=item.replaces)
        except ProtocolError as error:
            self.fail(item, error)
        else:
            self._outcomes.complete(item, line, body.usage)

    def fail(self, item: Item, error: BaseException) -> None:
        """Take a failure. The batch ends if every other request would fail like that, or if it looks like that."""
        if not isinstance(error, InferenceError) or is_fatal(error, item.request, self._can_route):
            self.stop(error)
        elif self._outcomes.fail(item, error) >= (inf if self._keeps_going else max(IN_A_ROW, 2 * self._workers)):
            self._gave_up = True
            self.stop()

    def stop(self, error: BaseException | None = None) -> None:
        """Hand out no more requests; in the end raise `error`, unless there was another one before."""
        if error is not None:
            self._note(error)
        self._queue.close()

    def finish(self, is_finished: Callable[[], None]) -> None:
        """Write what there is and close the files, whatever is still in flight; then call `is_finished` on a thread."""
        self._has_ended = self._error is None and self._queue.is_done and not self._queue.is_closed
        self._queue.close()
        self._writer.finish(lambda: self._close(is_finished))

    def result(self) -> BatchResult:
        """Return the outcome, or raise the error that ended the batch."""
        if self._error is not None:
            raise self._error
        outcomes = self._outcomes
        return BatchResult(
            completed=outcomes.completed,
            failed=outcomes.failed,
            skipped=self._reader.skipped,
            first_failure=outcomes.first_failure,
            failures=self._files.failures if outcomes.failed else None,
            gave_up=self._gave_up,
            unsent=self._reader.unsent,
            usage=outcomes.tokens.usage,
            total_usage=outcomes.tokens.plus(self._earlier.usage),
        )

    def _open(self, requests: os.stat_result | None) -> Earlier:
        self._earlier = self._files.open(requests, lambda: self._queue.is_closed)
        return self._earlier

    def _close(self, is_finished: Callable[[], None]) -> None:
        self._reader.has_opened.wait()  # it does not take long, since opening ends when the queue is closed
        try:
            self._outcomes.flush()
            is_whole = self._has_ended and self._reader.unsent == 0
            reader = self._reader
            requests, changed, seen = reader.to_save, reader.changed, reader.seen
            self._files.close(requests, changed, seen, has_ended=self._has_ended, is_finished=is_whole)
            self._show_progress()
            if self._progress is not None:
                self._progress.close(self._measure)
        except BaseException as error:
            self._note(error)
        finally:
            is_finished()

    def _write(self) -> None:
        """Write what there is, and do what else has to be done regularly."""
        self._files.write(self._reader.to_save)
        if self._was_behind and not self._files.is_behind:
            self._was_behind = False
            self._wake()
        if self._queue.is_held and self._reader.has_opened.is_set():
            self._stalled_for = self._stalled_for + 1 if self._reader.line == self._stalled_at else 0
            self._stalled_at = self._reader.line
            if self._stalled_for >= _STALLED:
                self._reader.stall(self.stop)
        self._show_progress()

    def _show_progress(self) -> None:
        if not self._files.are_open:
            return
        if self._progress is None:
            self._progress = ProgressBar(self._shows_progress)
            if self._progress.is_shown:
                self._source.count_lines()
        self._progress.step(self._measure)

    def _measure(self) -> BatchProgress:
        outcomes, tokens = self._outcomes, self._outcomes.tokens
        return self._meter.measure(
            outcomes.completed, outcomes.failed, self._reader.skipped, self._total(), tokens.prompt, tokens.completion
        )

    def _total(self) -> int | None:
        """Return how many requests there are; None if that is not known, or if not all are sent."""
        if self._terms.retry_failed:
            return None
        if self._reader.has_read_all:
            return self._reader.count
        lines, shard = self._source.lines_counted, self._terms.shard
        return lines if lines is None or shard is None else (lines + shard.of - shard.number) // shard.of

    def _abort(self, error: BaseException) -> None:
        """End the batch without waiting for what is in flight, since it could not be written."""
        self._note(error)
        self._is_aborted = True
        self._queue.close()

    def _note(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error


def _do_nothing() -> None:
    pass

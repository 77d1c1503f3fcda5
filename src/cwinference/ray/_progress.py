"""How far a run on a cluster is, shown by its driver."""

import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any

from ..inference.batch.progress import BatchProgress, Meter
from ..inference.batch.progress_bar import ProgressBar
from ._ray import ray_module
from ._sharing import Done
from ._todo import Todo

_PERIOD = 0.5
"""Seconds between two polls of the limit's actor, to which the workers report."""
_PATIENCE = 5.0
"""Seconds to wait for it."""


class ProgressThread:
    """Shows the progress while it is entered: on a thread, because Ray Data has that of the driver."""

    def __init__(self, shown: bool | None, keeper: Any, first: Todo, todo: Todo) -> None:
        """Take what there was to do before the first round, and before this one."""
        self._bar = ProgressBar(shown)
        self._meter = Meter(time.monotonic)
        self._keeper = keeper
        self._skipped = first.completed
        self._before = todo.completed - first.completed
        self._total = todo.completed + todo.missing
        self._done: Done | None = None
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cwinference progress", daemon=True)

    def __enter__(self) -> "ProgressThread":
        if self._bar.is_shown:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._has_ended.set()
        if self._bar.is_shown:
            self._thread.join()
            with suppress(Exception):  # Ray may be the reason why this ends
                self._bar.close(self._measure)

    def finish(self, done: Done) -> None:
        """Take what was written, which the last reports of the workers may not have included yet."""
        self._done = done

    def _run(self) -> None:
        while not self._has_ended.wait(_PERIOD):
            with suppress(Exception):  # the actor is restarted: then there is nothing to show for a moment
                self._bar.step(self._measure)

    def _measure(self) -> BatchProgress:
        done: Done = self._done or ray_module().get(self._keeper.done.remote(), timeout=_PATIENCE)
        completed = self._before + done.completed
        prompt_tokens, completion_tokens, _ = done.tokens
        return self._meter.measure(completed, done.failed, self._skipped, self._total, prompt_tokens, completion_tokens)

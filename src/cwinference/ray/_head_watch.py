"""Notices that the head of the cluster is gone: Ray ends this process a minute later, without a word."""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from ._ray import ray_module

log = logging.getLogger("cwinference.batch")

_PERIOD = 5.0
"""Seconds between two polls."""
_PATIENCE = 15.0
"""Seconds to wait for a response."""


class HeadWatch:
    """Polls the head while it is entered, and warns once if it does not respond."""

    def __init__(
        self, poll: Callable[[], object] | None = None, period: float = _PERIOD, patience: float = _PATIENCE
    ) -> None:
        self._poll = poll or ray_module().nodes
        self._period = period
        self._patience = patience
        self._has_ended = threading.Event()
        self._has_warned = False

    def __enter__(self) -> "HeadWatch":
        threading.Thread(target=self._run, name="cwinference watch", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._has_ended.set()

    def _run(self) -> None:
        while not self._has_ended.wait(self._period):
            timer = threading.Timer(self._patience, self._warn)
            timer.daemon = True
            timer.start()
            try:
                with suppress(Exception):  # the run itself notices what else is wrong
                    self._poll()
            finally:
                timer.cancel()

    def _warn(self) -> None:
        if not self._has_warned and not self._has_ended.is_set():
            self._has_warned = True
            log.warning(
                "the head of the Ray cluster has not responded for %.0f s; if it is gone, Ray ends this process within "
                "a minute: run the batch again to continue",
                self._patience,
            )

"""Reads the requests of a batch on a thread of its own, so that nothing else has to wait for them."""

import os
import threading
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from typing import Any

from ...errors import ConfigurationError, InferenceError
from .key_set import UNDIGESTED, CompletedKeys, KeySet, digest_number
from .recovery import Stopped
from .request_queue import RequestQueue
from .requests import Item, completion_of, completion_request, digest_of, fields_of, take_key
from .source import Source


class Reader:
    """Opens the files, and puts the requests that no earlier run has completed into the queue.

    Whatever a request contains, it is put there, skipped, or a failure of its own. Only a request whose key in OUT
    belongs to another one ends the batch, and so do errors of the source.
    """

    def __init__(self, source: Source, out: Path, queue: RequestQueue) -> None:
        self.skipped = 0
        """How many requests an earlier run had completed."""
        self.line = 0
        """The line that was read last."""
        self.has_opened = threading.Event()
        """Set when the files are open, or cannot be opened."""
        self._source = source
        self._out = out
        self._queue = queue
        self._seen = KeySet()
        self._completed = CompletedKeys()
        self._number = 0

    def start(
        self,
        open_files: Callable[[os.stat_result | None], CompletedKeys],
        fail: Callable[[str, int, InferenceError], None],
        stop: Callable[[BaseException | None], None],
        note_error: Callable[[BaseException], None],
    ) -> None:
        """Start the thread.

        Args:
            open_files: opens the files of results; gets what identifies the file of requests, and returns the keys of
                the completions in OUT.
            fail: notes that a request cannot be sent.
            stop: ends the batch, without what is still in the queue.
            note_error: notes the error of the source with which the batch ends, after what is in the queue.
        """

        def run() -> None:
            try:
                self._completed = open_files(self._source.open())
            except BaseException as error:
                self._source.close()
                stop(None if isinstance(error, Stopped) else error)
                self.has_opened.set()
                return
            self.has_opened.set()
            try:
                self._read(fail, stop)
            except BaseException as error:  # whatever an iterable raises
                note_error(error)
            finally:
                self._source.close()
                self._queue.end()

        context = copy_context()
        threading.Thread(target=context.run, args=(run,), name="cwinference batch reader", daemon=True).start()

    def _read(self, fail: Callable[[str, int, InferenceError], None], stop: Callable[[BaseException], None]) -> None:
        # What is completed is compared first, so that nothing of another input is sent.
        last_line = self._completed.last_line
        if not last_line:
            self._queue.release()
        for line, value in self._source.lines():
            self.line = line
            try:
                item = self._next(line, value, fail)
            except ConfigurationError as error:
                stop(error)
                return
            if item is not None and not self._queue.put(item):
                return
            if self._queue.is_held and line >= last_line:
                self._queue.release()

    def _next(self, line: int, value: Any, fail: Callable[[str, int, InferenceError], None]) -> Item | None:
        """Return a request that is to be sent. Raises ConfigurationError if its key in OUT belongs to another one."""
        key, custom_id = str(line), None
        try:
            fields = fields_of(value)
            custom_id = take_key(fields)
            key = key if custom_id is None else custom_id
            if not self._seen.add(key):
                raise ConfigurationError(f"duplicate custom_id {key!r}")
            expected = self._completed.digest(key) if self._completed else None
            if expected is None:
                return self._item(key, line, fields, is_numbered=custom_id is None)
            by_key = custom_id is not None and expected == UNDIGESTED
            if by_key or digest_number(digest_of(*completion_of(fields))) == expected:
                self.skipped += 1
                return None
        except ConfigurationError as error:
            if custom_id is not None or self._completed.digest(key) in (None, UNDIGESTED):
                fail(key, line, error)
                return None
        raise self._mismatch(line, key)

    def _item(self, key: str, line: int, fields: dict[str, Any], *, is_numbered: bool) -> Item:
        method, body = completion_of(fields)
        request = completion_request(method, body)
        number, self._number = self._number, self._number + 1
        return Item(key, line, request, digest_of(method, body) if is_numbered else None, number)

    def _mismatch(self, line: int, key: str) -> ConfigurationError:
        name = self._source.name_of(line)
        advice = "use another out, or give each request a custom_id"
        if self._completed.digest(key) == UNDIGESTED:
            return ConfigurationError(
                f"requests: {name} has no custom_id, and the completion {key!r} in {self._out} does not say of which "
                f"request it is; {advice}"
            )
        return ConfigurationError(
            f"requests: {name} is another request than the one whose completion {self._out} has under {key!r}; {advice}"
        )

"""Reads the requests of a batch on a thread of its own, so that nothing else has to wait for them."""

import logging
import os
import threading
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from typing import Any

from ..._text import one_line
from ...errors import ConfigurationError, InferenceError
from .._request import CompletionMethod, encoded
from .fingerprint import Fingerprint, content_by, content_of
from .input_check import InputCheck
from .key_set import UNDIGESTED, CompletedKeys, KeySet, digest_number
from .manifest import refused
from .recovery import Stopped
from .request_queue import RequestQueue
from .requests import Item, completion_of, completion_request, digest_of, fields_of, take_key
from .result_files import Earlier
from .source import Source
from .terms import Terms

log = logging.getLogger("cwinference.batch")

_MOST_NAMED = 10
"""Of how many changed requests each has a line in the log."""

Fail = Callable[[str, int, InferenceError], None]


class Reader:
    """Opens the files, and puts the requests that no earlier run has completed into the queue.

    Whatever a request contains, it is put there, skipped, or a failure of its own. Only a request whose key in OUT
    belongs to another one ends the batch, and so do another input than before, and errors of the source.
    """

    def __init__(self, source: Source, out: Path, queue: RequestQueue, terms: Terms) -> None:
        self.skipped = 0
        """How many requests an earlier run had completed."""
        self.unsent = 0
        """How many requests have no outcome, and are not sent, since only failed ones are."""
        self.count = 0
        """How many requests were read, of the shard if there is one."""
        self.has_read_all = False
        """Whether there are no more."""
        self.line = 0
        """The line that was read last."""
        self.has_opened = threading.Event()
        """Set when the files are open, or cannot be opened."""
        self.check = InputCheck(None, 0)
        """Whether the requests are those of earlier runs."""
        self.changed = CompletedKeys()
        """The keys of completions that are to be removed, since their requests have changed, with the new digests."""
        self.seen = KeySet()
        """The keys of all requests that were read."""
        self._source = source
        self._out = out
        self._queue = queue
        self._terms = terms
        self._earlier = Earlier()
        self._number = 0
        self._is_known = False
        """Whether what is completed was compared with the requests, and none was another one."""
        self._content: bytes | None = None
        """What identifies the request that was read last, if that was found on the way."""

    @property
    def to_save(self) -> Fingerprint | None:
        """The fingerprint for the manifest; None as long as the input may be another one, or if it is."""
        return self.check.to_save if self._is_known else None

    def start(
        self,
        open_files: Callable[[os.stat_result | None], Earlier],
        fail: Fail,
        stop: Callable[[BaseException | None], None],
        note_error: Callable[[BaseException], None],
    ) -> None:
        """Start the thread.

        Args:
            open_files: opens the files of results; gets what identifies the file of requests, and returns what earlier
                runs have left.
            fail: notes that a request cannot be sent.
            stop: ends the batch, without what is still in the queue.
            note_error: notes the error of the source with which the batch ends, after what is in the queue.
        """

        def run() -> None:
            try:
                self._begin(open_files(self._source.open()))
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

    def stall(self, stop: Callable[[BaseException | None], None]) -> None:
        """Send what was held back, since no other request is read; unless the input is another one than before."""
        if self.check.differs:
            stop(self.check.error(self._source.name, self._out))
        else:
            self._queue.release()

    def _begin(self, earlier: Earlier) -> None:
        self._earlier = earlier
        manifest = None if self._terms.force else earlier.manifest
        self.check = InputCheck(None if manifest is None else manifest.requests, len(earlier.completed))

    def _read(self, fail: Fail, stop: Callable[[BaseException], None]) -> None:
        check, shard = self.check, self._terms.shard
        self._release_if_known(0)
        for line, value in self._source.lines():
            self.line = line
            if shard is not None and not shard.has(line):
                check.add(line, content_of(value))
                continue
            self.count += 1
            self._content = None
            try:
                item = self._next(line, value, fail)
                check.add(line, self._content or content_of(value))
                if check.differs and item is not None and not (self._queue.is_held and self._queue.has_room(item)):
                    raise check.error(self._source.name, self._out)
            except ConfigurationError as error:
                self._is_known = False
                stop(error)
                return
            if item is not None and not self._queue.put(item):
                return
            self._release_if_known(line)
        self.has_read_all = self._is_known = True
        if not check.is_settled:
            stop(check.error(self._source.name, self._out))
        self._report()

    def _release_if_known(self, line: int) -> None:
        """Let requests be sent once what is completed was compared, so that nothing of another input is sent."""
        if self._is_known:
            return
        # Without a manifest, the completions under the numbers of lines are what there is to compare.
        last = 0 if self._terms.force or self._earlier.manifest is not None else self._earlier.completed.last_line
        if self.check.is_settled and line >= last:
            self._is_known = True
            if self._queue.is_held:
                self._queue.release()

    def _next(self, line: int, value: Any, fail: Fail) -> Item | None:
        """Return a request that is to be sent. Raises ConfigurationError if its key in OUT belongs to another one."""
        key, completed = str(line), self._earlier.completed
        try:
            fields = fields_of(value)
            custom_id = take_key(fields)
            key = key if custom_id is None else custom_id
            if not self.seen.add(key):
                self._fail_again(key, line, fail, is_custom=custom_id is not None)
                return None
            expected = completed.digest(key) if completed else None
            if expected == UNDIGESTED and custom_id is not None:
                self._skip()
                return None
            method, body = completion_of(fields)
            content = encoded(body)
            digest = digest_of(method, body, content)
            self._content = None if isinstance(value, bytes | str) else content_by(custom_id, digest)
        except ConfigurationError as error:
            self._invalid(key, line, error, fail)
            return None
        if expected is None:
            return None if self._is_unwanted(key) else self._item(key, line, method, body, content, digest, fail)
        if digest_number(digest) == expected:
            self._skip()
            return None
        self._change(key, line, digest, expected)
        return self._item(key, line, method, body, content, digest, fail, replaces=True)

    def _item(
        self,
        key: str,
        line: int,
        method: CompletionMethod,
        body: dict[str, Any],
        content: bytes,
        digest: str,
        fail: Fail,
        *,
        replaces: bool = False,
    ) -> Item | None:
        try:
            request = completion_request(method, body, content)
        except ConfigurationError as error:
            fail(key, line, error)
            return None
        number, self._number = self._number, self._number + 1
        return Item(key, line, request, digest, number, replaces)

    def _invalid(self, key: str, line: int, error: ConfigurationError, fail: Fail) -> None:
        """Let a request fail that cannot be sent, whether or not OUT has a completion under its key."""
        expected = self._earlier.completed.digest(key)
        if expected not in (None, UNDIGESTED):
            self._change(key, line, None, expected)
        elif self._is_unwanted(key):
            return
        fail(key, line, error)

    def _fail_again(self, key: str, line: int, fail: Fail, *, is_custom: bool) -> None:
        """Let a request fail whose key another one has had in this run."""
        if not self._is_unwanted(key):
            text = f"duplicate custom_id {key!r}"
            if not is_custom:
                text = f"it has no custom_id, and another request has the number of its line, {key!r}; give it one"
            fail(key, line, ConfigurationError(text))

    def _skip(self) -> None:
        self.skipped += 1
        self.check.find()

    def _is_unwanted(self, key: str) -> bool:
        """Return whether a request is not to be sent, because only those that failed are; count it."""
        if not self._terms.retry_failed or key in self._earlier.failed:
            return False
        self.unsent += 1
        return True

    def _change(self, key: str, line: int, digest: str | None, expected: int) -> None:
        """Note that the request of a completion has changed. Raises ConfigurationError unless that is wanted."""
        name = self._source.name_of(line)
        if not self._terms.force:
            raise self._mismatch(name, key, expected)
        self.changed.note(key, digest, replaces=True)
        if len(self.changed) <= _MOST_NAMED:
            log.warning("%s", one_line(f"{name} ({key!r}) has changed since it was completed, and is sent again"))

    def _report(self) -> None:
        if len(self.changed) > _MOST_NAMED:
            log.warning("%d requests have changed since they were completed, and are sent again", len(self.changed))
        if self._terms.force and len(self._earlier.completed) > self.skipped + len(self.changed):
            more = len(self._earlier.completed) - self.skipped - len(self.changed)
            log.warning("%s keeps %d completions that belong to none of these requests", self._out, more)

    def _mismatch(self, name: str, key: str, expected: int) -> ConfigurationError:
        if expected == UNDIGESTED:
            return refused(
                f"requests: {name} has no custom_id, and the completion {key!r} in {self._out} does not say of which "
                "request it is",
                "to send it again",
            )
        return refused(
            f"requests: {name} differs from the request that has a completion under {key!r} in {self._out}",
            "to send what has changed again",
        )

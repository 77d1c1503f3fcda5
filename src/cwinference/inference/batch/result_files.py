"""The files that a batch writes: OUT, with each completion once whatever happened to earlier runs, and failures."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from io import FileIO
from pathlib import Path

from ..._text import one_line
from ...errors import ConfigurationError
from . import access
from .appended_file import AppendedFile, named
from .fingerprint import Fingerprint
from .key_set import CompletedKeys, KeySet
from .manifest import Manifest
from .recovery import FailuresSoFar, read_failures, read_results
from .rewriting import failures_in, remove_failures, with_failures, without_replaced
from .terms import Terms
from .tokens import TokenCount

log = logging.getLogger("cwinference.batch")

WRITE_SECONDS = 0.05
"""How often lines are written."""
SYNC_SECONDS = 1.0
"""How often what was written is synced to the disk, so that a crash of the machine loses little."""
_MANIFEST_SECONDS = 5.0
"""How often the manifest is saved in the end, if it has changed."""

_MOST_NAMED = 10
"""How many keys a warning names."""
_MOST_UNWRITTEN = 64 << 20
"""Bytes that wait to be written, beyond which a slow disk slows the batch down."""


@dataclass(frozen=True)
class Earlier:
    """What earlier runs have left."""

    completed: CompletedKeys = field(default_factory=CompletedKeys)
    """The completions in OUT."""
    replaced: CompletedKeys = field(default_factory=CompletedKeys)
    """Those keys of them of which OUT has lines that are to be removed."""
    failed: KeySet = field(default_factory=KeySet)
    """What is in the file of failures."""
    manifest: Manifest | None = None
    usage: TokenCount = field(default_factory=TokenCount)


class ResultFiles:
    """OUT, open for appending by one process, the file of failures, and the manifest.

    What is there is read back, and refused if a batch did not write it, before anything is changed. Earlier failures
    are kept until this run has ended; then only those are left that still are failures.
    """

    def __init__(self, out: Path, terms: Terms) -> None:
        self._completions = AppendedFile(out)
        self._failures = AppendedFile(access.failures_path(out), self._create_failures)
        self._manifest_path = access.manifest_path(out)
        self._terms = terms
        self._earlier = Earlier()
        self._earlier_failures = 0
        """How many bytes of the file of failures are of earlier runs."""
        self._handled = KeySet()
        """Which earlier failures have another outcome by now."""
        self._manifest: Manifest | None = None
        self._next_sync = self._next_manifest = 0.0
        self._manifest_pause = WRITE_SECONDS

    def open(self, requests: os.stat_result | None, is_stopped: Callable[[], bool]) -> Earlier:
        """Open them; return what is in them. `requests` is the file of requests, if it is a file.

        Raises ConfigurationError, OSError with a path if the disk fails, and `recovery.Stopped`.
        """
        try:
            self._earlier = self._open(requests, is_stopped)
            return self._earlier
        except OSError as error:
            raise named(error, self._completions.path) from None

    @property
    def failures(self) -> Path:
        """The path of the file of failures."""
        return self._failures.path

    @property
    def are_open(self) -> bool:
        """Whether `open` has opened them."""
        return self._completions.file is not None

    @property
    def is_behind(self) -> bool:
        """Whether so much waits to be written that nothing should be added."""
        return self._completions.unwritten > _MOST_UNWRITTEN

    def add(self, line: bytes) -> None:
        """Add a completion, made by `completion_line`; `write` writes it."""
        self._completions.add(line)

    def add_failure(self, line: bytes) -> None:
        """Add a failure, made by `failure_line`; `write` writes it."""
        self._failures.add(line)

    def note_outcome(self, key: str) -> None:
        """Note that a request has an outcome, which may have failed before."""
        if self._earlier_failures and key in self._earlier.failed:
            self._handled.add(key)

    def write(self, requests: Fingerprint | None = None) -> None:
        """Write what was added; to be called every `WRITE_SECONDS`, by one thread. Raises OSError with a path.

        The manifest is there before the first completion of the run, and is saved ever less often.
        """
        now = time.monotonic()
        if requests is not None and requests.count and now >= self._next_manifest:
            self._save_manifest(requests, is_finished=False)
            self._manifest_pause = min(_MANIFEST_SECONDS, 2 * self._manifest_pause)
            self._next_manifest = time.monotonic() + self._manifest_pause
        self._completions.write()
        self._failures.write()
        if now >= self._next_sync:
            self._completions.sync()
            self._next_sync = time.monotonic() + SYNC_SECONDS

    def close(
        self,
        requests: Fingerprint | None,
        changed: CompletedKeys,
        seen: KeySet,
        *,
        has_ended: bool,
        is_finished: bool,
    ) -> None:
        """Write and sync everything, and close the files.

        Args:
            requests: those that were read; None if they are not to be noted.
            changed: the keys of completions whose requests have changed, with the digests of the new ones.
            seen: the keys of all requests that were read.
            has_ended: whether the run has ended well: then there are no failures but those of this run.
            is_finished: whether nothing is left to do but to retry these.
        """
        try:
            self.write()
            self._completions.sync()
            self._failures.sync()
            if self._completions.file is not None:
                self._remove_replaced(changed, has_ended=has_ended)
                self._remove_earlier_failures(seen, has_ended=has_ended)
                if requests is not None:
                    self._save_manifest(requests, is_finished=is_finished)
        finally:
            self._completions.close()
            self._failures.close()

    def _open(self, requests: os.stat_result | None, is_stopped: Callable[[], bool]) -> Earlier:
        out, failures, terms, earlier = self._completions.path, self._failures.path, self._terms, Earlier()
        failed: FailuresSoFar | None = None
        with ExitStack() as opened:
            found, found_failures = (_existing(out, "out", opened), _existing(failures, "out: failures", opened))
            access.refuse_same(out, found, found_failures, requests)
            if found is not None:
                access.lock(found, out, "out")
            manifest = self._load_manifest()
            if found_failures is not None:
                access.lock(found_failures, failures, "out: failures")
                failed = read_failures(found_failures, failures, is_stopped)
                earlier = replace(earlier, failed=failed.keys)
            else:
                access.check_folder(failures, "out: failures")
            access.check_folder(self._manifest_path, "out: the manifest")
            if found is None:
                _refuse_missing(terms, out, found_failures)
                found = opened.enter_context(access.create(out, "out"))
                access.lock(found, out, "out")
            else:
                so_far = read_results(found, out, is_stopped)
                if so_far.completed and manifest is not None and not terms.force:
                    manifest.refuse_other_shard(terms.shard, out)
                    manifest.refuse_other_servers(terms.servers, out)
                so_far.end.mend(found, out)
                completed = so_far.completed
                earlier = replace(earlier, completed=completed, replaced=so_far.replaced, usage=so_far.usage)
                earlier = replace(earlier, manifest=manifest if completed else None)
            if failed is not None and found_failures is not None:
                failed.end.mend(found_failures, failures)
                self._earlier_failures = os.fstat(found_failures.fileno()).st_size
            opened.pop_all()
        self._completions.file, self._failures.file = found, found_failures
        return earlier

    def _create_failures(self) -> FileIO:
        """Return the file of failures, empty."""
        path = self._failures.path
        file = access.create(path, "out: failures")
        try:
            access.lock(file, path, "out: failures")
        except ConfigurationError:
            file.close()
            raise
        return file

    def _load_manifest(self) -> Manifest | None:
        manifest = Manifest.load(self._manifest_path)
        if manifest is not None:
            manifest.refuse_other_out(self._completions.path)
        return manifest

    def _save_manifest(self, requests: Fingerprint, *, is_finished: bool) -> None:
        out = self._completions.path.name
        manifest = replace(self._terms.manifest(), requests=requests, finished=is_finished, out=out)
        if self._manifest is None:
            self._load_manifest()  # another batch may have written it since
        if manifest != self._manifest:
            manifest.save(self._manifest_path)
            self._manifest = manifest

    def _remove_replaced(self, changed: CompletedKeys, *, has_ended: bool) -> None:
        """Remove the completions of requests that have changed since."""
        file, replaced = self._completions.file, self._earlier.replaced
        if file is not None and (changed or replaced):
            self._completions.file = without_replaced(
                file, self._completions.path, changed, replaced, has_ended=has_ended
            )
            file.close()

    def _remove_earlier_failures(self, seen: KeySet, *, has_ended: bool) -> None:
        """Remove the earlier failures whose requests have another outcome by now, or are completed."""
        file, path, before = self._failures.file, self._failures.path, self._earlier_failures
        if file is None or not before or not (has_ended or self._handled):
            return
        # If only failures are retried, others than these may be somewhere else, and are not to be forgotten.
        keeps_unseen = not has_ended or self._terms.retry_failed
        unseen = (
            failures_in(file, before, lambda key: key not in seen and key not in self._handled) if has_ended else []
        )
        if unseen:
            log.warning("%s", one_line(_unseen(unseen, path, are_kept=keeps_unseen)))
        if has_ended and os.fstat(file.fileno()).st_size == before and not (unseen and keeps_unseen):
            remove_failures(file, path)
            return

        def is_kept(key: str) -> bool:
            return keeps_unseen and key not in self._handled and not (has_ended and key in seen)

        self._failures.file = with_failures(file, path, before, is_kept)
        file.close()


def _existing(path: Path, argument: str, opened: ExitStack) -> FileIO | None:
    file = access.open_existing(path, argument)
    return None if file is None else opened.enter_context(file)


def _unseen(keys: list[str], path: Path, *, are_kept: bool) -> str:
    """Return what happens to failures whose requests are no longer there."""
    named = ", ".join(map(repr, keys[:_MOST_NAMED])) + (", ..." if len(keys) > _MOST_NAMED else "")
    which = f"of the failures in {path}, {len(keys)} belong to none of these requests ({named})"
    return f"{which} and stay there; a run without retry_failed removes them" if are_kept else f"{which}: removed"


def _refuse_missing(terms: Terms, out: Path, failures: FileIO | None) -> None:
    """Raise ConfigurationError if failures are to be retried, and nothing was ever sent."""
    if terms.retry_failed and failures is None:
        what = f"{out} does not exist, and neither does a file of its failures"
        raise ConfigurationError(
            f"retry_failed: {what}; run the batch without it first",
            for_command=f"--retry-failed: {what}; run the batch without it first",
        )

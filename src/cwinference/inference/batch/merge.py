"""Joins the parts of a batch that was split into shards: all of them, finished, and of the same requests."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ...errors import ConfigurationError
from . import access
from .appended_file import named
from .key_set import KeySet
from .lines import entry_in, failed_key
from .manifest import Manifest, Shard
from .outcomes import BatchResult
from .recovery import lines_before, read_failures
from .replacing import replace_file
from .rewriting import buffered, remove_failures
from .tokens import TokenCount


class _Part(NamedTuple):
    path: Path
    manifest: Manifest
    completions: FileIO
    failures: FileIO | None


def merge_batches(parts: Sequence[str | os.PathLike[str]], *, out: str | os.PathLike[str]) -> BatchResult:
    """Join the parts of a batch that was split by `shard`, with their failures, into one file.

    This takes little memory, however long the parts are, and does not change them. OUT appears when it is complete; a
    batch of all requests can continue with it, for example to retry the failures.

    Args:
        parts: the `out` of each part, in any order.
        out: the file to write, which must not exist.

    Returns:
        The counts of all parts together; `completed` is the number of completions in OUT.

    Raises:
        ConfigurationError: a file cannot be used; a part is missing, unfinished, or of other requests than the others;
            or two parts have a completion under the same key.
        OSError: a file could not be read or written.
    """
    path = access.check_out(out)
    if isinstance(parts, str | bytes | os.PathLike) or not parts:
        raise ConfigurationError("parts: expected the paths of the files to join, in a list")
    paths = [access.check_path(each, "parts") for each in parts]
    if os.path.lexists(path):
        raise ConfigurationError(f"out: {path} exists; remove it, or use another out")
    if not path.parent.is_dir():
        raise ConfigurationError(f"out: {path} cannot be created, because its folder does not exist; create the folder")
    access.check_folder(path, "out")
    _refuse_repeated(paths)
    _check_leftovers(path)
    with ExitStack() as opened:
        found = [_opened(each, opened) for each in paths]
        _check_together(found)
        try:
            return _join(found, path)
        except OSError as error:
            raise named(error, path) from None


def _refuse_repeated(paths: Sequence[Path]) -> None:
    """Raise ConfigurationError if a part is given twice, by whatever paths."""
    seen: dict[str, Path] = {}
    for path in paths:
        first = seen.setdefault(os.path.realpath(path), path)
        if first is not path:
            raise ConfigurationError(f"parts: {path} is given twice, the first time as {first}; give each part once")


def _check_leftovers(out: Path) -> None:
    """Raise ConfigurationError if what is next to OUT was not written by a batch, such as a merge that was killed."""
    manifest = Manifest.load(access.manifest_path(out))
    if manifest is not None:
        manifest.refuse_other_out(out)
    failures = access.open_existing(access.failures_path(out), "out: failures")
    if failures is not None:
        with failures:
            read_failures(failures, access.failures_path(out), lambda: False)


def _opened(path: Path, opened: ExitStack) -> _Part:
    """Open and lock a part. Raises ConfigurationError if it is none."""
    completions = access.open_existing(path, "parts")
    if completions is None:
        raise ConfigurationError(f"parts: {path} does not exist")
    opened.enter_context(completions)
    access.lock(completions, path, "parts")
    manifest = Manifest.load(access.manifest_path(path))
    if manifest is None or manifest.shard is None or manifest.requests is None:
        raise ConfigurationError(f"parts: {path} is not one of the parts of a batch (shard=), by its manifest")
    if not manifest.finished:
        raise ConfigurationError(f"parts: {path}, shard {manifest.shard}, is not finished; run it again first")
    failures = access.open_existing(access.failures_path(path), "parts")
    if failures is not None:
        opened.enter_context(failures)
    return _Part(path, manifest, completions, failures)


def _check_together(parts: Sequence[_Part]) -> None:
    """Raise ConfigurationError unless the parts are all the parts of one batch."""
    first, of = parts[0], (parts[0].manifest.shard or Shard(1, 1)).of
    seen: dict[int, Path] = {}
    for part in parts:
        shard = part.manifest.shard or Shard(1, 1)
        if shard.of != of:
            raise ConfigurationError(
                f"parts: {part.path} is shard {shard}, and {first.path} is shard {first.manifest.shard}"
            )
        if part.manifest.requests != first.manifest.requests:
            raise ConfigurationError(
                f"parts: {part.path} has read other requests than {first.path}; run both with the same ones"
            )
        if shard.number in seen:
            raise ConfigurationError(f"parts: {part.path} is shard {shard}, and so is {seen[shard.number]}")
        seen[shard.number] = part.path
    missing = [str(Shard(number, of)) for number in range(1, of + 1) if number not in seen]
    if missing:
        raise ConfigurationError(f"parts: shard {', '.join(missing[:10])} is missing")


def _join(parts: Sequence[_Part], out: Path) -> BatchResult:
    """Write OUT last: as long as it is not there, nothing has been joined."""
    parts = sorted(parts, key=lambda part: part.manifest.shard or Shard(1, 1))
    keys, tokens, completed, failed = KeySet(), TokenCount(), 0, 0

    def write_failures(file: FileIO) -> None:
        nonlocal failed
        with buffered(file) as writer:
            for part in parts:
                if part.failures is not None:
                    failed += _copy(part.failures, access.failures_path(part.path), writer, _check_failure)

    def write_completions(file: FileIO) -> None:
        def is_completed(line: bytes) -> bool | None:
            entry = entry_in(line)
            if entry is None or not entry.is_completed:
                return None if entry is None else False
            if not keys.add(entry.key):
                raise ConfigurationError(
                    f"parts: two completions have the key {entry.key!r}; a custom_id is not unique"
                )
            tokens.add(entry.usage)
            return True

        nonlocal completed
        with buffered(file) as writer:
            for part in parts:
                completed += _copy(part.completions, part.path, writer, is_completed)
        _refuse_removed(parts[0].manifest, completed + failed)

    failures = access.failures_path(out)
    with replace_file(failures, write_failures, "out: failures") as file:
        if not failed:
            remove_failures(file, failures)
    servers = {server for part in parts for server in part.manifest.servers}
    manifest = Manifest(tuple(sorted(servers)), None, parts[0].manifest.requests, finished=True, out=out.name)
    manifest.save(access.manifest_path(out))
    replace_file(out, write_completions, "out").close()
    where, usage = failures if failed else None, tokens.usage
    return BatchResult(completed, failed, skipped=0, failures=where, usage=usage, total_usage=usage)


def _refuse_removed(manifest: Manifest, outcomes: int) -> None:
    """Raise ConfigurationError if finished parts have fewer outcomes than there are requests: lines were removed."""
    lost = 0 if manifest.requests is None else manifest.requests.count - outcomes
    if lost > 0:
        raise ConfigurationError(
            f"parts: {lost} requests have neither a completion nor a failure in them any more; run all parts again, "
            "which sends these"
        )


def _check_failure(line: bytes) -> bool | None:
    return True if failed_key(line) is not None else None


def _copy(file: FileIO, path: Path, writer: BinaryIO, is_wanted: Callable[[bytes], bool | None]) -> int:
    """Copy lines; return how many. Raises ConfigurationError for a line of which `is_wanted` returns None."""
    count = 0
    for number, line in _lines(file):
        wanted = is_wanted(line)
        if wanted is None:
            raise ConfigurationError(f"parts: line {number} of {path} was not written by a batch")
        if wanted:
            writer.write(line if line.endswith(b"\n") else line + b"\n")
            count += 1
    return count


def _lines(file: FileIO) -> Iterator[tuple[int, bytes]]:
    return lines_before(file, os.fstat(file.fileno()).st_size, lambda: False)

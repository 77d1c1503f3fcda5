"""What a batch has in its folder, and how it gets there: files that are whole, each once, whoever dies in between.

    completed-RUN-TASK.jsonl    completions, a file for each task of Ray that writes
    failed-RUN-TASK.jsonl       what failed in the latest run
    _manifest.json              who wrote that
    _replaces-RUN               there while RUN may have completions of keys that earlier runs have completed as well
    _lock                       locked by the driver, if the disk can do that
    _work/RUN/                  unfinished files, the requests that RUN sends, and the keys of those that have changed

A file gets its name when it is whole. A task that is repeated writes the same names again, so that there is no second
one with the same completions. A new run first removes the `_work` of all others: their tasks, which may outlive their
driver for a moment, can finish no file after that. Only then it looks for what is completed.
"""

import os
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any
from uuid import uuid4

from .._text import reason_of
from ..errors import ConfigurationError
from ..inference.batch import access
from ..inference.batch.lines import entry_in
from ..inference.batch.manifest import Manifest
from ..inference.batch.terms import Terms
from ._ray import ray_module

MANIFEST = "_manifest.json"
_REPLACES = "_replaces-"
_PARTS = re.compile(r"(completed|failed)-([0-9a-f]{32})-([0-9]{6,})\.jsonl")


class Store:
    """The folder of a batch. Workers get it pickled."""

    def __init__(self, out_dir: str | os.PathLike[str]) -> None:
        """Take a path, or a URL that pyarrow knows, such as `s3://bucket/path`. Raises ConfigurationError."""
        text: object = os.fspath(out_dir) if isinstance(out_dir, str | os.PathLike) else out_dir
        if not isinstance(text, str) or not text:
            raise ConfigurationError(f"out_dir: expected the path or URL of a folder, got {out_dir!r}")
        self.name = text
        self._system, self.root, self._is_local = _system_of(text)

    def __repr__(self) -> str:
        return f"Store({self.name!r})"

    def open(self) -> FileIO | None:
        """Create the folder, and lock it until the file that this returns is closed. Raises ConfigurationError."""
        try:
            self._system.create_dir(self.root, recursive=True)
            names = self._names()
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"out_dir: {self.name}: {_reason(error)}") from None
        foreign = sorted(name for name in names if not (_PARTS.fullmatch(name) or name.startswith(("_", "."))))
        if foreign:
            raise ConfigurationError(
                f"out_dir: {self.name} has {foreign[0]}, which no batch on a cluster has written; use another folder"
            )
        return self._locked() if self._is_local else None

    def begin(self, run: str) -> None:
        """Begin a run, and end those before it."""
        work = f"{self.root}/_work"
        with suppress(FileNotFoundError):
            self._system.delete_dir(work)
        self._system.create_dir(f"{work}/{run}", recursive=True)

    def completed(self) -> list[str]:
        """Return the paths of the completions that there are."""
        return sorted(f"{self.root}/{name}" for name in self._names() if name.startswith("completed-"))

    def todo(self, run: str) -> str:
        """Return the folder for the requests of a run."""
        return f"{self.root}/_work/{run}/todo"

    def put_todo(self, run: str, name: str, table: Any, rows: int) -> None:
        """Put rows into files there, each of which becomes a block when it is read."""
        for start in range(0, table.num_rows, rows):
            self._put_table(self.todo(run), f"{name}-{start}", table.slice(start, rows))

    def parts(self, folder: str) -> list[str]:
        """Return the files in a folder; none if there is no such folder."""
        selector = ray_module("pyarrow.fs").FileSelector(folder, allow_not_found=True)
        return sorted(str(each.path) for each in self._system.get_file_info(selector))

    def put_doubled(self, run: str, task: int, table: Any) -> None:
        """Put the rows of a task aside whose keys occur more than once."""
        if table.num_rows:
            self._put_table(f"{self.root}/_work/{run}/doubled", f"{task:06}", table)

    def doubled(self, run: str) -> Iterator[Any]:
        """Yield the tables that were put aside, in parts."""
        for path in self.parts(f"{self.root}/_work/{run}/doubled"):
            with self._system.open_input_stream(path) as file:
                yield from ray_module("pyarrow.ipc").open_stream(file)

    def put_changed(self, run: str, name: str, table: Any) -> None:
        """Put keys aside, of requests that have changed since they were completed."""
        if table.num_rows:
            self._put_table(self.changed(run), name, table.select(["custom_id"]))

    def changed(self, run: str) -> str:
        """Return the folder for these keys."""
        return f"{self.root}/_work/{run}/changed"

    def put(self, run: str, task: int, completed: bytes, failed: bytes) -> None:
        """Put the lines of a task into files, in place of those that the same task has put there before."""
        for kind, content in (("completed", completed), ("failed", failed)):
            name = f"{kind}-{run}-{task:06}.jsonl"
            if content:
                self.replace(name, content, run)
            else:
                with suppress(FileNotFoundError):
                    self._system.delete_file(f"{self.root}/{name}")

    def replace(self, name: str, content: bytes, run: str) -> None:
        """Put a whole file there. Raises OSError."""
        unfinished = f"{self.root}/_work/{run}/{name}.{uuid4().hex}"
        if self._is_local:
            with Path(unfinished).open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        else:
            with self._system.open_output_stream(unfinished) as file:
                file.write(content)
        self._system.move(unfinished, f"{self.root}/{name}")

    def finish(self, run: str, earlier: list[str]) -> None:
        """Remove the failures of former runs, and whatever else is neither of this one nor was there at its begin."""
        for name in self._names():
            part = _PARTS.fullmatch(name)
            if part and part[2] != run and f"{self.root}/{name}" not in earlier:
                self._system.delete_file(f"{self.root}/{name}")
        with suppress(FileNotFoundError):
            self._system.delete_dir(f"{self.root}/_work")

    def replacing(self) -> list[str]:
        """Return the runs whose completions may have replaced earlier ones that are still there."""
        return sorted(name.removeprefix(_REPLACES) for name in self._names() if name.startswith(_REPLACES))

    def note_replacing(self, run: str, *, ended: bool = False) -> None:
        """Note that a run replaces completions, or that those which it has replaced are no longer there."""
        if ended:
            self._system.delete_file(f"{self.root}/{_REPLACES}{run}")
        else:
            self.replace(f"{_REPLACES}{run}", b"", run)

    def completed_by(self, run: str) -> list[str]:
        """Return those of `completed` that a run has written."""
        return [path for path in self.completed() if path.startswith(f"{self.root}/completed-{run}-")]

    def remove_keys(self, path: str, keys: Collection[str], run: str) -> None:
        """Remove the completions with these keys from a file of `completed`; the file too if it has no others."""
        try:
            with self._system.open_input_stream(path) as file:
                lines = file.read().splitlines(keepends=True)
        except FileNotFoundError:  # done before, by a task that Ray repeats
            return
        kept = [line for line in lines if (entry := entry_in(line)) is None or entry.key not in keys]
        if not kept:
            self._system.delete_file(path)
        elif len(kept) < len(lines):
            self.replace(path.rpartition("/")[2], b"".join(kept), run)

    def refuse_others(self, terms: Terms) -> None:
        """Raise ConfigurationError if the completions that there are come from other servers, or are another shard."""
        path = f"{self.root}/{MANIFEST}"
        try:
            with self._system.open_input_stream(path) as file:
                before = Manifest.from_content(file.read(), path, "out_dir")
        except FileNotFoundError:
            return
        if before is not None and not terms.force and self.completed():
            before.refuse_other_shard(terms.shard, self.name, "out_dir")
            before.refuse_other_servers(terms.servers, self.name, "out_dir")

    def note(self, run: str, terms: Terms, *, finished: bool) -> None:
        """Write the manifest."""
        self.replace(MANIFEST, replace(terms.manifest(), finished=finished).content, run)

    @property
    def system(self) -> Any:
        """The file system of pyarrow."""
        return self._system

    @property
    def failures(self) -> Path | None:
        """A pattern of the files of failures; None for a URL, which is no path."""
        return Path(self.name) / "failed-*.jsonl" if "://" not in self.name else None

    def _put_table(self, folder: str, name: str, table: Any) -> None:
        ipc = ray_module("pyarrow.ipc")
        self._system.create_dir(folder, recursive=True)
        options = ipc.IpcWriteOptions(compression="zstd")
        with (
            self._system.open_output_stream(f"{folder}/{name}.arrows") as file,
            ipc.new_stream(file, table.schema, options=options) as writer,
        ):
            writer.write_table(table, max_chunksize=10_000)

    def _names(self) -> list[str]:
        selector = ray_module("pyarrow.fs").FileSelector(self.root)
        return [str(each.base_name) for each in self._system.get_file_info(selector)]

    def _locked(self) -> FileIO:
        path = Path(self.root) / "_lock"
        file = access.open_existing(path, "out_dir") or access.create(path, "out_dir")
        try:
            access.lock(file, path, "out_dir")
        except ConfigurationError:
            file.close()
            raise
        return file


def _system_of(text: str) -> tuple[Any, str, bool]:
    """Return the file system, the path in it, and whether it is a disk."""
    files = ray_module("pyarrow.fs")
    if "://" not in text:
        return files.LocalFileSystem(), str(Path(text).absolute()), True
    try:
        system, path = files.FileSystem.from_uri(text)
    except Exception as error:
        raise ConfigurationError(f"out_dir: {text}: {_reason(error)}") from None
    return system, str(path).rstrip("/"), isinstance(system, files.LocalFileSystem)


def _reason(error: Exception) -> str:
    return reason_of(error) if isinstance(error, OSError) else str(error)

"""What a batch reads, by readers of Ray Data: JSONL, Parquet, or a dataset; and its own files."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeAlias, cast

from ..errors import ConfigurationError
from ..inference.batch.lines import Entry, entry_in
from ..inference.batch.manifest import Shard
from ..inference.batch.source import OverlongLine, lines_in
from . import _usage as usage
from ._prepared import COLUMNS, Prepared, prepared, prepared_row
from ._ray import ray_module

Requests: TypeAlias = "str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Any"
"""A file, a folder, a pattern or several of them, of JSONL or Parquet; or a dataset of Ray."""

_JSON = (".jsonl", ".json", ".ndjson", ".jsonl.gz", ".json.gz", ".ndjson.gz")
_PARQUET = (".parquet", ".pq")
_BLOCK = 1 << 18
_ROWS = 1000
"""How many rows are handed on at once,"""
_BYTES = 1 << 24
"""if they are not larger."""
_TASKS = 200
"""How many tasks of Ray read at most."""


def read_requests(requests: Requests, shard: Shard | None = None) -> Any:
    """Return the requests, or those of a shard, as a dataset of prepared rows. Raises ConfigurationError."""
    if hasattr(requests, "map_batches"):
        return _from_table(requests, shard)
    paths = _paths_of(requests)
    system, found = _files_at(paths)
    parquet = [path for path in found if path.endswith(_PARQUET)]
    lines = [path for path in found if path.endswith(_JSON)]
    if not found or len(parquet) + len(lines) < len(found):
        other = next((path for path in found if path not in {*parquet, *lines}), paths[0])
        raise ConfigurationError(
            f"requests: {other} is no JSONL or Parquet (.jsonl, .json, .ndjson, .gz; .parquet, .pq)"
            if found
            else f"requests: no file at {', '.join(paths)}"
        )
    data = ray_module("ray.data")
    sets = [_from_lines(lines, system, shard)] if lines else []
    if parquet:
        sets.append(_from_table(data.read_parquet(parquet, filesystem=system), shard))
    return sets[0] if len(sets) == 1 else sets[0].union(sets[1])


def read_completed(paths: Sequence[str], system: Any) -> Any:
    """Return the keys, digests and tokens of the completions in files of a batch."""

    def rows(blocks: Iterable[bytes], path: str) -> Iterator[Mapping[str, Any]]:
        for entry in _completed_in(blocks):
            tokens = dict(zip(usage.COLUMNS, usage.counts_of(entry.usage), strict=True))
            yield {"custom_id": entry.key, "completed": entry.digest or "", **tokens}

    kinds = {"custom_id": "large_string", "completed": "large_string", **dict.fromkeys(usage.COLUMNS, "int64")}
    return _read(paths, system, rows, kinds)


def read_places(paths: Sequence[str], system: Any) -> Any:
    """Return the keys of the completions in files of a batch, and the paths of these files."""

    def rows(blocks: Iterable[bytes], path: str) -> Iterator[Mapping[str, Any]]:
        for entry in _completed_in(blocks):
            yield {"custom_id": entry.key, "path": path}

    return _read(paths, system, rows, {"custom_id": "large_string", "path": "large_string"})


def read_kept(paths: Sequence[str], system: Any) -> Any:
    """Return rows that were kept in files, one block for each file."""

    def read_stream(self: Any, file: Any, path: str) -> Iterator[Any]:
        yield ray_module("pyarrow.ipc").open_stream(file).read_all()

    return _dataset(paths, system, read_stream, override_num_blocks=len(paths))


def table_of(rows: Sequence[Prepared]) -> Any:
    """Return prepared rows as a table of pyarrow."""
    return _table([row._asdict() for row in rows], _KINDS)


_KINDS: dict[str, str] = dict(
    zip(COLUMNS, ("large_string", "int64", "large_binary", "large_string", "large_string"), strict=True)
)


def _completed_in(blocks: Iterable[bytes]) -> Iterator[Entry]:
    for line in lines_in(blocks):
        entry = None if isinstance(line, OverlongLine) else entry_in(line)
        if entry is not None and entry.is_completed:
            yield entry


def _is_in(shard: Shard | None, row: Prepared) -> bool:
    """Return whether a row is to be read. Its key decides, because rows have no order that is always the same."""
    if shard is None:
        return True
    number = blake2b(row.custom_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return shard.has(int.from_bytes(number))


def _from_lines(paths: Sequence[str], system: Any, shard: Shard | None) -> Any:
    def rows(blocks: Iterable[bytes], path: str) -> Iterator[Mapping[str, Any]]:
        for number, line in enumerate(lines_in(blocks), 1):
            if isinstance(line, OverlongLine) or line.strip():
                row = prepared(line, f"{path}:{number}", number)
                if _is_in(shard, row):
                    yield row._asdict()

    return _read(paths, system, rows, _KINDS)


def _from_table(dataset: Any, shard: Shard | None) -> Any:
    def prepare(table: Any) -> Any:
        rows = map(prepared_row, table.to_pylist())
        return table_of([row for row in rows if _is_in(shard, row)])

    return dataset.map_batches(prepare, batch_format="pyarrow", batch_size=_ROWS)


def _read(paths: Sequence[str], system: Any, parse: Any, kinds: Mapping[str, str]) -> Any:
    """Return the rows that `parse` finds in the bytes of files. Ray opens, decompresses and distributes the files."""

    def read_stream(self: Any, file: Any, path: str) -> Iterator[Any]:
        rows: list[Mapping[str, Any]] = []
        size = 0
        yield _table(rows, kinds)  # so that an empty file has columns too
        for row in parse(iter(lambda: file.read(_BLOCK), b""), path):
            rows.append(row)
            size += len(row.get("request", b""))
            if len(rows) >= _ROWS or size >= _BYTES:
                yield _table(rows, kinds)
                rows, size = [], 0
        if rows:
            yield _table(rows, kinds)

    # Ray would divide a file into many small blocks, each of which is a task of its own later.
    return _dataset(paths, system, read_stream, override_num_blocks=min(len(paths), _TASKS))


def _dataset(paths: Sequence[str], system: Any, read_stream: Any, **options: Any) -> Any:
    """Return what a function reads of opened files."""
    base = ray_module("ray.data.datasource").FileBasedDatasource
    source = type("BatchDatasource", (base,), {"_read_stream": read_stream})(list(paths), filesystem=system)
    return ray_module("ray.data").read_datasource(source, **options)


def _table(rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, str]) -> Any:
    arrow = ray_module("pyarrow")
    schema = arrow.schema([(name, getattr(arrow, kind)()) for name, kind in kinds.items()])
    return arrow.Table.from_pylist(list(rows), schema=schema)


def _paths_of(requests: object) -> list[str]:
    several = cast(Sequence[object], requests if isinstance(requests, list | tuple) else [requests])
    paths: list[str] = []
    for each in several:
        kind = type(each).__name__
        path: object = os.fspath(cast(str, each)) if isinstance(each, str | os.PathLike) else None
        if not isinstance(path, str) or not path:
            raise ConfigurationError(f"requests: expected paths of JSONL or Parquet, or a dataset of Ray, got {kind}")
        paths.append(path)
    if not paths:
        raise ConfigurationError("requests must not be empty")
    return paths


def _files_at(paths: Sequence[str]) -> tuple[Any, list[str]]:
    """Return the file system, and the files at paths, which may be folders and patterns. Raises ConfigurationError."""
    files = ray_module("pyarrow.fs")
    found: list[str] = []
    system: Any = None
    for path in paths:
        try:
            here, inside = files.FileSystem.from_uri(path) if "://" in path else (None, str(Path(path).absolute()))
            here = here or files.LocalFileSystem()
            if system is not None and not here.equals(system):
                raise ConfigurationError("requests: the files are on several file systems; read them one by one")
            system = here
            found += _expanded(files, here, inside)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"requests: {path}: {error}") from None
    return system, found


def _expanded(files: Any, system: Any, path: str) -> list[str]:
    """Return the path of a file, the files in a folder, or those that match a pattern. Raises FileNotFoundError."""
    info = system.get_file_info(path)
    if info.type == files.FileType.File:
        return [path]
    if info.type == files.FileType.Directory:
        inside = system.get_file_info(files.FileSelector(path, recursive=True))
        found = [str(each.path) for each in inside if each.type == files.FileType.File]
        return sorted(each for each in found if not _is_hidden(each[len(path) :]))
    if not any(mark in path for mark in "*?["):
        raise FileNotFoundError("no such file or folder")
    folder = path[: min(path.index(mark) for mark in "*?[" if mark in path)].rpartition("/")[0] or "/"
    rest = path[len(folder) :].strip("/")
    inside = system.get_file_info(files.FileSelector(folder, recursive="/" in rest or "**" in rest))
    found = [str(each.path) for each in inside if each.type == files.FileType.File and fnmatch(each.path, path)]
    # To fnmatch, * matches a / as well.
    return sorted(each for each in found if "**" in rest or each.count("/") == path.count("/"))


def _is_hidden(path: str) -> bool:
    """Return whether the name of a file, or of a folder that it is in, says that it is not data: `_SUCCESS`, `.tmp`."""
    return any(name.startswith(("_", ".")) for name in path.strip("/").split("/"))

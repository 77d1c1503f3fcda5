"""The emulator's memory on disk: one SQLite file that survives a restart and a kill."""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError, Message

from ...errors import ConfigurationError

_APPLICATION = 0x63776965
"""Marks the file as ours, in SQLite's header."""
_VERSION = 1
_SCHEMA = """
create table resources (
    kind text not null,
    id text not null,
    number integer not null,
    body blob not null,
    plan text not null,
    notes text not null,
    primary key (kind, id)
) without rowid
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One record as it is kept."""

    kind: str
    number: int
    message: Any
    """The resource."""
    plan: list[tuple[int, str]]
    notes: dict[str, Any]


class Journal:
    """An open state file; one emulator at a time may hold it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open or make the file.

        Raises:
            ConfigurationError: it cannot be opened or written, is not a state file, is in use by another emulator, or
                was written by a newer release.
        """
        if not os.fspath(path):
            raise ConfigurationError("state: expected the path of a file, got ''")
        self._path = path
        try:
            self._database = _connect(path)
        except sqlite3.Error as error:
            raise ConfigurationError(f"state file {path}: {_reason(error)}") from None
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._database.close()
            raise ConfigurationError(f"state file {path}: {_reason(error)}") from None
        except ConfigurationError:
            self._database.close()
            raise

    def rows(self, kinds: Mapping[str, type[Message]]) -> Iterator[Row]:
        """All records, in the order of their creation; `kinds` gives the message type of each kind.

        Raises:
            ConfigurationError: the file is damaged.
        """
        query = "select kind, number, body, plan, notes from resources order by number"
        try:
            for kind, number, body, plan, notes in self._database.execute(query):
                steps = [(due, step) for due, step in json.loads(plan)]
                yield Row(kind, number, kinds[kind].FromString(body), steps, json.loads(notes))
        except (sqlite3.Error, DecodeError, ValueError, KeyError) as error:
            raise ConfigurationError(f"state file {self._path}: is damaged ({error}); give another file") from None

    def write(self, changed: Iterable[Row], removed: Iterable[tuple[str, str]]) -> None:
        """Keep all of these changes, or none of them when it raises."""
        with self._database:
            self._database.executemany("delete from resources where kind = ? and id = ?", removed)
            self._database.executemany(
                "insert or replace into resources values (?, ?, ?, ?, ?, ?)",
                map(_columns, changed),
            )

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _prepare(self) -> None:
        """Check the file, and give an empty one its tables."""
        database = self._database
        database.execute("pragma locking_mode = exclusive")
        with database:
            database.execute("begin immediate")
            version, application = _pragma(database, "user_version"), _pragma(database, "application_id")
            empty = not database.execute("select count(*) from sqlite_master").fetchone()[0]
            if empty and version == application == 0:
                database.execute(_SCHEMA)
                database.execute(f"pragma application_id = {_APPLICATION}")
                database.execute(f"pragma user_version = {_VERSION}")
            elif application != _APPLICATION:
                raise ConfigurationError(f"state file {self._path}: is a database of something else; give another file")
            elif version > _VERSION:
                raise ConfigurationError(
                    f"state file {self._path}: was written by a newer release (version {version}, this one knows "
                    f"{_VERSION}); upgrade cwinference or give another file"
                )
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = normal")


def _connect(path: str | os.PathLike[str]) -> sqlite3.Connection:
    """A connection that any thread may use (the store lets in one at a time)."""
    absolute = Path(path).absolute()  # for `:memory:` is none to SQLite
    return sqlite3.connect(absolute, timeout=0.2, isolation_level="IMMEDIATE", check_same_thread=False)


def _columns(row: Row) -> tuple[object, ...]:
    body = row.message.SerializeToString()
    return row.kind, row.message.spec.id, row.number, body, json.dumps(row.plan), json.dumps(row.notes)


def _pragma(database: sqlite3.Connection, name: str) -> int:
    value: int = database.execute(f"pragma {name}").fetchone()[0]
    return value


def _reason(error: sqlite3.Error) -> str:
    text = str(error)
    return "is in use by another emulator" if "locked" in text else text

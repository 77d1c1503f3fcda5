"""The emulator's state on disk: one SQLite file, which survives restarts and a kill of the process.

The store writes all changes of a session in one transaction, before any response that reports them is sent. So the file
always contains the state at the end of some session, never half of a change: after a kill, that of the last session
whose response was sent, or a later one.
"""

import json
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError, Message

from ..._text import reason_of
from ...errors import ConfigurationError

_APPLICATION_ID = 0x63776965
"""Identifies the file as one of the emulator, in the header of the SQLite file."""
_SCHEMA_VERSION = 1
_SIDE_FILES = {
    "-journal": (bytes.fromhex("d9d505f920a163d7"), bytes(8)),
    "-wal": (bytes.fromhex("377f0682"), bytes.fromhex("377f0683")),
}
"""The files that SQLite keeps next to its own, and how they begin; zeros are a journal that was not written to disk."""
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
class JournalRow:
    """One record as it is written to the file."""

    kind: str
    number: int
    message: Any
    """The resource."""
    plan: list[tuple[int, str]]
    notes: dict[str, Any]


class Journal:
    """An open state file. Only one emulator at a time can open it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the file, or create it.

        Raises:
            ConfigurationError: the file cannot be opened or written, is not a state file, is in use by another
                emulator, or was written by a newer release; or SQLite would delete a file of somebody else's.
        """
        if not os.fspath(path):
            raise ConfigurationError("state: expected the path of a file, got ''")
        self._path = path
        _refuse_foreign_files(path)
        try:
            self._database = _connect(path)
        except sqlite3.Error as error:
            raise ConfigurationError(f"state file {path}: {_message(error)}") from None
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._database.close()
            raise ConfigurationError(f"state file {path}: {_message(error)}") from None
        except ConfigurationError:
            self._database.close()
            raise

    def __str__(self) -> str:
        return f"state file {os.fspath(self._path)}"

    def rows(self, message_types: Mapping[str, type[Message]]) -> Iterator[JournalRow]:
        """Yield all records in the order of their creation.

        Args:
            message_types: the message type of each kind.

        Raises:
            ConfigurationError: the file is damaged.
        """
        query = "select kind, number, body, plan, notes from resources order by number"
        try:
            for kind, number, body, plan, notes in self._database.execute(query):
                steps = [(due, step) for due, step in json.loads(plan)]
                yield JournalRow(kind, number, message_types[kind].FromString(body), steps, json.loads(notes))
        except (sqlite3.Error, DecodeError, ValueError, KeyError) as error:
            raise ConfigurationError(f"state file {self._path}: is damaged ({error}); use another file") from None

    def write(self, changed: Iterable[JournalRow], removed: Iterable[tuple[str, str]]) -> None:
        """Write all changes in one transaction: if it raises, none of them is written.

        Args:
            changed: records that are new or have changed.
            removed: kind and id of each record that was removed.
        """
        with self._database:
            # Deletes come first: an id that became free may have been taken by a new record in the same session.
            self._database.executemany("delete from resources where kind = ? and id = ?", removed)
            self._database.executemany(
                "insert or replace into resources values (?, ?, ?, ?, ?, ?)",
                map(_column_values, changed),
            )

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _prepare(self) -> None:
        """Lock the file, check that it is a state file, and create the table in an empty one."""
        database = self._database
        # In exclusive mode SQLite keeps the lock that the first write transaction takes until the file is closed. So a
        # second emulator fails here, and not at some later request.
        database.execute("pragma locking_mode = exclusive")
        with database:
            database.execute("begin immediate")
            version, application = _pragma(database, "user_version"), _pragma(database, "application_id")
            empty = not database.execute("select count(*) from sqlite_master").fetchone()[0]
            if empty and version == application == 0:
                database.execute(_SCHEMA)
                database.execute(f"pragma application_id = {_APPLICATION_ID}")
                database.execute(f"pragma user_version = {_SCHEMA_VERSION}")
            elif application != _APPLICATION_ID:
                raise ConfigurationError(
                    f"state file {self._path}: is an SQLite database of another application; use another file"
                )
            elif version > _SCHEMA_VERSION:
                raise ConfigurationError(
                    f"state file {self._path}: was written by a newer release (version {version}, this one "
                    f"knows {_SCHEMA_VERSION}); upgrade cwinference or use another file"
                )
        # With a write-ahead log and `normal`, a commit does not wait for the disk: it survives a kill of the process,
        # and a crash of the machine may undo the last ones, but does not damage the file.
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = normal")


def _refuse_foreign_files(path: str | os.PathLike[str]) -> None:
    """Refuse a path next to which there are files of others that SQLite would take for its own, and delete."""
    try:
        followed = os.path.realpath(path)  # SQLite follows links, too
    except ValueError as error:
        raise ConfigurationError(f"state file {path}: {reason_of(error)}") from None
    for suffix, beginnings in _SIDE_FILES.items():
        side = Path(f"{followed}{suffix}")
        try:
            is_foreign = not _begins_with(side, beginnings)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ConfigurationError(f"state file {path}: {side}: {reason_of(error)}") from None
        if is_foreign:
            raise ConfigurationError(
                f"state file {path}: {side} is no file of SQLite, which would delete it; move it, or use another file"
            )


def _begins_with(file: Path, beginnings: tuple[bytes, ...]) -> bool:
    """Return whether a regular file begins like that, or is empty. Others, such as pipes, could make this wait."""
    if not stat.S_ISREG(file.stat().st_mode):
        return False
    with file.open("rb") as opened:
        found = opened.read(max(map(len, beginnings)))
    return not found or found.startswith(beginnings)


def _connect(path: str | os.PathLike[str]) -> sqlite3.Connection:
    """Open a connection that any thread may use; the lock of the store lets in one at a time."""
    # SQLite takes the relative path `:memory:` for a database in memory, and an absolute one for a file.
    absolute = Path(path).absolute()
    return sqlite3.connect(absolute, timeout=0.2, isolation_level="IMMEDIATE", check_same_thread=False)


def _column_values(row: JournalRow) -> tuple[object, ...]:
    body = row.message.SerializeToString()
    return row.kind, row.message.spec.id, row.number, body, json.dumps(row.plan), json.dumps(row.notes)


def _pragma(database: sqlite3.Connection, name: str) -> int:
    value: int = database.execute(f"pragma {name}").fetchone()[0]
    return value


def _message(error: sqlite3.Error) -> str:
    text = str(error)
    return "is in use by another emulator" if "locked" in text else text

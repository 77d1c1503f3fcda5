"""The journal on disk: replaced as a whole, synced before anything is done that depends on it, used by one process.

A journal is what makes the way back safe, so a write counts only when it would survive a crash of the machine: a new
file is written and synced, takes the place of the old one, and then the folder is synced.
"""

import asyncio
import os
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from .._calls.flow import Flow, RunFunction
from .._text import reason_of
from ..errors import ConfigurationError
from ._record import RolloutRecord, record_from

_LARGEST = 1 << 20
"""Bytes; a journal has about two thousand."""


def sync(descriptor: int) -> None:
    """Wait until what was written is on the disk."""
    os.fsync(descriptor)


def on_disk(work: Callable[[], None]) -> Flow[None]:
    """Write the journal: on an event loop in a thread, since a disk can be slow."""
    yield RunFunction(work, partial(_in_thread, work))


async def _in_thread(work: Callable[[], None]) -> None:
    """Do the work in a thread, and return only when it has ended, also if this task is canceled.

    Otherwise a thread could put an old record in the place of one that is written after the cancellation.
    """
    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        with suppress(Exception):
            working.result()
        raise


class RolloutJournal:
    """A file with one record."""

    def __init__(self, path: "str | os.PathLike[str]") -> None:
        """Take the path of a file. Raises ConfigurationError if it is none."""
        text: object = os.fspath(path) if isinstance(path, str | os.PathLike) else path
        if not isinstance(text, str) or not text or "\0" in text:
            raise ConfigurationError(f"journal: expected the path of a file, got {path!r}")
        self.path = Path(text).absolute()  # the working directory may change meanwhile
        self._lock: int | None = None
        self._is_open = False

    def __str__(self) -> str:
        return f"journal: {self.path}"

    def refuse_existing(self) -> None:
        """Raise ConfigurationError if something is there already, or nothing can be created there."""
        if self.path.is_dir():
            raise ConfigurationError(f"{self} is a directory; name a file in it that does not exist yet")
        if os.path.lexists(self.path):
            raise self._exists()
        folder = self.path.parent
        if not folder.is_dir():
            raise ConfigurationError(f"{self} cannot be created, because its folder does not exist; create the folder")

    def read(self) -> RolloutRecord:
        """Return the record. Raises ConfigurationError if there is none."""
        try:
            with self.path.open("rb") as file:
                content = file.read(_LARGEST)
        except FileNotFoundError:
            raise ConfigurationError(
                f"{self} does not exist; client.rollout begins a rollout",
                for_command=f"{self} does not exist; `cwinference rollout start` begins a rollout",
            ) from None
        except OSError as error:
            raise ConfigurationError(f"{self}: {reason_of(error)}") from None
        try:
            text = content.decode()
        except UnicodeDecodeError:
            raise ConfigurationError(f"{self} is no journal of a rollout; use the file that it was given") from None
        return record_from(text, str(self))

    @contextmanager
    def in_use(self) -> Generator[None]:
        """Keep other processes from using the journal. Raises ConfigurationError if one does."""
        if _HAS_LOCKS and self.path.exists():
            self._lock = self._opened()
        self._is_open = True
        try:
            if self._lock is not None:
                self._remove_leftovers()
            yield
        finally:
            self._is_open = False
            self._unlock()

    def is_held(self) -> bool | None:
        """Return whether another process uses the journal; None if it does not exist or that cannot be found out."""
        try:
            import fcntl

            descriptor = os.open(self.path, os.O_RDONLY)
        except (ImportError, OSError):
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return not os.path.samestat(os.fstat(descriptor), self.path.stat())  # it was replaced meanwhile
        except BlockingIOError:
            return True
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def create(self, record: RolloutRecord) -> None:
        """Write the first record. Raises ConfigurationError if the file exists by now."""
        self._write(record, self._put_first)

    def save(self, record: RolloutRecord) -> None:
        """Write another record in place of the last one."""
        self._write(record, lambda new: new.replace(self.path))

    def _put_first(self, new: Path) -> None:
        try:
            os.link(new, self.path)  # unlike a rename it fails if somebody else was faster
        except FileExistsError:
            raise self._exists() from None
        except OSError:  # a file system without hard links
            if os.path.lexists(self.path):
                raise self._exists() from None
            new.replace(self.path)
        with suppress(FileNotFoundError):
            new.unlink()

    def _write(self, record: RolloutRecord, put: Callable[[Path], object]) -> None:
        new = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}.tmp")
        try:
            descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
            try:
                self._fill(descriptor, record.to_json().encode())
                put(new)
                self._sync_folder()
            except BaseException:
                if _HAS_LOCKS:
                    os.close(descriptor)
                with suppress(OSError):
                    new.unlink()
                raise
        except OSError as error:
            raise self._failed(error) from None
        if _HAS_LOCKS:  # the lock is that of the file that is the journal now
            self._unlock()
            self._lock = descriptor
            if not self._is_open:
                self._unlock()

    def _fill(self, descriptor: int, content: bytes) -> None:
        """Write a new file, and lock it; where that is impossible close it, since an open file has to keep its name."""
        try:
            self._hold(descriptor)
            while content:
                content = content[os.write(descriptor, content) :]
            sync(descriptor)
        finally:
            if not _HAS_LOCKS:
                os.close(descriptor)

    def _sync_folder(self) -> None:
        if not _HAS_LOCKS:  # on Windows, where a folder cannot be opened either
            return
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            sync(folder)
        finally:
            os.close(folder)

    def _opened(self) -> int:
        """Return a descriptor of the journal, locked."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | _BINARY)
        except OSError as error:
            raise self._failed(error) from None
        try:
            self._hold(descriptor)
            if not os.path.samestat(os.fstat(descriptor), self.path.stat()):
                raise self._in_use()  # it was replaced between the two
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _hold(self, descriptor: int) -> None:
        """Lock a file until it is closed."""
        with suppress(ImportError):
            import fcntl

            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise self._in_use() from None

    def _in_use(self) -> ConfigurationError:
        return ConfigurationError(f"{self} is in use by another process; wait until that has ended")

    def _unlock(self) -> None:
        descriptor, self._lock = self._lock, None
        if descriptor is not None:
            os.close(descriptor)

    def _remove_leftovers(self) -> None:
        """Remove what a process that was killed has left; nobody else writes now."""
        prefix = f".{self.path.name}."
        with suppress(OSError):
            for each in self.path.parent.iterdir():
                if each.name.startswith(prefix) and each.name.endswith(".tmp"):
                    each.unlink()

    def _exists(self) -> ConfigurationError:
        text = f"{self} exists already ({self._found()}); for another rollout use another file; "
        return ConfigurationError(
            f"{text}Rollout.resume(client, journal) goes on with this one",
            for_command=f"{text}`cwinference rollout resume` goes on with this one",
        )

    def _found(self) -> str:
        try:
            return f"of the {self.read()}"
        except ConfigurationError as error:
            return str(error).removeprefix(f"{self} ")

    def _failed(self, error: OSError) -> OSError:
        """Return the error of a disk that failed, with the path of the journal."""
        return OSError(error.errno, reason_of(error), str(self.path))


_HAS_LOCKS = os.name != "nt"
_BINARY = getattr(os, "O_BINARY", 0)

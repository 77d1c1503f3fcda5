"""Files that are replaced as a whole: whoever is killed meanwhile leaves the old one or the new one, never a part."""

import os
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path

from . import access
from .appended_file import named


def replace_file(path: Path, write: Callable[[FileIO], None], argument: str) -> FileIO:
    """Put a new file in the place of another one, or where there is none; return it, open and locked.

    It is written by `write`, and synced before it takes the place. Raises OSError with the path, and
    ConfigurationError if it cannot be created.
    """
    target = Path(os.path.realpath(path))  # a symbolic link stays one
    new = target.with_name(f".{target.name}.tmp")
    try:
        with suppress(FileNotFoundError):  # what a killed run has left; only one has the lock of OUT
            new.unlink()
        file = access.create(new, argument)
        try:
            access.lock(file, new, argument)
            _keep_mode(file, target)
            write(file)
            os.fsync(file.fileno())
            file = _put(file, new, target)
            sync_folder(target.parent)
        except BaseException:
            file.close()
            with suppress(OSError):
                new.unlink()
            raise
    except OSError as error:
        raise named(OSError(error.errno, error.strerror or str(error)), path) from None
    return file


def write_all(file: FileIO, data: bytes) -> None:
    """Write bytes to the end of a file."""
    written = 0
    while written < len(data):
        written += file.write(memoryview(data)[written:]) or 0


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names of the files in a folder."""
    if os.name == "nt":  # where a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put(file: FileIO, new: Path, target: Path) -> FileIO:
    if os.name != "nt":
        new.replace(target)
        return file
    file.close()  # there, an open file keeps its name
    new.replace(target)
    return access.open_existing(target, "out") or file


def _keep_mode(file: FileIO, target: Path) -> None:
    """Let as many people read the new file as the old one."""
    with suppress(OSError, AttributeError):
        os.fchmod(file.fileno(), target.stat().st_mode & 0o777)

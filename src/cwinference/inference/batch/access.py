"""Access to the files of a batch: opened without truncation, locked, and compared by identity instead of by path.

Different paths may lead to one file: through `..`, symbolic and hard links, or `/dev/fd`. So what is compared is the
device and the inode of the opened files.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import cast

from ..._text import reason_of
from ...errors import ConfigurationError

_STANDARD_STREAMS = {1: "standard output", 2: "standard error"}


def check_path(path: object, argument: str, expected: str = "the path of a file") -> Path:
    """Return the path that somebody gave. Raises ConfigurationError if it is none."""
    text: object = os.fspath(cast("os.PathLike[str]", path)) if isinstance(path, str | os.PathLike) else path
    if not isinstance(text, str) or not text:
        raise ConfigurationError(f"{argument}: expected {expected}, got {path!r}")
    return Path(text)


def check_out(path: object) -> Path:
    """Return the path of OUT. Raises ConfigurationError if it is none."""
    out = check_path(path, "out")
    if str(out) == "-":
        raise ConfigurationError(
            "out: completions go to a file, where a later run can see what is completed, and not to standard output; "
            "use a path (./- is the file of that name)"
        )
    return out


def failures_path(out: Path) -> Path:
    """Return `OUT.errors.jsonl` for `OUT.jsonl`."""
    return out.parent / f"{out.name.removesuffix('.jsonl')}.errors.jsonl"


def manifest_path(out: Path) -> Path:
    """Return `OUT.manifest.json` for `OUT.jsonl`."""
    return out.parent / f"{out.name.removesuffix('.jsonl')}.manifest.json"


def status_of(path: Path, argument: str) -> os.stat_result:
    """Return what `stat` says of a file. Raises FileNotFoundError, and ConfigurationError for any other reason."""
    try:
        return path.stat()
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise unusable(path, argument, error) from None


def open_to_read(path: Path, argument: str) -> FileIO:
    """Open a file for reading; a named pipe waits for its writer. Raises ConfigurationError."""
    try:
        return _open(path, "rb", 0)
    except (OSError, ValueError) as error:
        with suppress(OSError, ValueError):
            status = path.stat()
            if stat.S_ISSOCK(status.st_mode) and os.path.samestat(status, os.fstat(0)):
                return FileIO(os.dup(0), "rb")  # no path opens a socket, not even /dev/stdin
        raise unusable(path, argument, error) from None


def open_existing(path: Path, argument: str) -> FileIO | None:
    """Open a regular file for reading and appending; None if there is none. Raises ConfigurationError."""
    try:
        refuse_special(path, status_of(path, argument), argument)
        return _open(path, "r+b", os.O_APPEND)
    except FileNotFoundError:
        if path.is_symlink():
            raise ConfigurationError(
                f"{argument}: {path} is a symbolic link to a file that does not exist; remove it, or use another file"
            ) from None
        return None
    except OSError as error:
        raise unusable(path, argument, error) from None


def create(path: Path, argument: str) -> FileIO:
    """Create a file for reading and appending. Raises ConfigurationError, also if it exists by now."""
    try:
        return _open(path, "r+b", os.O_APPEND | os.O_CREAT | os.O_EXCL)
    except FileNotFoundError:
        raise ConfigurationError(
            f"{argument}: {path} cannot be created, because its folder does not exist; create the folder"
        ) from None
    except FileExistsError:
        raise ConfigurationError(f"{argument}: another program has just created {path}; use another file") from None
    except OSError as error:
        raise unusable(path, argument, error) from None


def check_folder(path: Path, argument: str) -> None:
    """Refuse a path in a folder where no file can be created, so that this is known before it has to be.

    Raises ConfigurationError.
    """
    if path.parent.is_dir() and not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{argument}: {path} cannot be created, because its folder is not writable")


def lock(file: FileIO, path: Path, argument: str) -> None:
    """Lock a file until it is closed, so that no other batch writes to it. Raises ConfigurationError."""
    with suppress(ImportError):  # not on Windows
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"{argument}: another batch is writing to {path}; wait until it has ended, or use another file"
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"{argument}: {path} cannot be locked: {error.strerror}; use another disk"
            ) from None
    with suppress(OSError):
        if os.path.samestat(path.stat(), os.fstat(file.fileno())):
            return
    raise ConfigurationError(f"{argument}: another program has just replaced {path}; use another file")


def unusable(path: Path, argument: str, error: OSError | ValueError) -> ConfigurationError:
    """Return the error for a path that the system refuses: too long, no permission, a circle of links, and so on."""
    return ConfigurationError(f"{argument}: {path}: {reason_of(error)}")


def refuse_special(path: Path, status: os.stat_result, argument: str) -> None:
    """Refuse what is not a regular file. Raises ConfigurationError."""
    if stat.S_ISDIR(status.st_mode):
        remedy = "move it, or use another out" if argument.startswith("out: ") else "use the path of a file"
        raise ConfigurationError(f"{argument}: {path} is a folder; {remedy}")
    if not stat.S_ISREG(status.st_mode):  # a device or a pipe
        raise ConfigurationError(
            f"{argument}: {path} is not a regular file, in which a later run could see what is completed"
        )


def refuse_same(
    out: Path, completions: FileIO | None, failures: FileIO | None, requests: os.stat_result | None
) -> None:
    """Refuse files of results that are the file of requests, each other, or where this process prints.

    Raises ConfigurationError.
    """
    others = [(requests, "the file of requests")]
    for file, text in ((completions, f"out: {out}"), (failures, f"out: failures go to {failures_path(out)}, which")):
        if file is not None:
            status = os.fstat(file.fileno())
            for other, name in (*others, *_standard_streams()):
                if other is not None and os.path.samestat(status, other):
                    raise ConfigurationError(f"{text} is {name}; use another out")
            others.append((status, f"the same file as {out}"))


def refuse_lost(path: Path, file: FileIO) -> None:
    """Raise OSError if a path leads to an open file no longer, so that what is written would be lost with it."""
    try:
        if os.path.samestat(path.stat(), os.fstat(file.fileno())):
            return
        lost = "replaced"
    except FileNotFoundError:
        lost = "removed"
    raise OSError(None, f"the file was {lost} while a batch was writing to it", str(path))


def is_still_at(path: Path, file: FileIO) -> bool:
    """Return whether a path, which is no symbolic link, leads to an open file."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(file.fileno()))
    except OSError:
        return False


def _standard_streams() -> Iterator[tuple[os.stat_result, str]]:
    for descriptor, name in _STANDARD_STREAMS.items():
        with suppress(OSError):
            yield os.fstat(descriptor), f"where {name} goes"


def _open(path: Path, mode: str, flags: int) -> FileIO:
    """Open a file. Not with a descriptor of the standard streams, if they are closed: other code may print there."""

    def opener(name: str, basic: int) -> int:
        return _above_standard_streams(os.open(name, basic | flags, 0o666))

    return cast(FileIO, open(path, mode, buffering=0, opener=opener))


def _above_standard_streams(descriptor: int) -> int:
    if descriptor > 2:
        return descriptor
    try:
        import fcntl
    except ImportError:  # on Windows
        return descriptor
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(descriptor)

"""What commands print. Standard output and error may be closed, full, broken or absent: a command does its work anyway.

A stream that fails is replaced by the null device. Otherwise Python would complain about it at exit, and change the
exit code.
"""

import os
import re
import sys
from contextlib import suppress
from typing import Any, TextIO

from .._text import redacted

_CONTROLS = re.compile(r"[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What JSON encoders leave as it is, although terminals may obey it."""


def say(text: str) -> None:
    """Print a line to standard output, at once, so that a program which reads it through a pipe gets it."""
    write(sys.stdout, f"{text}\n")


def complain(text: str) -> None:
    """Print a line to standard error."""
    write(sys.stderr, f"{text}\n")


def write(stream: TextIO | None, text: str) -> OSError | None:
    """Print to one of the two, if it is there. Characters that its encoding does not have are escaped.

    Returns:
        Why the text is lost, such as a full disk; None if it is not, or if nobody wants it: the reader of a pipe has
        gone away, or the stream is closed.
    """
    if stream is None:
        return None
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except (OSError, ValueError) as error:
        _replace(stream)
        return error if isinstance(error, OSError) and not isinstance(error, BrokenPipeError) else None
    return None


def as_json(value: Any, indent: int | None = 2) -> str:
    """Return JSON without characters that could control a terminal."""
    import json  # --version and --help do without it

    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return redacted(_CONTROLS.sub(lambda found: f"\\u{ord(found.group()):04x}", text))


def means_json(form: str | None) -> bool:
    """Return whether `-o` says JSON, or, where it says nothing and YAML is usual, there is no library for YAML."""
    from importlib.util import find_spec

    return form == "json" or (form is None and find_spec("yaml") is None)


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is there, and is a terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it is closed
        return False


def flush() -> None:
    """Print what other code has written to the streams, as the last thing that a command does."""
    for stream in (sys.stdout, sys.stderr):
        write(stream, "")


def describe(error: Exception) -> str:
    """Return what to print of an error: of the system's, the file and the reason, without their number."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return str(error)


def keep_descriptors() -> None:
    """Open the null device in place of standard output and error if they are closed.

    Otherwise the next file that is opened gets their number, and what other libraries print would end up in it.
    """
    for descriptor in (1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            _null_at(descriptor)


def _replace(stream: TextIO) -> None:
    with suppress(OSError, ValueError, AttributeError):
        _null_at(stream.fileno())


def _null_at(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    if null != descriptor:
        os.dup2(null, descriptor)
        os.close(null)

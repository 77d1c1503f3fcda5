"""Standard input, which may be closed, broken, or no text."""

import sys
from typing import Literal

from .exit_codes import USAGE
from .failures import CommandError


def read_input() -> str:
    """Return all of it; nothing if it is closed.

    Raises:
        CommandError: it cannot be read (exit code 2).
    """
    return _read("read")


def read_line() -> str:
    """Return the next line of it with its line break; nothing at the end, or if it is closed.

    Raises:
        CommandError: it cannot be read (exit code 2).
    """
    return _read("readline")


def _read(how: Literal["read", "readline"]) -> str:
    if sys.stdin is None:
        return ""
    try:
        return sys.stdin.read() if how == "read" else sys.stdin.readline()
    except UnicodeDecodeError as error:
        raise CommandError(f"standard input is not {error.encoding} text", code=USAGE) from None
    except OSError as error:
        raise CommandError(f"standard input: {error.strerror}", code=USAGE) from None

"""The entry point of the command line: from arguments to an exit code.

It imports next to nothing, so that Ctrl-C at the start is met by `main`.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import output
from .exit_codes import INTERRUPTED

if TYPE_CHECKING:
    import click


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code, which `failures.py` explains.

    Without arguments it runs those of the process, and ignores Ctrl-C at the end, when only the exit is left to do.
    """
    output.keep_descriptors()
    try:
        code = _run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        code = INTERRUPTED
    finally:
        if arguments is None:
            _ignore_interrupts()
        output.flush()
    return code


def parsed(arguments: Sequence[str]) -> "click.Context":
    """Return the context of a command whose arguments are valid, without running it."""
    from .commands import root
    from .parsing.groups import innermost

    return innermost(root(), list(arguments))


def _run(arguments: Sequence[str]) -> int:
    import click

    from .commands import root
    from .parsing.groups import complete
    from .run import Run

    run, group = Run(), root()
    try:
        if complete(group, run):
            return 0
        with group.make_context("cwinference", list(arguments), obj=run) as context:
            code = group.invoke(context)
        return run.end(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as end:
        return end.exit_code
    except Exception as error:
        return run.fail(error)
    finally:
        run.close()


def _ignore_interrupts() -> None:
    import signal
    import threading

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)

"""The entry point of the command line. Each command is a file next to this one that registers its arguments."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from .._text import one_line
from .._version import __version__
from ..errors import ConfigurationError
from . import batch, emulator


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {one_line(message)} (see {self.prog} --help)\n")


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed arguments; `run` performs the command. A mistake prints one line and exits with code 2.

    Without a command, `run` prints the help.
    """
    parser = _Parser(prog="cwinference", description="Tools for the CoreWeave Inference API.")
    parser.add_argument("--version", action="version", version=f"cwinference {__version__}")

    def print_help(options: argparse.Namespace) -> int:
        parser.print_help()
        return 0

    parser.set_defaults(run=print_help)
    commands = parser.add_subparsers(title="commands", dest="command", metavar="command")
    batch.register(commands)
    emulator.register(commands)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        command = parser if options.command is None else commands.choices[options.command]
        command.error(f"unrecognized arguments: {' '.join(unknown)}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    options = parsed(arguments)
    try:
        code: int = options.run(options)
    except (ConfigurationError, OSError) as error:
        sys.stderr.write(f"cwinference {options.command}: {one_line(str(error))}\n")
        return 2
    return code

"""The entry point of the command line. Each command is a file next to this one that registers its arguments."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from .._text import one_line
from .._version import __version__
from ..errors import ConfigurationError
from . import batch, emulator, output


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {one_line(message)} (see {self.prog} --help)\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        output.write(file, message)


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
    """Run a command and return its exit code: 2 for a wrong argument, 1 for any other error, 130 for Ctrl-C."""
    output.keep_descriptors()
    command = ""
    try:
        options = parsed(arguments)
        command = options.command
        code: int = options.run(options)
    except KeyboardInterrupt:
        code = 130
    except (ConfigurationError, OSError) as error:
        text = (isinstance(error, ConfigurationError) and error.for_command) or output.describe(error)
        output.complain(f"cwinference {command}: {one_line(text)}")
        code = 2 if isinstance(error, ConfigurationError) else 1
    finally:
        output.flush()
    return code

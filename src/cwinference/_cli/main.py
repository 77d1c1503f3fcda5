"""The command line, `cwinference <command>`: commands register themselves; what is wrong is one line and code 2."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from .._text import one_line
from .._version import __version__
from ..errors import ConfigurationError

_COMMANDS = ("cwinference._cli.emulator", "cwinference._cli.batch")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {one_line(message)} (see {self.prog} --help)\n")


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What a command line says; `run` is what does it. Prints one line and exits with 2 when it is wrong."""
    parser = _Parser(prog="cwinference", description="Tools for the CoreWeave Inference API.")
    parser.add_argument("--version", action="version", version=f"cwinference {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="command", required=True)
    for name in _COMMANDS:
        importlib.import_module(name).register(commands)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        commands.choices[options.command].error(f"unrecognized arguments: {' '.join(unknown)}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = parsed(arguments)
    try:
        code: int = options.run(options)
    except (ConfigurationError, OSError) as error:
        sys.stderr.write(f"cwinference {options.command}: {one_line(str(error))}\n")
        return 2
    return code

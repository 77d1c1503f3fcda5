"""The command line, `cwinference <command>`: commands register themselves, wrong settings end with code 2."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from .errors import ConfigurationError

_COMMANDS = ("cwinference.emulator._command", "cwinference.inference._command")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = _Parser(prog="cwinference", description="Tools for the CoreWeave Inference API.")
    commands = parser.add_subparsers(title="commands", dest="command", required=True)
    for name in _COMMANDS:
        importlib.import_module(name).register(commands)
    options = parser.parse_args(arguments)
    try:
        code: int = options.run(options)
    except ConfigurationError as error:
        sys.stderr.write(f"cwinference {options.command}: {error}\n")
        return 2
    return code

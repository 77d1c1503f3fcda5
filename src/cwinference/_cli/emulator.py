"""`cwinference emulator`: runs the emulator in the foreground until SIGTERM or Ctrl-C."""

import argparse
import logging
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

from .._hosts import is_loopback
from ..emulator import Behavior, Emulator
from .output import complain, say

_SIGNALS = ("SIGINT", "SIGTERM", "SIGBREAK")
_READY_AFTER = 2.0
"""Default in seconds, long enough to see a resource in the state CREATING."""
_NOT_SETTINGS = ("run", "command", "fault", "log_level")
"""Options of the command that are no arguments of `Emulator`."""
_LOG_LEVELS = ("debug", "info", "warning", "error")
_EXPOSED = "warning: --host {} lets anyone who can reach this machine use the emulator; it is meant for development"


def register(commands: Any) -> None:
    """Add the command to the subcommands of `cwinference`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "emulator",
        help="run an emulator of the API on a local port",
        description="Run an emulator of the CoreWeave Inference API. It serves gRPC, gRPC-Web, Connect, REST and the "
        "OpenAI-compatible routes of the gateways on one port, until SIGTERM or Ctrl-C.",
    )
    _add_address(parser)
    _add_behavior(parser)
    parser.set_defaults(run=run)


def _add_address(parser: argparse.ArgumentParser) -> None:
    """Add the options for where it listens, and who may use it."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=8080, help="port to listen on; 0: any free port (default: %(default)s)")
    add("--token", help="token with the role Inference Admin (default: CW-SECRET-emulator-admin)")
    add(
        "--viewer-token",
        metavar="TOKEN",
        help="token with the role Inference Viewer (default: CW-SECRET-emulator-viewer)",
    )
    add("--tls-cert", metavar="FILE", help="certificate in PEM, to serve https; needs --tls-key")
    add("--tls-key", metavar="FILE", help="private key of the certificate in PEM")
    add(
        "--public-url",
        metavar="URL",
        help="URL at which clients reach it, with which the endpoints of gateways begin; requests for other hosts are "
        "refused, apart from this machine's own (default: the address it listens on)",
    )


def _add_behavior(parser: argparse.ArgumentParser) -> None:
    """Add the options for what it does."""
    add = parser.add_argument
    add(
        "--ready-after",
        type=float,
        metavar="SECONDS",
        help="time from a create until the resource is READY (default: 2)",
    )
    add(
        "--model",
        metavar="SPEC",
        help="what generates completions: demo, <path>.gguf or http://<openai-compatible-server> (default: a built-in "
        "text generator)",
    )
    add("--state", metavar="FILE", help="keep all resources in this file across restarts")
    add("--rules", choices=("published", "current"), help="validation rules for requests (default: published)")
    add("--config", metavar="FILE", help="TOML file with behavior, tokens, parameters, fates and faults")
    add(
        "--fault",
        action="append",
        default=[],
        metavar="'KIND NAME=VALUE ...'",
        help="fault to inject, such as 'error method=CreateGateway nth=1 code=unavailable'; may be given several times",
    )
    add("--log-level", choices=_LOG_LEVELS, default="warning", help="what to log to stderr (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    """Run the emulator until a signal stops it, and return the exit code."""
    with _logging_to_stderr(options.log_level):
        _serve(options)
    return 0


def _serve(options: argparse.Namespace) -> None:
    settings = {name: value for name, value in vars(options).items() if name not in _NOT_SETTINGS}
    stop = threading.Event()
    for name in _SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), partial(_stop, stop))
    emulator = Emulator(**settings, behavior=Behavior(ready_after=_READY_AFTER))
    for text in options.fault:
        emulator.faults.add_text(text)
    with emulator:
        say(f"listening on {emulator.endpoint}")
        if options.token is None:
            say(f"admin token: {emulator.token}")
        if options.viewer_token is None:
            say(f"viewer token: {emulator.viewer_token}")
        if not is_loopback(options.host):
            complain(_EXPOSED.format(options.host))
        # Wait in short steps: on Windows a signal does not interrupt a wait, and is handled only after it.
        while not stop.wait(timeout=1):
            pass


@contextmanager
def _logging_to_stderr(level: str) -> Generator[None, None, None]:
    """Log what the library and the emulator report; without a handler it would be dropped."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("cwinference")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level.upper())
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def _stop(stop: threading.Event, number: int, frame: FrameType | None) -> None:
    stop.set()

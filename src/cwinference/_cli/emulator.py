"""`cwinference emulator`: the emulator as a program, until SIGTERM or Ctrl-C."""

import argparse
import signal
import sys
import threading
from functools import partial
from types import FrameType
from typing import Any

from ..config import is_loopback
from ..emulator import Behavior, Emulator

_SIGNALS = ("SIGINT", "SIGTERM", "SIGBREAK")
_READY_AFTER = 2.0
"""Long enough to see it happen."""
_EXPOSED = "warning: --host {} lets anyone who can reach this machine use the emulator; it is for development\n"


def register(commands: Any) -> None:
    """Add the command to the program's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "emulator",
        help="serve an emulation of the API on a local port",
        description="Serve an emulation of the CoreWeave Inference API on one port: gRPC, gRPC-Web, Connect, REST, and "
        "the gateways' OpenAI-compatible routes.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add("--port", type=int, default=8080, help="port to listen on, 0 for a free one (%(default)s)")
    add("--ready-after", type=float, metavar="SECONDS", help="from a create to READY (2)")
    add("--token", help="token with the role Inference Admin")
    add("--viewer-token", metavar="TOKEN", help="token with the role Inference Viewer")
    add("--tls-cert", metavar="FILE", help="certificate in PEM: serve https")
    add("--tls-key", metavar="FILE", help="its private key in PEM")
    add("--public-url", metavar="URL", help="what the gateways' endpoints begin with, when it is not this address")
    add("--model", metavar="SPEC", help="what answers completions: demo, <path>.gguf or http://<openai-compatible>")
    add("--state", metavar="FILE", help="keep all resources in this file, over restarts")
    add("--rules", choices=("published", "current"), help="which validation rules hold (published)")
    add("--config", metavar="FILE", help="TOML file: tokens, parameters, behaviour, faults")
    add(
        "--fault",
        action="append",
        default=[],
        metavar="'KIND NAME=VALUE ...'",
        help="let something go wrong, such as 'error method=CreateGateway nth=1 code=unavailable'; may be repeated",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop."""
    settings = {name: value for name, value in vars(options).items() if name not in ("run", "command", "fault")}
    stop = threading.Event()
    for name in _SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), partial(_stop, stop))
    emulator = Emulator(**settings, behaviour=Behavior(ready_after=_READY_AFTER))
    for text in options.fault:
        emulator.faults.add_text(text)
    with emulator:
        _say(f"listening on {emulator.endpoint}")
        if options.token is None:
            _say(f"admin token: {emulator.token}")
        if options.viewer_token is None:
            _say(f"viewer token: {emulator.viewer_token}")
        if not is_loopback(options.host):
            sys.stderr.write(_EXPOSED.format(options.host))
        while not stop.wait(timeout=1):  # no longer, because on Windows a signal does not end it
            pass
    return 0


def _stop(stop: threading.Event, number: int, frame: FrameType | None) -> None:
    stop.set()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()

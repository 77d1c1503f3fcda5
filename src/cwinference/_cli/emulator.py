"""`cwinference emulator`: runs the emulator in the foreground until SIGTERM or Ctrl-C."""

import logging
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import click

from .._hosts import is_loopback
from ..emulator import Behavior, Emulator
from .output import complain, say
from .parsing.groups import Command

_SIGNALS = ("SIGINT", "SIGTERM", "SIGBREAK")
_READY_AFTER = 2.0
"""Default in seconds, long enough to see a resource in the state CREATING."""
_LOG_LEVELS = ("debug", "info", "warning", "error")
_EXPOSED = "warning: --host {} lets anyone who can reach this machine use the emulator; it is meant for development"


@click.command("emulator", cls=Command, has_settings=False)
@click.option("--host", default="127.0.0.1", help="Address to listen on (127.0.0.1).")
@click.option("--port", type=int, default=8080, help="Port to listen on (8080); 0: any free port.")
@click.option("--token", help="Token with the role Inference Admin (CW-SECRET-emulator-admin).")
@click.option("--viewer-token", metavar="TOKEN", help="Token with the role Inference Viewer.")
@click.option("--tls-cert", metavar="FILE", help="Certificate in PEM, to serve https; needs --tls-key.")
@click.option("--tls-key", metavar="FILE", help="Private key of the certificate in PEM.")
@click.option(
    "--public-url",
    metavar="URL",
    help="URL at which clients reach it, with which the endpoints of gateways begin; requests for other hosts are "
    "refused, apart from this machine's own (the address it listens on).",
)
@click.option(
    "--ready-after", type=float, metavar="SECONDS", help="Time from a create until the resource is READY (2)."
)
@click.option(
    "--model",
    metavar="SPEC",
    help="What generates completions: demo, <path>.gguf or http://<openai-compatible-server> (a built-in text "
    "generator).",
)
@click.option("--state", metavar="FILE", help="Keep all resources in this file across restarts.")
@click.option("--rules", type=click.Choice(("published", "current")), help="Validation rules for requests (published).")
@click.option(
    "--drift",
    metavar="KIND,KIND",
    callback=lambda context, parameter, value: None if value is None else [each.strip() for each in value.split(",")],
    help="How responses differ from those that this release knows: any of new_fields, moved_numbers, new_enum_values; "
    "`cwinference doctor` finds them (none).",
)
@click.option("--config", metavar="FILE", help="TOML file with behavior, tokens, parameters, fates and faults.")
@click.option(
    "--fault",
    multiple=True,
    metavar="'KIND NAME=VALUE ...'",
    help="Fault to inject, such as 'error method=CreateGateway nth=1 code=unavailable'; may be given several times.",
)
@click.option("--log-level", type=click.Choice(_LOG_LEVELS), default="warning", help="What to log to stderr (warning).")
def command(*, fault: tuple[str, ...], log_level: str, **settings: Any) -> None:
    """Run an emulator of the API on a local port.

    It serves gRPC, gRPC-Web, Connect, REST and the OpenAI-compatible routes of the gateways on one port, until SIGTERM
    or Ctrl-C.
    """
    with _logging_to_stderr(log_level):
        _serve(fault, settings)


def _serve(faults: tuple[str, ...], settings: dict[str, Any]) -> None:
    stop = threading.Event()
    for name in _SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), partial(_stop, stop))
    emulator = Emulator(**settings, behavior=Behavior(ready_after=_READY_AFTER))
    for text in faults:
        emulator.faults.add_text(text)
    with emulator:
        say(f"listening on {emulator.endpoint}")
        if settings["token"] is None:
            say(f"admin token: {emulator.token}")
        if settings["viewer_token"] is None:
            say(f"viewer token: {emulator.viewer_token}")
        if not is_loopback(settings["host"]):
            complain(_EXPOSED.format(settings["host"]))
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

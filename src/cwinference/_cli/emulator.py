"""`cwinference emulator`: runs the emulator in the foreground until SIGTERM or Ctrl-C."""

import logging
import signal
import ssl
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

import click

from .._hosts import is_loopback
from .._text import one_line
from ..config import ENDPOINT_VARIABLES, endpoint_variable
from ..emulator import Behavior, Emulator, EmulatorClock
from ..emulator.protocols.reflection import descriptor_set
from ..errors import ConfigurationError
from .exit_codes import TIME_OVER
from .failures import CommandError
from .output import complain, say
from .parsing.durations import DURATION
from .parsing.groups import Command

_SIGNALS = ("SIGINT", "SIGTERM", "SIGBREAK")
_READY_AFTER = 2.0
"""Default in seconds, long enough to see a resource in the state CREATING."""
_ENDPOINT = "http://127.0.0.1:8080"
"""Where an emulator is that was started without options."""
_POLL_SECONDS = 0.1
_LOG_LEVELS = ("debug", "info", "warning", "error")
_NO_ENDPOINT = "endpoint: expected http://<host>:<port> or https://..., got {!r}"
_EXPOSED = "warning: --host {} lets anyone who can reach this machine use the emulator; it is meant for development"


class _EmulatorCommand(Command, click.Group):
    """A command that runs the emulator, and has commands below it for what goes with it."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is named first, if one is."""
        if not args:
            return None, None, []
        if args[0] not in self.commands:
            raise click.UsageError(f"got unexpected extra argument ({args[0]})", ctx)
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, and then the commands."""
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


def _parse_kinds(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    """Return the kinds of drift that an option lists."""
    return None if value is None else [each.strip() for each in value.split(",")]


@click.group("emulator", cls=_EmulatorCommand, has_settings=False, invoke_without_command=True)
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
@click.option("--first-token", type=float, default=0.0, metavar="SECONDS", help="Time until the first token (0).")
@click.option("--tokens-per-second", type=float, metavar="NUMBER", help="Rate of the tokens after that (all at once).")
@click.option("--jitter", type=float, default=0.0, metavar="PART", help="Part by which these times vary, 0 to 1 (0).")
@click.option("--seed", metavar="FILE", help="Stack to start with, READY at once: a file for `cwinference apply`.")
@click.option("--record", metavar="FILE", help="Append all calls and completions to this file, as lines of JSON.")
@click.option(
    "--replay", metavar="FILE", help="Respond from such a file to the requests in it, and to others as usual."
)
@click.option(
    "--clock",
    type=click.Choice(("running", "stopped")),
    default="running",
    help="Whether time passes for resources by itself, or only through POST /_emulator/clock (running).",
)
@click.option(
    "--admin",
    is_flag=True,
    default=None,
    help="Enable the admin routes and the page beyond the loopback interface, too.",
)
@click.option(
    "--cors-origin",
    "cors_origins",
    multiple=True,
    metavar="ORIGIN",
    help="Origin whose web pages may use the emulator, such as https://app.example.com; may be given several times.",
)
@click.option("--state", metavar="FILE", help="Keep all resources in this file across restarts.")
@click.option("--rules", type=click.Choice(("published", "current")), help="Validation rules for requests (published).")
@click.option(
    "--drift",
    metavar="KIND,KIND",
    callback=_parse_kinds,
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
@click.pass_context
def command(context: click.Context, /, *, fault: tuple[str, ...], log_level: str, **settings: Any) -> None:
    """Run an emulator of the API on a local port.

    It serves gRPC, gRPC-Web, Connect, REST and the OpenAI-compatible routes of the gateways on one port, until SIGTERM
    or Ctrl-C. Programs in any language control it over the routes below /_emulator/, with the admin token; people
    use the page whose URL it prints.
    """
    if context.invoked_subcommand is not None:
        return
    with _logging_to_stderr(log_level):
        _serve(fault, settings)


def _serve(faults: tuple[str, ...], settings: dict[str, Any]) -> None:
    stop = threading.Event()
    for name in _SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), partial(_stop, stop))
    clock = EmulatorClock(running=settings.pop("clock") == "running")
    emulator = Emulator(**settings, behavior=Behavior(ready_after=_READY_AFTER), clock=clock)
    for text in faults:
        emulator.faults.add_text(text)
    with emulator:
        say(f"listening on {emulator.endpoint}")
        if settings["token"] is None:
            say(f"admin token: {emulator.token}")
        if settings["viewer_token"] is None:
            say(f"viewer token: {emulator.viewer_token}")
        if page := emulator.page_url:
            # A token that was given as an argument is known, and not to be printed.
            say(f"page: {page if settings['token'] is None else page.partition('#')[0]}")
        if not is_loopback(settings["host"]):
            complain(_EXPOSED.format(settings["host"]))
        # Wait in short steps: on Windows a signal does not interrupt a wait, and is handled only after it.
        while not stop.wait(timeout=1):
            pass


@command.command("wait", cls=Command, has_settings=False)
@click.option(
    "--endpoint",
    metavar="URL",
    help=f"URL of the emulator (else {', '.join(ENDPOINT_VARIABLES)}, {_ENDPOINT}).",
)
@click.option(
    "--for", "seconds", type=DURATION, default=30.0, metavar="DURATION", help="How long to wait at most (30s)."
)
def wait(*, endpoint: str | None, seconds: float) -> None:
    """Wait until an emulator is ready.

    The exit code is 0 when the emulator is ready, and 6 if it is not ready in time. No token is needed.
    """
    endpoint = endpoint if endpoint is not None else endpoint_variable() or _ENDPOINT
    end = time.monotonic() + seconds
    while problem := _problem(endpoint):
        if time.monotonic() >= end:
            text = f"no emulator is ready at {endpoint} after {seconds:g} s: {problem}"
            raise CommandError(text, code=TIME_OVER, advice="to start one: cwinference emulator")
        time.sleep(_POLL_SECONDS)


@command.command("descriptors", cls=Command, has_settings=False)
@click.argument("file", type=click.Path(dir_okay=False))
def descriptors(*, file: str) -> None:
    """Write the descriptions of the API's messages and methods to FILE.

    FILE becomes a FileDescriptorSet for grpcurl, buf and proxies: all that can travel in binary, with all imports.
    The emulator's gRPC server reflection returns the same.
    """
    Path(file).write_bytes(descriptor_set().SerializeToString())


def _problem(endpoint: str) -> str:
    """Return why no emulator is ready; empty if one is."""
    if not endpoint.lower().startswith(("http://", "https://")):
        raise ConfigurationError(_NO_ENDPOINT.format(endpoint))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing secret is sent
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))
    try:
        with opener.open(f"{endpoint.rstrip('/')}/_emulator/ready", timeout=5) as response:
            return "" if response.status == HTTPStatus.OK else f"HTTP {response.status}"
    except HTTPError as error:
        with error:
            return f"HTTP {error.code}"
    except (OSError, HTTPException) as error:
        return one_line(str(getattr(error, "reason", error))) or type(error).__name__
    except ValueError:
        raise ConfigurationError(_NO_ENDPOINT.format(endpoint)) from None


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

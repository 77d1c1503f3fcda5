"""`cwinference batch IN.jsonl OUT.jsonl --gateway ID`: requests completions from a file into a file."""

import argparse
import asyncio
import logging
from typing import TYPE_CHECKING, Any

from .output import complain, describe, say

if TYPE_CHECKING:
    from ..inference import BatchResult

_OTHER_FILES = 64
"""How many of the open files that a process may have are no connections."""


def register(commands: Any) -> None:
    """Add the command to the command line."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "batch",
        help="request completions from a JSONL file",
        description="Request completions for the lines of a JSONL file, write each once into another, and continue "
        "where an earlier run stopped. Failures go to OUT.errors.jsonl and are retried by the next run. The exit code "
        "is 0 if everything is completed, 1 if something failed, 2 if an argument is wrong, 130 on Ctrl-C.",
    )
    parser.add_argument("requests", metavar="IN.jsonl", help="requests: bodies, or OpenAI's batch form")
    parser.add_argument("out", metavar="OUT.jsonl", help="completions, appended")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--gateway", metavar="ID", help="id of the gateway; WANDB_API_KEY is used for W&B auth")
    target.add_argument(
        "--base-url",
        metavar="URL",
        help="an OpenAI-compatible server instead of a gateway; it gets a token only from --token-file",
    )
    parser.add_argument(
        "--endpoint", metavar="URL", help="URL of the management API, to read the gateway (COREWEAVE_API_ENDPOINT)"
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help="file that contains the token; default: COREWEAVE_API_TOKEN or CW_API_TOKEN",
    )
    parser.add_argument(
        "--concurrency",
        type=int,
        default=64,
        metavar="N",
        help="requests in flight at most (64), as far as this process may have open files",
    )
    parser.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS", help="limit of one request (600)")
    parser.add_argument("--ordered", action="store_true", help="write completions in the order of the requests")
    parser.add_argument("--keep-going", action="store_true", help="continue even if many requests fail in a row")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Perform the batch; return 0 if everything is completed, 1 if something failed, 130 if it was interrupted."""
    from .._text import one_line
    from ..errors import ConfigurationError, InferenceError

    log = logging.getLogger("cwinference.batch")
    handler = _Printer(logging.WARNING)
    log.addHandler(handler)
    try:
        result = asyncio.run(_batch(options))
    except KeyboardInterrupt:
        complain("interrupted; run the same command again to continue")
        return 130
    except ConfigurationError:
        raise
    except InferenceError as error:
        _complain(f"{one_line(str(error))}{_hint(error, options)}")
        return 1
    except OSError as error:
        _complain(f"{one_line(describe(error))}{_hint(error, options)}")
        return 1
    finally:
        log.removeHandler(handler)
    _report(result)
    return 1 if result.failed else 0


class _Printer(logging.Handler):
    """Prints warnings of a batch."""

    def emit(self, record: logging.LogRecord) -> None:
        from .._text import one_line

        _complain(one_line(f"{record.levelname.lower()}: {record.getMessage()}"))


def _report(result: "BatchResult") -> None:
    say(f"{result.completed} completed, {result.failed} failed, {result.skipped} skipped")
    if result.gave_up:
        _complain(
            "stopped early, because too many requests failed in a row (--keep-going continues); run the same command "
            "again for the rest"
        )
    if result.failed:
        _complain(f"first failure: {result.first_failure}")
        _complain(f"all failures: {result.failures}")


def _complain(text: str) -> None:
    complain(f"cwinference batch: {text}")


def _hint(error: Exception, options: argparse.Namespace) -> str:
    """Return what to do about an error that ends the batch."""
    from ..errors import Unauthenticated

    if isinstance(error, Unauthenticated) and options.base_url and not options.token_file:
        return "; no token was sent: use --token-file"
    return "; once this is fixed, run the same command again to continue"


def _most_connections(concurrency: int) -> int:
    """Return how many requests may be in flight: as many as there may be connections in this process."""
    try:
        import resource
    except ImportError:  # on Windows
        return concurrency
    open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return concurrency if open_files < 0 else min(concurrency, max(1, open_files - _OTHER_FILES))


async def _batch(options: argparse.Namespace) -> "BatchResult":
    from .. import AsyncClient, auth
    from ..config import resolve_token
    from ..inference import AsyncInference

    token = auth.from_file(options.token_file) if options.token_file else None
    limit = _most_connections(max(1, options.concurrency))
    arguments: dict[str, Any] = {
        name: getattr(options, name) for name in ("requests", "out", "concurrency", "ordered", "keep_going")
    }
    if options.base_url:
        async with AsyncInference(options.base_url, token=token, timeout=options.timeout, limit=limit) as inference:
            return await inference.batch(**arguments)
    resolve_token(token, otherwise="use --token-file,")  # the client would advise token=
    async with AsyncClient(token, endpoint=options.endpoint) as client:
        inference = client.inference(options.gateway, timeout=options.timeout, limit=limit)
        return await inference.batch(**arguments)

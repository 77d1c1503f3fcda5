"""`cwinference batch IN.jsonl OUT.jsonl --gateway ID`: many completions from a file into a file."""

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..inference.batch.runner import BatchResult


def register(commands: Any) -> None:
    """Add the command to the command line."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "batch",
        help="ask for the completions of a JSONL file",
        description="Ask for the completions of a JSONL file, write each answer once into another, and go on where an "
        "earlier run stopped. Failures go to OUT.errors.jsonl and are tried again by the next run. The exit code is 0 "
        "when everything is answered, 1 when something failed, 2 when an argument is wrong, 130 on Ctrl-C.",
    )
    parser.add_argument("requests", metavar="IN.jsonl", help="requests: bodies, or OpenAI's batch form")
    parser.add_argument("out", metavar="OUT.jsonl", help="answers, appended")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--gateway", metavar="ID", help="id of the gateway; one with W&B auth gets WANDB_API_KEY")
    target.add_argument(
        "--base-url",
        metavar="URL",
        help="instead of a gateway, a server of the same kind; it gets no token but that of --token-file",
    )
    parser.add_argument(
        "--endpoint", metavar="URL", help="of the management API, to read the gateway (COREWEAVE_API_ENDPOINT)"
    )
    parser.add_argument(
        "--token-file", metavar="FILE", help="file with the token; without it, COREWEAVE_API_TOKEN or CW_API_TOKEN"
    )
    parser.add_argument("--concurrency", type=int, default=64, metavar="N", help="requests in flight (64)")
    parser.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS", help="for one request (600)")
    parser.add_argument("--ordered", action="store_true", help="write answers in the order of the requests")
    parser.add_argument("--keep-going", action="store_true", help="do not end when many requests fail in a row")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do the batch. 0: everything is answered; 1: something failed; 130: interrupted, to be run again."""
    from .._text import one_line
    from ..errors import ConfigurationError, InferenceError

    try:
        result = asyncio.run(_batch(options))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the same command goes on from here\n")
        return 130
    except ConfigurationError:
        raise
    except InferenceError as error:
        _complain(f"{one_line(str(error))}{_hint(error, options)}")
        return 1
    sys.stdout.write(f"answered {result.answered}, failed {result.failed}, answered before {result.skipped}\n")
    if result.gave_up:
        _complain(
            "ended early, because so many failed in a row (--keep-going goes on); the same command asks for the rest"
        )
    if result.failed:
        _complain(f"the first failure: {result.first_failure}")
        _complain(f"all failures: {result.failures}")
    return 1 if result.failed else 0


def _complain(text: str) -> None:
    sys.stderr.write(f"cwinference batch: {text}\n")


def _hint(error: Exception, options: argparse.Namespace) -> str:
    """What to do about an error that ends the batch."""
    from ..errors import Unauthenticated

    if isinstance(error, Unauthenticated) and options.base_url and not options.token_file:
        return "; no token was sent: give --token-file"
    return "; when it is put right, the same command goes on from here"


async def _batch(options: argparse.Namespace) -> "BatchResult":
    from .. import AsyncClient, auth
    from ..config import resolve_token
    from ..inference import AsyncInference

    token = auth.from_file(options.token_file) if options.token_file else None
    limit = max(1, options.concurrency)
    asked: dict[str, Any] = {
        name: getattr(options, name) for name in ("requests", "out", "concurrency", "ordered", "keep_going")
    }
    if options.base_url:
        async with AsyncInference(options.base_url, token=token, timeout=options.timeout, limit=limit) as front:
            return await front.batch(**asked)
    found = resolve_token(token, otherwise="name a file with --token-file,")
    async with AsyncClient(found, endpoint=options.endpoint) as client:
        front = client.inference(options.gateway, timeout=options.timeout, limit=limit)
        return await front.batch(**asked)

"""`cwinference batch IN.jsonl OUT.jsonl --gateway ID`: many completions from a file into a file."""

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._batch import BatchResult


def register(commands: Any) -> None:
    """Add the command to the command line."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "batch",
        help="ask for the completions of a JSONL file",
        description="Ask for the completions of a JSONL file, write each answer once into another, and go on where an "
        "earlier run stopped. Failures go to OUT.errors.jsonl and are tried again by the next run.",
    )
    parser.add_argument("requests", metavar="IN.jsonl", help="requests: bodies, or OpenAI's batch form")
    parser.add_argument("out", metavar="OUT.jsonl", help="answers, appended")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--gateway", metavar="ID", help="id of the gateway; the token is that of the environment")
    target.add_argument("--base-url", metavar="URL", help="a server of the same kind, instead of a gateway")
    parser.add_argument("--endpoint", metavar="URL", help="of the management API, to read the gateway")
    parser.add_argument("--token-file", metavar="FILE", help="file with the token, instead of the environment")
    parser.add_argument("--concurrency", type=int, default=64, metavar="N", help="requests in flight (64)")
    parser.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS", help="for one request (600)")
    parser.add_argument("--ordered", action="store_true", help="write answers in the order of the requests")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do the batch. 0: everything is answered; 1: something failed; 130: interrupted, to be run again."""
    from ..errors import ConfigurationError, InferenceError

    try:
        result = asyncio.run(_batch(options))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the same command goes on from here\n")
        return 130
    except ConfigurationError:
        raise
    except InferenceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"answered {result.answered}, failed {result.failed}, answered before {result.skipped}\n")
    return 1 if result.failed else 0


async def _batch(options: argparse.Namespace) -> "BatchResult":
    from .. import AsyncClient, auth
    from . import AsyncInference

    token = auth.from_file(options.token_file) if options.token_file else None
    asked: dict[str, Any] = {"out": options.out, "concurrency": options.concurrency, "ordered": options.ordered}
    limit = max(1, options.concurrency)
    if options.base_url:
        async with AsyncInference(options.base_url, token=token, timeout=options.timeout, limit=limit) as front:
            return await front.batch(options.requests, **asked)
    async with AsyncClient(token, endpoint=options.endpoint) as client:
        front = client.inference(options.gateway, timeout=options.timeout, limit=limit)
        return await front.batch(options.requests, **asked)

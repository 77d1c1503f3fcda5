"""`cwinference batch IN.jsonl OUT.jsonl --gateway NAME`: requests completions from a file into a file."""

import asyncio
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from .._text import is_id
from . import batch_on_ray
from .exit_codes import INTERRUPTED
from .output import complain, is_terminal, say
from .parsing.counts import COUNT_OR_AUTO, MOST, SHARD
from .parsing.groups import Command
from .parsing.options import output_options
from .parsing.words import WORDS
from .printing.batch_results import counts, result_json

if TYPE_CHECKING:
    from .. import AsyncClient, types
    from ..inference import BatchResult
    from .run import Run

_OTHER_FILES = 64
"""How many of the open files that a process may have are no connections."""

_TIMEOUT = 600.0
_OTHERS = ("gateway", "base_url", "ray", "workers")
"""Options that are no arguments of `batch`."""


@dataclass(frozen=True)
class _Options:
    """What the command line says."""

    requests: str
    out: str
    gateway: Sequence[str]
    base_url: Sequence[str]
    concurrency: int | str
    ordered: bool
    keep_going: bool
    force: bool
    retry_failed: bool
    shard: tuple[int, int] | None
    ray: str | None
    workers: int | None


class _Batch(Command):
    """The command, which has another one below it: `merge` in the place of IN.jsonl."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Return the context of the command that the arguments mean."""
        if args[:1] != ["merge"]:
            given = [*args]
            try:
                return super().make_context(info_name, args, parent, **extra)
            except click.MissingParameter as error:
                batch_on_ray.explain_missing(error, given)
                raise
        from .batch_merge import command as merge

        return merge.make_context(f"{info_name} merge", args[1:], parent, **extra)


@click.command("batch", cls=_Batch, timeout="Limit of one request, such as 90, 90s or 2m (10m).")
@click.argument("requests", metavar="IN.jsonl")
@click.argument("out", metavar="OUT.jsonl")
@click.option(
    "--gateway",
    metavar="NAME",
    type=WORDS,
    multiple=True,
    help="Name or id of the gateway. Several (or A,B): each request goes to a less loaded one. WANDB_API_KEY is used "
    "for W&B auth.",
)
@click.option(
    "--base-url",
    metavar="URL",
    type=WORDS,
    multiple=True,
    help="OpenAI-compatible server to use instead of a gateway, or several. It gets a token only from --token-file.",
)
@click.option(
    "--concurrency",
    type=COUNT_OR_AUTO,
    default=64,
    metavar="N|auto",
    help="Most requests in flight (64), if the limit of open files allows it; auto: as many as the server takes.",
)
@click.option("--ordered", is_flag=True, help="Write completions in the order of the requests.")
@click.option("--keep-going", is_flag=True, help="Continue even if many requests in a row fail.")
@click.option("--retry-failed", is_flag=True, help="Send only the requests that are in OUT.errors.jsonl.")
@click.option(
    "--shard",
    type=SHARD,
    metavar="K/N",
    help="Send only the K-th of N parts. Each needs its own OUT; `cwinference batch merge OUT PART...` joins them.",
)
@click.option("--force", is_flag=True, help="Continue with another input or server; changed requests are sent again.")
@click.option(
    "--ray",
    metavar="[ADDRESS]",
    is_flag=False,
    flag_value=batch_on_ray.HERE,
    help="Run on a Ray cluster. IN may be a folder or a pattern of JSONL and Parquet files; OUT is a folder that all "
    "nodes share. Without ADDRESS: RAY_ADDRESS, or this machine. Needs the extra ray.",
)
@click.option("--workers", type=int, metavar="N", help="With --ray: number of workers (one per node).")
@output_options("text", "json")
@click.pass_context
def command(context: click.Context, /, **given: Any) -> int:
    """Request completions from a JSONL file.

    Request completions for the lines of IN.jsonl (- is standard input), which are bodies or have OpenAI's batch format.
    Write each completion once into OUT.jsonl, and continue where an earlier run stopped. Failures are written to
    OUT.errors.jsonl and retried by the next run. OUT.manifest.json records which requests were read and where they were
    sent; a run with another input or server is refused.

    `cwinference batch merge OUT.jsonl PART.jsonl...` joins the parts that --shard made.

    The exit code is 0 if everything is completed, 1 if something failed; the others are those of every command.
    """
    given["gateway"], given["base_url"] = ([*chain(*given[name])] for name in ("gateway", "base_url"))
    options = _Options(**given)
    if bool(options.gateway) == bool(options.base_url):
        raise click.UsageError("give one of --gateway and --base-url", context)
    batch_on_ray.check(context, given)
    return perform(options, context.obj)


def perform(options: _Options, run: "Run") -> int:
    """Perform the batch; return 0 if everything is completed, 1 if something failed, 130 if it was interrupted.

    Raises:
        CommandError: the batch could not go on, for example because the gateway cannot be read.
        ConfigurationError: an argument is wrong.
    """
    from ..errors import ConfigurationError, InferenceError
    from .failures import CommandError, code_of, text_of

    log = logging.getLogger("cwinference.batch")
    handler = _BatchLogHandler(logging.WARNING)
    log.addHandler(handler)
    try:
        if options.ray is None:
            result = asyncio.run(_batch(options, run))
        else:
            result = batch_on_ray.perform(vars(options), run, run.timeout or _TIMEOUT)
    except KeyboardInterrupt:
        run.note("interrupted; run the same command again to continue")
        return INTERRUPTED
    except ConfigurationError:
        raise
    except (InferenceError, OSError) as error:
        raise CommandError(text_of(error), code=code_of(error), advice=_advice(error, options, run)) from error
    finally:
        log.removeHandler(handler)
    if run.form == "json":
        run.document(result_json(result), lambda: counts(result))
    else:
        say(counts(result))  # what is lost of it is in the files
    _report(result, options.out, run)
    return 1 if result.failed else 0


class _BatchLogHandler(logging.Handler):
    """Prints warnings of a batch."""

    def emit(self, record: logging.LogRecord) -> None:
        from .._text import one_line

        _complain(one_line(f"{record.levelname.lower()}: {record.getMessage()}"))


def _report(result: "BatchResult", out: str, run: "Run") -> None:
    used = result.total_usage
    if used.total_tokens and is_terminal(sys.stderr):
        run.note(f"{used.prompt_tokens:,} tokens in prompts and {used.completion_tokens:,} generated, in all runs")
    if result.unsent:
        run.note(f"{result.unsent} other requests have no completion yet; run without --retry-failed for them")
    if result.gave_up:
        _complain(
            "stopped early, because too many requests failed in a row (--keep-going continues); run the same command "
            "again for the rest"
        )
    if result.failed:
        _complain(f"first failure: {result.first_failure}")
        _complain(f"all failures: {result.failures or f'{out}/failed-*.jsonl'}")


def _complain(text: str) -> None:
    complain(f"cwinference batch: {text}")


def _advice(error: Exception, options: _Options, run: "Run") -> str:
    """Return what to do about an error that ends the batch."""
    from ..errors import Unauthenticated

    if isinstance(error, Unauthenticated) and options.base_url and not run.token_file:
        return "no token was sent: use --token-file"
    return "once this is fixed, run it again: it continues with what is not completed"


def _most_connections(wanted: int | str) -> int:
    """Return how many requests may be in flight: as many as there may be connections in this process."""
    concurrency = MOST if wanted == "auto" else max(1, int(wanted))
    try:
        import resource
    except ImportError:  # on Windows
        return concurrency
    open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return concurrency if open_files < 0 else min(concurrency, max(1, open_files - _OTHER_FILES))


async def _gateways(client: "AsyncClient", words: Sequence[str]) -> "list[types.Gateway | str]":
    """Return the gateways of names; those of ids are read by the batch itself."""
    return [word if is_id(word) else await client.gateways.find(word) for word in words]


async def _batch(options: _Options, run: "Run") -> "BatchResult":
    from .. import AsyncClient
    from ..inference import AsyncInference

    timeout, limit = run.timeout or _TIMEOUT, _most_connections(options.concurrency)
    arguments: dict[str, Any] = {
        each.name: getattr(options, each.name) for each in fields(options) if each.name not in _OTHERS
    }
    if run.quiet:
        arguments["progress"] = False
    how = run.connection("grpc")
    if options.base_url:
        settings = {name: how[name] for name in ("tls", "proxy")}
        async with AsyncInference(
            list(options.base_url), token=run.token(), timeout=timeout, limit=limit, **settings
        ) as inference:
            return await inference.batch(**arguments)
    async with AsyncClient(run.required_token(), **how) as client:
        inference = client.inference(await _gateways(client, options.gateway), timeout=timeout, limit=limit)
        return await inference.batch(**arguments)

"""`cwinference batch merge OUT.jsonl PART.jsonl...`: joins the parts of a batch that was split by `--shard`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from .parsing.groups import Command
from .parsing.options import output_options
from .printing.batch_results import counts, result_json

if TYPE_CHECKING:
    from .run import Run


@click.command("merge", cls=Command, has_settings=False)
@click.argument("out", metavar="OUT.jsonl")
@click.argument("parts", metavar="PART.jsonl...", nargs=-1, required=True)
@output_options("text", "json")
@click.pass_obj
def command(run: "Run", /, out: str, parts: Sequence[str]) -> int:
    """Join the parts of a batch.

    Join the parts made by `cwinference batch --shard K/N`, with their failures, into OUT.jsonl, which must not exist.
    All parts must exist, be finished, and be of the same requests. They are not changed.

    The exit code is 0 if everything is completed, 1 if something failed.
    """
    from ..inference import merge_batches

    result = merge_batches(parts, out=out)
    run.document(result_json(result), lambda: counts(result))
    if result.failed:
        run.note(f"all failures: {result.failures}")
    return 1 if result.failed else 0

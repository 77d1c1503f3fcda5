"""`cwinference batch IN OUT_DIR --ray [ADDRESS]`: the same on a cluster of Ray."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..inference import BatchResult
    from .run import Run

HERE = "auto"
"""What `--ray` says without an address."""
_LOCAL = {
    "ordered": "--ordered does not go with --ray: its files have no order",
    "retry_failed": "--retry-failed does not go with --ray, which sends what failed again anyway",
}
"""Options that only a batch on one machine has, and what is said of them."""


def explain_missing(error: click.MissingParameter, words: Sequence[str]) -> None:
    """Raise UsageError if a file is missing because `--ray` took it as its ADDRESS."""
    if "--ray" in words[:-1]:
        raise click.UsageError(
            "a file is missing, because --ray takes the word after it as its ADDRESS; write --ray last", error.ctx
        )


def check(context: click.Context, given: Mapping[str, Any]) -> None:
    """Refuse options that do not go together. Raises UsageError."""
    if given["ray"] is None:
        if given["workers"] is not None:
            raise click.UsageError("--workers goes with --ray", context)
        return
    wrong = next((problem for name, problem in _LOCAL.items() if given[name]), None)
    if wrong is not None:
        raise click.UsageError(wrong, context)
    if given["requests"] == "-":
        raise click.UsageError("--ray reads files, not standard input; give a path", context)


def perform(given: Mapping[str, Any], run: "Run", timeout: float) -> "BatchResult":
    """Perform a batch on the cluster; return its outcome. Raises what `cwinference.ray.batch` raises."""
    from .. import auth
    from ..config import TLS
    from ..ray import batch

    if run.proxy is not None:
        raise click.UsageError("--proxy does not go with --ray; set HTTPS_PROXY for the workers")
    transport: Any = run.transport
    with redirect_stdout(sys.stderr):  # Ray prints to standard output that a worker died, which is for the result
        return batch(
            given["requests"],
            given["out"],
            gateway=list(given["gateway"]) or None,
            base_url=list(given["base_url"]) or None,
            concurrency=given["concurrency"],
            workers=given["workers"],
            keep_going=given["keep_going"],
            force=given["force"],
            shard=given["shard"],
            # The workers read the files, in folders of their own.
            token=None if run.token_file is None else auth.from_file(Path(run.token_file).absolute()),
            tls=None if run.ca is None else TLS(ca=Path(run.ca).absolute()),
            timeout=timeout,
            endpoint=run.endpoint,
            transport=transport,
            address=None if given["ray"] == HERE else given["ray"],
            progress=False if run.quiet else None,
        )

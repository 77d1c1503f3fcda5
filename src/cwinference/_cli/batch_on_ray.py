"""`cwinference batch IN OUT_DIR --ray [ADDRESS]`: the same on a cluster of Ray."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..inference import BatchResult
    from .run import Run

HERE = "auto"
"""What `--ray` says without an address."""
_LOCAL = {
    "ordered": "--ordered",
    "retry_failed": "--retry-failed",
    "shard": "--shard",
    "force": "--force",
}
"""Options that only a batch on one machine has."""


def check(context: click.Context, given: Mapping[str, Any]) -> None:
    """Refuse options that do not go together. Raises UsageError."""
    if given["ray"] is None:
        if given["workers"] is not None:
            raise click.UsageError("--workers goes with --ray", context)
        return
    wrong = next((option for name, option in _LOCAL.items() if given[name]), None)
    if wrong is not None:
        raise click.UsageError(f"{wrong} does not go with --ray", context)
    if given["concurrency"] == "auto":
        raise click.UsageError("--concurrency auto does not go with --ray; give a number", context)
    if given["requests"] == "-":
        raise click.UsageError("--ray reads files, not standard input", context)


def perform(given: Mapping[str, Any], run: "Run", timeout: float) -> "BatchResult":
    """Perform a batch on the cluster; return its outcome. Raises what `cwinference.ray.batch` raises."""
    from .. import auth
    from ..config import TLS
    from ..ray import batch

    if run.proxy is not None:
        raise click.UsageError("--proxy does not go with --ray; set HTTPS_PROXY for the workers")
    how: dict[str, Any] = {"endpoint": run.endpoint, "transport": run.transport}
    return batch(
        given["requests"],
        given["out"],
        gateway=list(given["gateway"]) or None,
        base_url=list(given["base_url"]) or None,
        concurrency=int(given["concurrency"]),
        workers=given["workers"],
        keep_going=given["keep_going"],
        # The workers read the files, in folders of their own.
        token=None if run.token_file is None else auth.from_file(Path(run.token_file).absolute()),
        tls=None if run.ca is None else TLS(ca=Path(run.ca).absolute()),
        timeout=timeout,
        address=None if given["ray"] == HERE else given["ray"],
        **how,
    )

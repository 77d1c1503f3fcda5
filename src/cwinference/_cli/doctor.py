"""`cwinference doctor`: examines the connection to the API, and whether the service is as this release expects."""

import click

from .. import doctor
from .parsing.groups import Command
from .parsing.options import output_options
from .run import Run

_SECONDS = 60.0


@click.command("doctor", cls=Command, timeout="Limit of the whole examination, such as 90, 90s or 2m (60).")
@output_options("table", "json", "yaml")
@click.option(
    "--names",
    "with_names",
    is_flag=True,
    help="Name resources in the report. Without it, the report can be shared.",
)
@click.pass_obj
def command(run: Run, *, with_names: bool) -> int:
    """Examine the connection to the API: token, network, transports and wire format.

    It makes at most 20 calls, all of them reads, over gRPC, Connect and REST, and compares what they return. The
    report contains no secrets.

    The exit code is 0 if nothing is wrong or there are only warnings, such as for a new field; 1 if something is wrong;
    and 4 if there is no token, or it was refused.
    """
    report = doctor.examine(run.client_to_examine, names=with_names, timeout=run.timeout or _SECONDS)
    run.document(report.as_dict(), lambda: str(report))
    return report.exit_code

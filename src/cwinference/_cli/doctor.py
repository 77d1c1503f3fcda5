"""`cwinference doctor`: examines the way to the API, and whether the service speaks as this release expects."""

import click

from .. import doctor
from .parsing.groups import Command
from .parsing.options import output_options
from .run import Run

_SECONDS = 60.0


@click.command("doctor", cls=Command, timeout="Limit of the whole examination, such as 90, 90s or 2m (60).")
@output_options("table", "json", "yaml")
@click.option(
    "--names", "with_names", is_flag=True, help="Name resources in the report. Without it, it can be sent as it is."
)
@click.pass_obj
def command(run: Run, *, with_names: bool) -> int:
    """Examine the way to the API: token, network, transports, and the wire itself.

    It makes at most 20 calls, which only read, by gRPC, Connect and REST, and compares what they return. The
    report contains no secrets.

    Exit code 0: nothing is wrong, or there are only warnings, such as a field that is new; 1: something is wrong; 4:
    the token was refused.
    """
    report = doctor.examine(run.client, names=with_names, timeout=run.timeout or _SECONDS)
    run.document(report.as_dict(), lambda: str(report))
    return report.exit_code

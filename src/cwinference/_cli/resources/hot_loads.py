"""What only hot-loads have: `create` for a deployment, `replicas`, `cancel`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ... import types
from ..._tables.context import TableContext
from ..._text import one_line
from ...messages import to_dict
from ..parsing.groups import Command
from ..parsing.options import output_options, table_options
from ..parsing.waits import Wait
from ..printing.forms import json_text, names_text, ndjson_text, yaml_text
from ..printing.screen import Screen
from .fields import FieldOption, field_options
from .kinds import DEPLOYMENTS, Kind
from .names import find, find_all, is_single, names_argument
from .requests import create_request, print_requests
from .show import show, show_table
from .waiting import until_ready
from .write import given_fields, parameters_of, print_template, refuse_missing, writing_options

if TYPE_CHECKING:
    from ..run import Run


def create_command(kind: Kind) -> click.Command:
    """Return `create`, which loads a snapshot into a deployment."""
    options = field_options(kind.create_request)

    @click.argument("deployment", required=False)
    @click.option("--deployment", "--deployment-id", "option", metavar="NAME", help="The same as DEPLOYMENT.")
    @click.option("--id", "--hot-load-id", "id", metavar="UUID", help="An id of your own, instead of a new one.")
    @writing_options(kind)
    @click.pass_context
    def command(context: click.Context, /, **given: Any) -> int:
        return _create(kind, context, options, **given)

    text = "Load a snapshot into the running replicas of a deployment, named by name or id."
    return Command("create", params=[*parameters_of(command), *options], callback=command, help=text)


def _create(
    kind: Kind,
    context: click.Context,
    options: Sequence[FieldOption],
    *,
    deployment: str | None,
    option: str | None,
    id: str | None,
    file: str | None,
    template: bool,
    dry_run: bool,
    wait: Wait | None,
    **values: Any,
) -> int:
    run: Run = context.obj
    if template:
        print_template(run, kind)
        return 0
    _, fields = given_fields(run, kind, file, options, values)
    if deployment and option and deployment != option:
        raise click.UsageError("give one of DEPLOYMENT and --deployment", context)
    in_file, own_id = fields.pop("deployment_id", None), id or fields.pop("hot_load_id", None)
    word = deployment or option or in_file
    if not word:
        raise click.UsageError("missing argument 'DEPLOYMENT'", context)
    refuse_missing(kind, context, fields)
    target = find(run, DEPLOYMENTS, word).spec.id
    if dry_run:
        print_requests(run, [create_request(kind, hot_load_id=own_id, deployment_id=target, **fields)])
        return 0
    created, code = kind.methods(run).create(target, hot_load_id=own_id, **fields), 0
    run.note(f"created: {created.spec.id}")
    if wait is not None:
        ready, code = until_ready(run, kind, {created.spec.id: created.spec.id}, wait.seconds)
        created = ready[0]
    show(run, kind, [created], single=True)
    return code


def replicas_command(kind: Kind) -> click.Command:
    """Return `replicas`."""

    @click.argument("name")
    @output_options()
    @table_options
    @click.pass_obj
    def command(run: "Run", /, name: str) -> None:
        found = [*run.client.hot_loads.replicas(find(run, kind, name).spec.id)]
        match run.form:
            case "json":
                run.say(json_text(found, single=False))
            case "yaml":
                run.say(yaml_text([to_dict(each) for each in found]))
            case "ndjson" | "name":
                text = (
                    names_text(each.name for each in found) if run.form == "name" else ndjson_text(map(to_dict, found))
                )
                if found:
                    run.say(text)
            case _:
                show_table(run, types.HotLoadReplica, found, TableContext(Screen.of_output()), nothing="no replicas")

    text = "Show the progress of each replica of a hot-load, named by its id or its snapshot."
    return click.command("replicas", cls=Command, help=text)(command)


def cancel_command(kind: Kind) -> click.Command:
    """Return `cancel`."""

    @names_argument
    @click.option("--yes", "-y", is_flag=True, help="Do not ask.")
    @click.option("--dry-run", is_flag=True, help="Print the requests as JSON, and send none.")
    @output_options()
    @click.pass_obj
    def command(run: "Run", /, names: list[str], yes: bool, dry_run: bool) -> None:
        found = find_all(run, kind, names)
        if dry_run:
            print_requests(run, [types.CancelHotLoadRequest(id=each.spec.id) for each in found])
            return
        run.confirm(f"Cancel {', '.join(one_line(each.spec.id) for each in found)}?", yes=yes)
        show(run, kind, [run.client.hot_loads.cancel(each.spec.id) for each in found], single=is_single(names))

    text = "Cancel hot-loads; nothing is rolled back. It asks on a terminal; without one, it needs --yes."
    return click.command("cancel", cls=Command, help=text)(command)

"""`create`, `modify` and `delete`."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ... import types
from ..._text import one_line
from ...errors import ApiError, ProtocolError
from ..exit_codes import USAGE
from ..failures import CommandError
from ..parsing.groups import Command
from ..parsing.options import CommandT, output_options
from ..parsing.waits import Wait, wait_option
from .fields import FieldOption, field_options, fields_from, merged, missing, option_name
from .files import read_spec
from .kinds import CLAIMS, DEPLOYMENTS, GATEWAYS, Kind, name_of
from .names import by_id, find_all, gateway_ids, is_single, names_argument, with_input
from .requests import create_request, print_requests, update_request
from .show import show
from .template import GATEWAY, template
from .waiting import good_ones, outcome_of, until_changed, until_gone, wait_again, waiting

if TYPE_CHECKING:
    from ..run import Run


def create_command(kind: Kind) -> click.Command:
    """Return `create` for a kind."""
    options = field_options(kind.create_request)

    @click.argument("name", required=False)
    @click.option("--id", metavar="UUID", help="An id of your own, instead of a new one.")
    @writing_options(kind)
    @click.pass_context
    def command(context: click.Context, /, **given: Any) -> None:
        _create(kind, context, options, **given)

    text = f"Create a {kind.one}: fields as options, or -f FILE, or both, of which options win."
    return Command("create", params=[*parameters_of(command), *options], callback=command, help=text)


def _create(
    kind: Kind,
    context: click.Context,
    options: Sequence[FieldOption],
    *,
    name: str | None,
    id: str | None,
    file: str | None,
    template: bool,
    dry_run: bool,
    wait: Wait | None,
    **values: Any,
) -> None:
    run: Run = context.obj
    if template:
        print_template(run, kind)
        return
    found, fields = given_fields(run, kind, file, options, values)
    name = name or found
    if not name:
        raise click.UsageError("missing argument 'NAME'", context)
    run.subject = (kind.command, name)  # which may be in the file
    refuse_missing(kind, context, fields)
    if dry_run:
        print_requests(run, [create_request(kind, id=id, name=name, **fields)])
        return
    with _awaited(run, kind, wait, name) as how:
        created = kind.methods(run).create(name, id=id, **fields, **how)
    run.note(f"{'created' if wait is None else 'ready'}: {one_line(name)} ({created.spec.id})")
    show(run, kind, [created], single=True)


def modify_command(kind: Kind) -> click.Command:
    """Return `modify` for a kind."""
    assert kind.update_request is not None  # noqa: S101
    options = field_options(kind.update_request)

    @names_argument
    @writing_options(kind, creates=False)
    @click.pass_context
    def command(context: click.Context, /, **given: Any) -> int:
        return _modify(kind, context, options, **given)

    if "name" in kind.update_request.DESCRIPTOR.fields_by_name:
        command = click.option("--new-name", metavar="NAME", help="Another name.")(command)
    text = f"Change the fields of {kind.one}s that options or -f FILE name; all others stay as they are."
    return Command("modify", params=[*parameters_of(command), *options], callback=command, help=text)


def _modify(
    kind: Kind,
    context: click.Context,
    options: Sequence[FieldOption],
    *,
    names: Sequence[str],
    file: str | None,
    dry_run: bool,
    wait: Wait | None,
    new_name: str | None = None,
    **values: Any,
) -> int:
    run: Run = context.obj
    _, changes = given_fields(run, kind, file, options, values)
    if new_name is not None:
        changes["name"] = new_name
    if not changes:
        examples = ", ".join(option_name(each.path) for each in options[:3])
        raise click.UsageError(f"nothing to change; use options such as {examples}, or -f FILE", context)
    found = find_all(run, kind, names)
    if new_name is not None and len(found) > 1:
        raise click.UsageError("--new-name is for a single resource", context)
    if dry_run:
        current = [kind.methods(run).get(each.spec.id) for each in found]
        print_requests(run, [update_request(kind, each, changes) for each in current])
        return 0
    modify = kind.methods(run).modify
    outcomes = {name_of(each): outcome_of(partial(modify, each.spec.id, **changes)) for each in found}
    if wait is not None:
        outcomes = until_changed(run, kind, outcomes, wait.seconds)
    done, code = good_ones(run, kind, outcomes)
    if done:
        show(run, kind, done, single=is_single(names))
    return code


def delete_command(kind: Kind) -> click.Command:
    """Return `delete` for a kind."""

    @names_argument
    @click.option("--yes", "-y", is_flag=True, help="Do not ask.")
    @click.option("--dry-run", is_flag=True, help="Print the requests as JSON, and send none.")
    @wait_option("Wait until they are gone; 20m at most unless DURATION is given.")
    @output_options()
    @click.pass_obj
    def command(run: "Run", /, names: list[str], yes: bool, dry_run: bool, wait: Wait | None) -> int:
        words = with_input(names)
        found = find_all(run, kind, words)
        for line in _referring(run, kind, found):
            run.note(line)
        if dry_run:
            shape: Any = getattr(types, f"Delete{kind.message.DESCRIPTOR.name}Request")
            print_requests(run, [shape(id=each.spec.id) for each in found])
            return 0
        what = ", ".join(one_line(name_of(each)) for each in found)
        run.confirm(f"Delete {kind.one}{'s' * (len(found) > 1)} {what}?", yes=yes)
        outcomes = {name_of(each): outcome_of(partial(kind.methods(run).delete, each.spec.id)) for each in found}
        done, code = good_ones(run, kind, {name_of(each): outcomes[name_of(each)] or each for each in found})
        if wait is not None:
            until_gone(run, kind, by_id(kind, done, words), wait.seconds)
        if done and (wait is None or run.form not in (None, "table", "wide")):  # whose states are no more
            show(run, kind, done, single=is_single(names))
        return code

    text = f"Delete {kind.one}s. It asks on a terminal; without one, it needs --yes."
    return click.command("delete", cls=Command, help=text)(command)


def writing_options(kind: Kind, *, creates: bool = True) -> Callable[[CommandT], CommandT]:
    """Return a decorator that adds the options of `create` and `modify` that are no fields."""

    def decorate(function: CommandT) -> CommandT:
        goal = "COMPLETED" if kind.update_request is None else "READY"
        function = output_options()(function)
        function = wait_option(f"Wait until it is {goal}, for DURATION (90, 90s, 10m, 1h) at most.")(function)
        function = click.option("--dry-run", is_flag=True, help="Print the request as JSON, and send none.")(function)
        if creates:
            function = click.option("--template", is_flag=True, help="Print a file for -f to fill in.")(function)
        text = "File with the fields, in JSON or YAML: a spec as in a stack, or a stack with one; - for standard input."
        return click.option("-f", "--file", metavar="FILE", help=text)(function)

    return decorate


def print_template(run: "Run", kind: Kind) -> None:
    """Print a spec to fill in."""
    run.say(template(kind, run.form if run.form in ("json", "yaml") else None))


def given_fields(
    run: "Run", kind: Kind, file: str | None, options: Sequence[FieldOption], values: dict[str, Any]
) -> tuple[str | None, dict[str, Any]]:
    """Return the name that a file has, and the fields of the file with those of options on top."""
    name, fields = (None, {}) if file is None else read_spec(kind, file)
    fields = merged(fields, fields_from(options, values))
    if "gateways" in fields:
        fields.setdefault("gateway_ids", fields.pop("gateways"))
        fields.pop("gateways", None)
    if "gateway_ids" in fields:
        try:
            fields["gateway_ids"] = gateway_ids(run, fields["gateway_ids"])
        except CommandError as error:
            if file is not None and GATEWAY in fields["gateway_ids"]:
                raise CommandError(
                    f"{file}: gateways: replace {GATEWAY}, which --template has put there, by the name of a gateway",
                    code=USAGE,
                    advice=error.advice,
                ) from None
            raise
    return name, fields


def refuse_missing(kind: Kind, context: click.Context, fields: Mapping[str, Any]) -> None:
    """Refuse fields that are not all that is required."""
    lacking = missing(kind.create_request, fields, kind.choices)
    if lacking:
        raise click.UsageError(f"missing {', '.join(lacking)}; or -f FILE, which --template begins", context)


def parameters_of(command: Any) -> list[click.Parameter]:
    """Return the parameters that decorators have added to a function."""
    return [*reversed(command.__click_params__)]


@contextmanager
def _awaited(run: "Run", kind: Kind, wait: Wait | None, word: str) -> Generator[dict[str, Any]]:
    """Yield how a method waits: what `wait=True` needs, if that is wanted."""
    if wait is None:
        yield {}
        return

    limit = {} if wait.seconds is None else {"timeout": wait.seconds}
    with waiting(run, f"waiting for {one_line(word)}", wait_again(kind, [word], wait.seconds)) as progress:
        yield {"wait": True, "on_change": progress, **limit}


def _referring(run: "Run", kind: Kind, resources: Sequence[Any]) -> Iterator[str]:
    """Return lines that say what still refers to resources. What cannot be read is not said."""
    if kind is GATEWAYS:
        for each in resources:
            names = [found.spec.name for found in _listed(run) if each.spec.id in found.spec.gateway_ids]
            if names:
                yield one_line(f"deployments that refer to {each.spec.name}: {', '.join(names)}")
    if kind is CLAIMS:
        reserved = types.DeploymentAutoscaling.CAPACITY_CLASS_RESERVED
        for each in resources:
            names = [
                found.spec.name
                for found in _listed(run)
                if found.spec.resources.instance_type == each.spec.resources.instance_id
                and reserved in found.spec.autoscaling.capacity_classes
            ]
            if names:
                yield one_line(f"deployments that may run on {each.spec.name}: {', '.join(names)}")
    if kind is DEPLOYMENTS:
        for each in resources:
            count = _unfinished(run, each)
            if count:
                yield one_line(f"hot-loads of {each.spec.name} that are not finished: {count}")


def _listed(run: "Run") -> Sequence[types.Deployment]:
    with suppress(ApiError, ProtocolError):
        return run.client.deployments.list()
    return []


def _unfinished(run: "Run", deployment: types.Deployment) -> int:
    if not deployment.spec.HasField("hot_load"):
        return 0
    with suppress(ApiError, ProtocolError):
        found = run.client.hot_loads.list(deployment.spec.id)
        return sum(not (each.status.HasField("finished_at") or each.status.HasField("canceled_at")) for each in found)
    return 0

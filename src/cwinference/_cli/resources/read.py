"""`list`, `get`, `describe` and `parameters`."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from google.protobuf.message import Message

from ..._tables.layout import Column, table_lines
from ..._text import one_line
from ...messages import to_dict
from ..parsing.durations import seconds_of
from ..parsing.groups import Command
from ..parsing.options import CommandT, output_options, table_options
from ..printing.describe import description
from ..printing.screen import Screen
from ..run import Run
from .kinds import DEPLOYMENTS, GATEWAYS, HOT_LOADS, Kind
from .names import find, find_all, gateway_ids, gateway_option, is_single, names_argument
from .show import context_for, show


def list_command(kind: Kind) -> click.Command:
    """Return `list` for a kind."""

    @output_options()
    @table_options
    @_filters(kind)
    @click.pass_obj
    def command(run: Run, /, **filters: Any) -> None:
        show(run, kind, kind.methods(run).list(**_resolved(run, filters)))

    return click.command("list", cls=Command, help=f"List the organization's {kind.one}s.")(command)


def get_command(kind: Kind) -> click.Command:
    """Return `get` for a kind."""

    @names_argument
    @output_options()
    @table_options
    @click.pass_obj
    def command(run: Run, names: list[str]) -> None:
        show(run, kind, find_all(run, kind, names), single=is_single(names))

    text = f"Show {kind.one}s, each by its name or id; `-` reads names from standard input."
    return click.command("get", cls=Command, help=text)(command)


def describe_command(kind: Kind) -> click.Command:
    """Return `describe` for a kind."""

    @names_argument
    @output_options()
    @click.pass_obj
    def command(run: Run, names: list[str]) -> None:
        found = find_all(run, kind, names)
        if run.form not in (None, "table", "wide"):
            show(run, kind, found, single=is_single(names))
            return
        context = context_for(run, kind, found)
        related = [*run.client.deployments.list()] if kind is GATEWAYS else []
        run.say("\n\n".join(description(each, context, related) for each in found))

    text = f"Show all that is known of {kind.one}s: spec, status, and conditions with their reasons and times."
    return click.command("describe", cls=Command, help=text)(command)


def parameters_command(kind: Kind) -> click.Command:
    """Return `parameters` for a kind."""

    @output_options("table", "json", "yaml")
    @click.pass_obj
    def command(run: Run, /, **filters: Any) -> None:
        filters = {"gateway_ids": gateway_ids(run, given)} if (given := _split(filters.get("gateways"))) else {}
        found = kind.methods(run).parameters(**filters)
        run.document(to_dict(found), lambda: _parameters_text(found))

    if kind is DEPLOYMENTS:
        text = "Only what is available behind these gateways, by name or id."
        command = click.option("--gateways", "--gateway", "gateways", metavar="A,B", multiple=True, help=text)(command)
    return click.command("parameters", cls=Command, help=f"Show the values that the spec of a {kind.one} may use.")(
        command
    )


def _filters(kind: Kind) -> Callable[[CommandT], CommandT]:
    if kind is HOT_LOADS:
        return click.option("--deployment", metavar="NAME", help="Only those of this deployment, by name or id.")

    def decorate(function: CommandT) -> CommandT:
        text = "Only what changed later than this: a time such as 2026-11-29T12:00:00Z, or 10m for the last 10 minutes."
        function = click.option("--updated-after", metavar="TIME", callback=_time, help=text)(function)
        if kind is DEPLOYMENTS:
            function = gateway_option(function)
        return function

    return decorate


def _resolved(run: Run, filters: dict[str, Any]) -> dict[str, Any]:
    """Return filters as the client's methods take them."""
    given = {name: value for name, value in filters.items() if value is not None}
    for option, argument, kind in (
        ("gateway", "parent_gateway_id", GATEWAYS),
        ("deployment", "parent_deployment_id", DEPLOYMENTS),
    ):
        if option in given:
            given[argument] = find(run, kind, given.pop(option)).spec.id
    return given


def _time(context: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    seconds = seconds_of(value)
    if seconds is not None:
        return datetime.now(UTC) - timedelta(seconds=seconds)
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        found = None
    if found is None or found.utcoffset() is None:
        raise click.BadParameter(f"expected a time with its zone, such as 2026-11-29T12:00:00Z, got {value!r}")
    return found


def _split(texts: tuple[str, ...] | None) -> list[str]:
    return [each for text in texts or () for each in text.split(",") if each]


def _parameters_text(message: Message) -> str:
    rows = [*_rows(message)]
    columns = [Column("PARAMETER", lambda row: row[0], rank=0), Column("VALUES", lambda row: row[1], rank=1)]
    return "\n".join(table_lines(columns, rows, Screen.of_output(), fit=False))


def _rows(message: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Return each field that has values, with its path; keys of maps are in brackets."""
    for field, value in message.ListFields():
        place = f"{path}.{field.name}" if path else field.name
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            for key in sorted(value):
                each = value[key]
                if isinstance(each, Message):
                    yield from _rows(each, f"{place}[{key}]")
                else:
                    yield f"{place}[{key}]", one_line(str(each))
        elif field.message_type is not None and not field.is_repeated:
            yield from _rows(value, place)
        elif field.is_repeated:
            yield place, one_line(", ".join(map(str, value)))
        else:
            yield place, one_line(str(value))

"""Resources in the form that `-o` asks for."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import Descriptor

from ..._tables.columns import columns_of
from ..._tables.context import TableContext, shares_of
from ..._wire.methods import FIRST_PLACEHOLDER
from ...errors import ApiError, ProtocolError
from ...messages import to_dict
from ...stacks._entries import stack_document
from ..printing.forms import chosen_from, json_text, names_text, ndjson_text, sorted_by, table_text, yaml_text
from ..printing.screen import Screen
from .kinds import DEPLOYMENTS, HOT_LOADS, Kind, name_of

if TYPE_CHECKING:
    from ..run import Run

_DATA = ("json", "yaml", "ndjson")
"""The forms that are for programs, which miss what is not there."""


def show(run: "Run", kind: Kind, resources: Iterable[Any], *, single: bool = False) -> None:
    """Print resources of a kind. `single`: a single one was asked for, which is a JSON object rather than an array."""
    found, form = [*resources], run.form or "table"
    if form not in ("table", "wide") and (run.sort_by is not None or run.columns is not None):
        columns = columns_of(kind.message, context_for(run, kind, found))
        found = [*sorted_by(columns, found, run.sort_by)]
        chosen_from(
            columns, run.columns or columns[0].title
        )  # which no other form has, but a misspelled one is an error
    note_what_binary_lacks(run, [kind])
    match form:
        case "json":
            run.say(json_text(found, single=single))
        case "yaml":
            run.say(stack_text(run, kind, found))
        case "ndjson" | "name":
            text = names_text(map(name_of, found)) if form == "name" else ndjson_text(map(to_dict, found))
            if found:
                run.say(text)
        case _:
            show_table(run, kind.message, found, context_for(run, kind, found), nothing=f"no {kind.one}s")


def note_what_binary_lacks(run: "Run", kinds: Iterable[Kind]) -> None:
    """Say which fields are missing in the data that is printed, because they were read in binary, not as JSON."""
    if run.transport not in (None, "rest") and run.form in _DATA:
        hidden = [name for kind in kinds if kind is not HOT_LOADS for name in _hidden(kind.message.DESCRIPTOR)]
        if hidden:
            run.note(
                f"--transport {run.transport} does not show {', '.join(hidden)}; without it, rest shows all fields"
            )


def _hidden(message: Descriptor, path: str = "") -> Iterator[str]:
    """Return the paths of fields whose numbers are not published, so that they never come in binary."""
    for field in message.fields:
        kind: Descriptor | None = field.message_type
        if field.number >= FIRST_PLACEHOLDER:
            yield f"{path}{field.name}"
        elif kind is not None and kind.file.package == message.file.package:
            yield from _hidden(kind, f"{path}{field.name}.")


def show_table(run: "Run", message: type[Any], rows: Sequence[Any], context: TableContext, *, nothing: str) -> None:
    """Print messages of a type as a table; of none, say so on standard error."""
    columns, wide = columns_of(message, context), run.form == "wide"
    table = table_text(columns, rows, context.display, wide=wide, chosen=run.columns, order=run.sort_by)
    if rows:
        run.say(table)
    else:
        run.note(nothing)


def context_for(run: "Run", kind: Kind, resources: Sequence[Any]) -> TableContext:
    """Return what a table of these has to know. What cannot be read is left out of it."""
    screen = Screen.of_output()
    if not resources:
        return TableContext(screen)
    if kind is DEPLOYMENTS:
        everything = {each.spec.id: each for each in _read(run, "deployments")}
        everything |= {each.spec.id: each for each in resources}
        return TableContext(screen, gateway_names=_names(run, "gateways"), shares=shares_of(everything.values()))
    return (
        TableContext(screen, deployment_names=_names(run, "deployments")) if kind is HOT_LOADS else TableContext(screen)
    )


def stack_text(run: "Run", kind: Kind, resources: Sequence[Any]) -> str:
    """Return resources as a stack in YAML, which `-f` and `plan` take; hot-loads, which no stack has, as they are."""
    if not kind.is_stacked:
        found = [to_dict(each) for each in resources]
        return yaml_text(found[0] if len(found) == 1 else found)
    return yaml_text(stack_document(resources, _names(run, "gateways") if kind is DEPLOYMENTS else None))


def _names(run: "Run", group: str) -> Mapping[str, str]:
    return {each.spec.id: each.spec.name for each in _read(run, group)}


def _read(run: "Run", group: str) -> Sequence[Any]:
    """Return all resources of a group; none if they cannot be read."""
    with suppress(ApiError, ProtocolError):
        found: Sequence[Any] = getattr(run.client, group).list()
        return found
    return []

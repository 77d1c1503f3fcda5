"""A spec to fill in, as text: YAML with the comments of the API's definition, or JSON where there is no PyYAML."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from ...resources._comparison import WRITE_ONLY, id_of, is_map
from ..output import as_json, means_json
from .fields import comment_of, is_required
from .kinds import DEPLOYMENTS, HOT_LOADS, Kind

_OUTSIDE = ("id", "name", "hot_load_id")
_WIDTH = 100
GATEWAY = "NAME"
"""What a template has in place of the name of a gateway."""
_GATEWAYS = "The gateways that serve the deployment, by name. Required."


def template(kind: Kind, form: str | None) -> str:
    """Return a spec of a kind to fill in, for `-f`. `form`: "json" or "yaml"; None for what can be read here."""
    if means_json(form):
        outside = (*_OUTSIDE, *(("deployment_id",) if kind is HOT_LOADS else ()))
        return as_json(_skeleton(cast(Descriptor, kind.create_request.DESCRIPTOR), outside))
    title = f"# A {kind.one}, for: cwinference {kind.command} create NAME -f FILE"
    if kind is HOT_LOADS:
        title = f"# A {kind.one}, for: cwinference {kind.command} create DEPLOYMENT -f FILE"
    lines = [title, "# What is optional is commented out."]
    return "\n".join([*lines, *_lines(kind, cast(Descriptor, kind.create_request.DESCRIPTOR), 0, "")])


def _lines(kind: Kind, message: Descriptor, depth: int, mark: str | None) -> Iterator[str]:
    """Return the lines of a message. `mark`: what is before each of them; None if all fields are shown as required."""
    chosen = set[str]()
    for field in message.fields:
        if depth == 0 and field.name in (*_OUTSIDE, *(("deployment_id",) if kind is HOT_LOADS else ())):
            continue
        oneof = field.containing_oneof
        is_wanted = is_required(field) if oneof is None else oneof.name not in chosen
        if oneof is not None:
            chosen.add(oneof.name)
        is_wanted |= mark is None
        before = mark or ("" if is_wanted else "# ")
        space = "  " * depth
        is_gateways = kind is DEPLOYMENTS and field.name == "gateway_ids"
        yield from _comment(_GATEWAYS if is_gateways else comment_of(message, field.name), space)
        if is_gateways:
            yield f"{before}{space}gateways: [{GATEWAY}]"
        elif field.message_type is None or is_map(field):
            yield f"{before}{space}{field.name}: {_example(field)}"
        elif not field.message_type.fields:
            yield f"{before}{space}{field.name}: {{}}"
        else:
            yield f"{before}{space}{field.name}:"
            needs_all = not before and not any(map(is_required, field.message_type.fields))
            yield from _lines(kind, field.message_type, depth + 1, None if needs_all else before)


def _comment(text: str, space: str) -> Iterator[str]:
    import textwrap

    yield from textwrap.wrap(text, _WIDTH, initial_indent=f"{space}# ", subsequent_indent=f"{space}# ")


def _example(field: FieldDescriptor) -> str:
    if is_map(field):
        return "{}"
    if id_of(field) in WRITE_ONLY:
        return "{env: NAME}"
    if field.enum_type is not None:
        from .fields import EnumName

        names, text = EnumName(field.enum_type).names, comment_of(cast(Descriptor, field.containing_type), field.name)
        if field.is_repeated:
            return f"[{', '.join(names)}]"
        return next((each for each in names if f"_{each} " in text), names[0])
    if field.is_repeated:
        return "[]"
    return {FieldDescriptor.CPPTYPE_STRING: '""', FieldDescriptor.CPPTYPE_BOOL: "false"}.get(field.cpp_type, "0")


def _skeleton(message: Descriptor, outside: Sequence[str] = ()) -> dict[str, Any]:
    """Return the required fields, with empty values; of a oneof the first member."""
    found, chosen = dict[str, Any](), set[str]()
    for field in message.fields:
        oneof = field.containing_oneof
        if field.name in outside or not (is_required(field) if oneof is None else oneof.name not in chosen):
            continue
        if oneof is not None:
            chosen.add(oneof.name)
        if field.message_type is not None:
            found[field.name] = _skeleton(field.message_type)
        elif field.is_repeated:
            found[field.name] = []
        else:
            found[field.name] = "" if field.cpp_type == FieldDescriptor.CPPTYPE_STRING or field.enum_type else 0
    return found

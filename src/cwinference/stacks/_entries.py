"""From resources to a document: what exists, as a stack has it, without ids, status and secrets."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from ..resources._comparison import WRITE_ONLY, id_of, is_map
from ..resources._parts import label
from ._fields import OUTPUT_ONLY
from ._kinds import SECTIONS, section_of

VERSION = 1
"""Of the format of stacks."""


def stack_document(resources: Iterable[Any], gateway_names: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return gateways, deployments and capacity claims as the plain data of a stack, which `Stack.parse` reads.

    Args:
        resources: their messages. Read them as JSON to see all of their fields.
        gateway_names: names of gateways by their ids, in place of which deployments name them. Without one, a
            deployment keeps the id, as `gateway_ids`.
    """
    found = dict[str, Any](version=VERSION)
    sections: dict[str, dict[str, Any]] = {each.name: {} for each in SECTIONS}
    for each in resources:
        sections[section_of(each).name][each.spec.name] = entry_of(each, gateway_names)
    return found | {name: entries for name, entries in sections.items() if entries}


def entry_of(resource: Any, gateway_names: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the fields of one resource as the plain data of its entry in a stack."""
    fields = {name: value for name, value in plain(resource.spec).items() if name not in OUTPUT_ONLY}
    ids = fields.get("gateway_ids")
    if ids and gateway_names is not None and all(each in gateway_names for each in ids):
        names = {"gateways": [gateway_names[each] for each in ids]}
        return names | {name: value for name, value in fields.items() if name != "gateway_ids"}
    return fields


def plain(message: Message) -> dict[str, Any]:
    """Return a message as plain data: what is set, and all of its numbers and bools; never a secret."""
    found = dict[str, Any]()
    for field in cast(Descriptor, message.DESCRIPTOR).fields:
        value = getattr(message, field.name)
        if id_of(field) in WRITE_ONLY:
            continue
        if is_map(field):
            if value:
                found[field.name] = {key: value[key] for key in sorted(value)}
        elif field.is_repeated:
            if value:
                found[field.name] = [_plain_scalar(field, each) for each in value]
        elif field.message_type is not None:
            if message.HasField(field.name):
                found[field.name] = plain(value)
        elif value or (field.enum_type is None and field.cpp_type != FieldDescriptor.CPPTYPE_STRING):
            found[field.name] = _plain_scalar(field, value)
    return found


def _plain_scalar(field: FieldDescriptor, value: Any) -> Any:
    return value if field.enum_type is None else label(field.enum_type, value)

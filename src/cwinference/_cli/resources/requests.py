"""The requests of `--dry-run`, as JSON."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from ...resources._changes import replacement
from ...resources._comparison import WRITE_ONLY, id_of, is_map
from ...resources._parts import build
from ..output import as_json
from ..printing.forms import api_json
from .kinds import Kind

if TYPE_CHECKING:
    from ..run import Run


def create_request(kind: Kind, **fields: Any) -> Message:
    """Return what `create` would send, but for the id: without one of the user's, each `create` makes a new one."""
    return build(kind.create_request, **fields)


def update_request(kind: Kind, resource: Any, changes: Mapping[str, Any]) -> Message:
    """Return what `modify` would send: the spec as it is, with the changes on top."""
    if kind.update_request is None:
        raise TypeError(f"{kind.one}s cannot be modified")
    return replacement(build(kind.update_request, id=resource.spec.id), resource.spec, changes)


def print_requests(run: "Run", requests: Sequence[Message]) -> None:
    """Print requests as JSON: an object for one, an array for several."""
    found = [api_json(_without_secrets(each)) for each in requests]
    run.say(as_json(found[0] if len(found) == 1 else found))


def _without_secrets(message: Message) -> Message:
    """Return a copy with `***` in place of secrets."""
    copy = type(message)()
    copy.CopyFrom(message)
    _mask(copy)
    return copy


def _mask(message: Any) -> None:
    for field, value in message.ListFields():
        if id_of(field) in WRITE_ONLY:
            setattr(message, field.name, "***")
        elif field.message_type is not None and not is_map(field) and not field.is_repeated:
            _mask(value)

"""The requests of `--dry-run`, as JSON."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from ...messages import to_dict, without_secrets
from ...resources._changes import replacement
from ...resources._parts import build
from ..output import as_json
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
    found = [to_dict(without_secrets(each, "***"), secrets=True) for each in requests]
    run.say(as_json(found[0] if len(found) == 1 else found))

"""Changes: flows that create once and delete once, and what a modification reads, keeps and refuses."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from google.protobuf.message import Message

from .. import errors
from .._arguments import check_id
from .._calls.flow import Flow
from ._arguments import build

log = logging.getLogger("cwinference")

M = TypeVar("M", bound=Message)


def create(send: Flow[M], read_back: Callable[[], Flow[M]] | None, is_ours: Callable[[M], bool]) -> Flow[M]:
    """Create once: if a retry is answered with ALREADY_EXISTS, read what an earlier attempt made.

    `read_back` is None if the caller chose the id, which may then belong to another resource.
    """
    try:
        return (yield from send)
    except errors.AlreadyExists as conflict:
        if conflict.attempts == 1 or read_back is None:
            raise
        try:
            existing = yield from read_back()
        except errors.NotFound:
            raise conflict from None
        except errors.ApiError as error:
            errors.note_earlier(error, may_have_succeeded=True)
            raise
        if not is_ours(existing):
            raise
        log.debug("create: an earlier attempt had succeeded")
        return existing


def delete(send: Flow[M | None]) -> Flow[M | None]:
    """Delete once: NOT_FOUND means that an earlier attempt succeeded, if one may have been processed."""
    try:
        return (yield from send)
    except errors.NotFound as error:
        if error.may_have_succeeded:
            return None
        raise


def check_changes(id: str, changes: Mapping[str, Any]) -> None:
    """Refuse a modification that names no field: it would be written all the same."""
    check_id(id)
    if all(value is None for value in changes.values()):
        raise errors.ConfigurationError(f"modify: nothing to change; give at least one of {', '.join(changes)}")


def check_unknown_fields(names: Iterable[str], spec: str) -> None:
    """Refuse to write back a spec with fields that this release does not know; `spec` is its path in the response."""
    lost = sorted(name for name in names if name.startswith(spec))
    if lost:
        raise errors.ConfigurationError(
            f"modify: the resource has fields that this release does not know and would reset: {', '.join(lost)}; "
            "upgrade cwinference"
        )


def replacement(request: M, spec: Message, changes: Mapping[str, Any]) -> M:
    """Return an update request with the spec as it was read, and the changes on top."""
    for field in request.DESCRIPTOR.fields:
        if field.name != "id" and changes.get(field.name) is None:
            _copy(field.name, spec, request)
    replace_fields(request, changes)
    return request


def replace_fields(message: Message, changes: Mapping[str, Any]) -> None:
    """Replace single fields of a message; None leaves a field as it is."""
    given = {name: value for name, value in changes.items() if value is not None}
    for name in given:
        message.ClearField(name)
    message.MergeFrom(build(type(message), **given))


def _copy(name: str, source: Message, target: Message) -> None:
    """Copy a field of that name. A message that is present but empty must stay present: it is a choice of a oneof."""
    for descriptor, value in source.ListFields():
        if descriptor.name == name:
            if descriptor.message_type is None and not descriptor.is_repeated:
                setattr(target, name, value)
            else:
                getattr(target, name).MergeFrom(value)
                if descriptor.message_type is not None and not descriptor.is_repeated:
                    getattr(target, name).SetInParent()

"""Changes: flows that create once and delete once, and what a modification reads, keeps and refuses."""

import inspect
import logging
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from .. import errors
from .._arguments import check_callback
from .._calls.flow import Flow
from .._wire.methods import FIRST_PLACEHOLDER, contains_placeholder
from ._parts import fill

log = logging.getLogger("cwinference")

M = TypeVar("M", bound=Message)


def create(send: Flow[M], read_back: Callable[[], Flow[M]] | None, is_ours: Callable[[M], bool]) -> Flow[M]:
    """Create once: if a retry gets ALREADY_EXISTS, read what an earlier attempt made.

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


def check_changes(request: Message, changes: Mapping[str, Any], edit: Callable[[Any], object] | None) -> None:
    """Refuse a modification that names no field, which would be written all the same, and one in two ways at once."""
    check_callback(edit, "edit")
    given = [name for name, value in changes.items() if value is not None]
    if edit is not None and given:
        raise errors.ConfigurationError(f"edit cannot be combined with {', '.join(given)}; do it all in edit")
    if edit is None and all(_names_nothing(request, name, changes[name]) for name in given):
        raise errors.ConfigurationError(f"modify: nothing to change; give at least one of {', '.join(changes)}, edit")


def _names_nothing(request: Message, name: str, value: object) -> bool:
    """Return whether a change is an empty mapping, though it chooses no member of a oneof by that."""
    field = cast(Descriptor, request.DESCRIPTOR).fields_by_name.get(name)
    if field is None or field.message_type is None or field.containing_oneof is not None:
        return False
    return isinstance(value, Mapping) and not value


def check_unknown_fields(names: Iterable[str], spec: str, method: str = "modify") -> None:
    """Refuse to write back a spec with fields that this release does not know; `spec` is its path in the response."""
    lost = sorted(name for name in names if name.startswith(spec))
    if lost:
        raise errors.ConfigurationError(
            f"{method}: the resource has fields that this release does not know and would reset: {', '.join(lost)}; "
            "upgrade cwinference"
        )


def replacement(request: M, spec: Message, changes: Mapping[str, Any]) -> M:
    """Return an update request with the spec as it was read, and the changes on top."""
    copy_spec(spec, request)
    replace_fields(request, changes)
    return request


def replace_fields(message: Message, changes: Mapping[str, Any]) -> None:
    """Change single fields of a message; None leaves a field as it is, and a mapping those that it does not name."""
    for name, value in changes.items():
        if isinstance(value, Message):
            _check_replacement(message, name, value)
    fill(message, changes)


def _check_replacement(message: Message, name: str, new: Message) -> None:
    """Refuse a message in place of another if that would reset what its author did not think of.

    A field of a message that has the value 0 cannot be distinguished from one that was not given.
    """
    old = getattr(message, name)
    if type(old) is not type(new) or not message.HasField(name) or len(cast(Descriptor, new.DESCRIPTOR).fields) < 2:
        return
    given = _names_of_set_fields(new)
    lost = [each for each in _names_of_set_fields(old) if each not in given]
    if lost:
        example = given[0] if given else lost[0]
        raise errors.ConfigurationError(
            f"{name}: this message would reset {', '.join(lost)}, which the resource has now; give a mapping of what "
            f'to change, such as {name}={{"{example}": ...}}, or a message with all of it'
        )


def edited(spec: M, edit: Callable[[M], object], request: Message) -> M:
    """Return a copy of the spec that `edit` has changed. `request` says what an update can change."""
    copy = type(spec)()
    copy.CopyFrom(spec)
    result = edit(copy)
    if inspect.iscoroutine(result):
        result.close()
        raise errors.ConfigurationError("edit: expected a plain function; an async one would never be awaited")
    if isinstance(result, Message) and type(result) is type(spec) and result is not copy:
        raise errors.ConfigurationError("edit returned another spec; it has to change the given one in place")
    changeable = {each.name for each in cast(Descriptor, request.DESCRIPTOR).fields} - {"id"}
    for field in cast(Descriptor, spec.DESCRIPTOR).fields:
        if field.name not in changeable and getattr(copy, field.name) != getattr(spec, field.name):
            raise errors.ConfigurationError(f"edit: {field.name} cannot be changed by an update")
    return copy


def copy_spec(spec: Message, request: Message) -> None:
    """Copy all fields of a spec that a request has too, except the id. What a request does not have is ignored."""
    known = cast(Descriptor, request.DESCRIPTOR).fields_by_name
    for field, value in _set_fields(spec):
        if field.name in known and field.name != "id":
            fill(request, {field.name: value})


def keep_unseen(request: Message, spec: Message, named: Container[str], path: str = "") -> None:
    """Copy the fields from a spec, read as JSON, that a response in a binary codec cannot show.

    Those whose paths are in `named` were given by the caller, and so are not among them.
    """
    for field, value in _set_fields(spec):
        target = cast(Descriptor, request.DESCRIPTOR).fields_by_name.get(field.name)
        if target is None or path + field.name in named:
            continue
        if target.number >= FIRST_PLACEHOLDER:
            if not _is_set(request, target):
                fill(request, {field.name: value})
        elif isinstance(value, Message) and contains_placeholder(value):
            keep_unseen(getattr(request, field.name), value, named, f"{path}{field.name}.")


def cannot_show(request: Message, named: Container[str], path: str = "") -> bool:
    """Return whether a binary codec may have hidden something of the resource that this request would reset.

    It has not if all fields with placeholder numbers are set in the request, or were named by the caller.
    """
    for field in cast(Descriptor, request.DESCRIPTOR).fields:
        if path + field.name in named:
            continue
        if field.number >= FIRST_PLACEHOLDER:
            if not _is_set(request, field):
                return True
        elif (
            field.message_type is not None
            and not field.is_repeated
            and cannot_show(getattr(request, field.name), named, f"{path}{field.name}.")
        ):
            return True
    return False


def has_unknown_fields(spec: object) -> bool:
    """Return whether it is a message that was read in a binary codec with fields that this release does not know."""
    if not isinstance(spec, Message):
        return False
    known = type(spec)()
    known.CopyFrom(spec)
    cast(Any, known).DiscardUnknownFields()
    return known.ByteSize() != spec.ByteSize()


def _is_set(message: Message, field: FieldDescriptor) -> bool:
    return any(each.name == field.name for each, _ in _set_fields(message))


def _set_fields(message: Message) -> list[tuple[FieldDescriptor, Any]]:
    return cast(Any, message).ListFields()  # type: ignore[no-any-return]


def _names_of_set_fields(message: Message) -> list[str]:
    return [field.name for field, _ in _set_fields(message)]

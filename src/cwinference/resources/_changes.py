"""Changing: flows that create once and delete once, and what a modification reads, keeps and refuses."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from google.protobuf.message import Message

from .. import errors
from .._calls.attempts import Context
from .._calls.rpc import CallOptions, UnknownOption, build, required
from .._calls.flow import Flow

log = logging.getLogger("cwinference")

M = TypeVar("M", bound=Message)


def create(send: Flow[M], read_back: Callable[[], Flow[M]] | None, is_ours: Callable[[M], bool]) -> Flow[M]:
    """Create once: an ALREADY_EXISTS that answers a repeat is resolved by reading what our own id made.

    `read_back` is None when the caller chose the id, which may then stand for somebody else's resource.
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
        if not is_ours(existing):
            raise
        log.debug("create: an earlier attempt had succeeded")
        return existing


def rest_of(options: CallOptions, context: Context) -> Callable[[], CallOptions]:
    """For an operation of several calls under one timeout: gives options with what is left of it."""
    limit, started = options.get("timeout", context.timeout), context.clock.monotonic()

    def rest() -> CallOptions:
        left = None if limit is None else limit - (context.clock.monotonic() - started)
        if left is not None and left <= 0:
            raise errors.DeadlineExceeded(f"the whole call's limit of {limit:g} s was over")
        return {**options, "timeout": left}

    return rest


def delete(send: Flow[M | None]) -> Flow[M | None]:
    """Delete once: NOT_FOUND means that an earlier attempt had succeeded, where one may have been processed."""
    try:
        return (yield from send)
    except errors.NotFound as error:
        if error.maybe_done:
            return None
        raise


def check_wait(wait: bool) -> None:
    """Refuse what is not a bool: a number of seconds would be taken for True."""
    if not isinstance(wait, bool):
        raise errors.ConfigurationError(
            f"wait: expected True or False, got {wait!r}; for a limit use wait(id, timeout=...)"
        )


def check_changes(id: str, changes: Mapping[str, Any], options: CallOptions) -> None:
    """Refuse a modification that names no field: it would write all the same."""
    required("id", id)
    for name in options.keys() - CallOptions.__annotations__.keys():
        raise UnknownOption("modify", name)
    if all(value is None for value in changes.values()):
        raise errors.ConfigurationError(f"modify: nothing to change; give at least one of {', '.join(changes)}")


def check_lost(lost: Iterable[str], spec: str) -> None:
    """Refuse to write a spec back that holds what this release does not know; `spec` is where the answer has it."""
    foreseen = sorted(name for name in lost if name.startswith(spec))
    if foreseen:
        raise errors.ConfigurationError(
            f"modify: the answer holds what this release does not know and would lose: {', '.join(foreseen)}; "
            "upgrade cwinference"
        )


def replacement(request: M, spec: Message, changes: Mapping[str, Any]) -> M:
    """An update request that holds the spec as it was read, with the changes on top."""
    for field in request.DESCRIPTOR.fields:
        if field.name != "id" and changes.get(field.name) is None:
            _copy(field.name, spec, request)
    replace_fields(request, changes)
    return request


def replace_fields(message: Message, changes: Mapping[str, Any]) -> None:
    """Replace single fields of a message; None leaves one as it is."""
    given = {name: value for name, value in changes.items() if value is not None}
    for name in given:
        message.ClearField(name)
    message.MergeFrom(build(type(message), **given))


def _copy(name: str, source: Message, target: Message) -> None:
    for descriptor, value in source.ListFields():
        if descriptor.name == name:
            if descriptor.message_type is None and not descriptor.is_repeated:
                setattr(target, name, value)
            else:
                getattr(target, name).MergeFrom(value)
                if descriptor.message_type is not None and not descriptor.is_repeated:
                    getattr(target, name).SetInParent()

"""Flows shared by all resources that have a life: create once, wait until ready or gone, delete, modify."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from .. import errors, types
from .._call import CallOptions, UnknownOption, build, required
from .._flow import Clock, Flow, Sleep
from .._retry import Context
from ..config import check_timeout
from ..status import HotLoadState, State, describe, name_of, state_of, state_text, unmet

log = logging.getLogger("cwinference")

R = TypeVar("R", types.Gateway, types.Deployment, types.CapacityClaim, types.HotLoad)
M = TypeVar("M", bound=Message)

TRANSIENT = (errors.Unavailable, errors.DeadlineExceeded, errors.ResourceExhausted)
"""What a wait goes on through, once the call itself has given up."""

_POLL_TIMEOUT = 30.0
_SETTLING_SECONDS = 10.0


@dataclass(frozen=True)
class Polling:
    """How often a wait looks: soon at first, then ever more seldom, with jitter so that waits do not march in step."""

    first: float = 0.25
    growth: float = 1.5
    longest: float = 10.0
    jitter: float = 0.25

    def pause(self, looks: int, chance: float) -> float:
        """Seconds to wait after so many looks; `chance` is from 0 up to 1."""
        pause = min(self.longest, self.first * self.growth ** min(looks - 1, 50))
        return pause * (1 + self.jitter * (2 * chance - 1))


POLLING = Polling()


class Watch:
    """The clock of one wait: when to look again, and when to give up."""

    def __init__(self, clock: Clock, timeout: float | None) -> None:
        check_timeout(timeout)
        self._clock = clock
        self.timeout = timeout
        self._started = clock.monotonic()
        self._looks = 0

    def elapsed(self) -> float:
        """Seconds since the wait began."""
        return self._clock.monotonic() - self._started

    def left(self) -> float | None:
        """Seconds left, or None for no limit."""
        return None if self.timeout is None else self.timeout - self.elapsed()

    def poll_timeout(self) -> float:
        """Seconds that one look may take."""
        left = self.left()
        return _POLL_TIMEOUT if left is None else max(0.001, min(_POLL_TIMEOUT, left))

    def pause(self, at_least: float = 0.0) -> Flow[bool]:
        """Wait until the next look; False when the time is over."""
        self._looks += 1
        pause = max(at_least, POLLING.pause(self._looks, self._clock.random()))
        left = self.left()
        if left is not None and left <= 0:
            return False
        yield Sleep(pause if left is None else min(pause, left))
        return True


def until_ready(
    read: Callable[[float], Flow[R]],
    clock: Clock,
    *,
    timeout: float | None,
    after: R | None = None,
    on_change: Callable[[R], object] | None = None,
) -> Flow[R]:
    """Look until the resource is ready; raise when it will not be, or when the time is over."""
    watch, seen, trouble = Watch(clock, timeout), None, None
    while True:
        try:
            resource = yield from read(watch.poll_timeout())
        except TRANSIENT as error:
            trouble = _passing(error)
        else:
            trouble = None
            if seen is None or resource != seen:
                _tell(resource, seen, on_change)
            seen = resource
            settled = after is None or _changed_since(after, resource) or watch.elapsed() >= _SETTLING_SECONDS
            if settled and is_ready(resource):
                return resource
            _refuse_hopeless(resource, settled)
        if not (yield from watch.pause(_server_delay(trouble))):
            raise _timed_out("ready", seen, watch) from trouble


def until_gone(read: Callable[[float], Flow[R]], clock: Clock, *, timeout: float | None) -> Flow[None]:
    """Look until the resource is not found any more."""
    watch, seen, trouble = Watch(clock, timeout), None, None
    while True:
        try:
            seen = yield from read(watch.poll_timeout())
            trouble = None
        except errors.NotFound:
            return
        except TRANSIENT as error:
            trouble = _passing(error)
        if not (yield from watch.pause(_server_delay(trouble))):
            raise _timed_out("gone", seen, watch) from trouble


def create(send: Flow[R], read_back: Callable[[], Flow[R]] | None, is_ours: Callable[[R], bool]) -> Flow[R]:
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


def delete(send: Flow[R | None]) -> Flow[R | None]:
    """Delete once: NOT_FOUND that answers a repeat means that an earlier attempt had succeeded."""
    try:
        return (yield from send)
    except errors.NotFound as error:
        if error.attempts == 1:
            raise
        return None


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


def replacement(request: M, spec: Message, changes: Mapping[str, Any], lost: list[str]) -> M:
    """An update request that holds the spec as it was read, with the changes on top."""
    foreseen = [name for name in lost if name.startswith(("gateway.spec", "deployment.spec", "capacity_claim.spec"))]
    if foreseen:
        raise errors.ConfigurationError(
            f"modify: the answer holds what this release does not know and would lose: {', '.join(sorted(foreseen))}; "
            "upgrade cwinference"
        )
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


def is_ready(resource: Any) -> bool:
    """READY, COMPLETED, or for a disabled deployment: its resources are applied."""
    state = state_of(resource)
    if isinstance(resource, types.Deployment) and resource.spec.disabled:
        return state is State.READY or (not state.hopeless and _resources_applied(resource))
    return state in (State.READY, HotLoadState.COMPLETED)


def _resources_applied(deployment: types.Deployment) -> bool:
    applied = [each.status for each in deployment.status.conditions if each.type == "ResourcesApplied"]
    return bool(applied) and all(status == types.Condition.STATUS_TRUE for status in applied)


def _copy(name: str, source: Message, target: Message) -> None:
    for descriptor, value in source.ListFields():
        if descriptor.name == name:
            if descriptor.message_type is None and not descriptor.is_repeated:
                setattr(target, name, value)
            else:
                getattr(target, name).MergeFrom(value)
                if descriptor.message_type is not None and not descriptor.is_repeated:
                    getattr(target, name).SetInParent()


def _tell(resource: Any, before: Any, on_change: Callable[[Any], object] | None) -> None:
    if before is None or state_of(before) is not state_of(resource):
        log.info("%s: %s", name_of(resource), state_text(resource))
    if on_change is not None:
        on_change(resource)


def _refuse_hopeless(resource: Any, settled: bool) -> None:
    """FAILED may be a leftover from before an update that is not settled; DELETING never is."""
    state = state_of(resource)
    if state is State.DELETING or (settled and state.hopeless):
        raise errors.ResourceFailed(
            f"{name_of(resource)} is {state.name} and will not be ready: {unmet(resource)}", resource
        )


def _changed_since(reply: Any, resource: Any) -> bool:
    return _nanoseconds(resource.status.updated_at) > _nanoseconds(reply.status.updated_at)


def _nanoseconds(time: Timestamp) -> int:
    return time.seconds * 1_000_000_000 + time.nanos


def _passing(error: errors.ApiError) -> errors.ApiError:
    """What a wait goes on through; an error that will not pass, such as an untrusted certificate, is raised."""
    if error.permanent:
        raise error
    log.info("wait: %s", errors.one_line(str(error)))
    return error


def _server_delay(error: errors.ApiError | None) -> float:
    return min(_POLL_TIMEOUT, error.retry_after) if error is not None and error.retry_after else 0.0


def _timed_out(goal: str, resource: Any, watch: Watch) -> errors.WaitTimeout:
    stood = "it was never seen" if resource is None else describe(resource)
    return errors.WaitTimeout(f"not {goal} after {watch.timeout:g} s; {stood}", resource)

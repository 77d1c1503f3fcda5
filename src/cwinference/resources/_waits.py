"""Waiting: a flow that looks until a resource is ready, and one that looks until it is gone."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from .. import errors, types
from .._calls.flow import Clock, Flow, Sleep
from .._text import one_line
from ..config import check_hook, check_timeout
from ..status import HotLoadState, State, describe, name_of, state_of, state_text, unmet

log = logging.getLogger("cwinference")

R = TypeVar("R", types.Gateway, types.Deployment, types.CapacityClaim, types.HotLoad)

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
    check_hook(on_change, "on_change")
    if after is not None and not isinstance(after, Message):
        raise errors.ConfigurationError(f"after: expected the answer of an update, got {type(after).__name__}")
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


def is_ready(resource: Any) -> bool:
    """READY, COMPLETED, or for a disabled deployment: its resources are applied."""
    state = state_of(resource)
    if isinstance(resource, types.Deployment) and resource.spec.disabled:
        return state is State.READY or (not state.is_terminal and _resources_applied(resource))
    return state in (State.READY, HotLoadState.COMPLETED)


def _resources_applied(deployment: types.Deployment) -> bool:
    applied = [each.status for each in deployment.status.conditions if each.type == "ResourcesApplied"]
    return bool(applied) and all(status == types.Condition.STATUS_TRUE for status in applied)


def _tell(resource: Any, before: Any, on_change: Callable[[Any], object] | None) -> None:
    if before is None or state_of(before) is not state_of(resource):
        log.info("%s: %s", name_of(resource), state_text(resource))
    if on_change is not None:
        on_change(resource)


def _refuse_hopeless(resource: Any, settled: bool) -> None:
    """FAILED may be a leftover from before an update that is not settled; DELETING never is."""
    state = state_of(resource)
    if state is State.DELETING or (settled and state.is_terminal):
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
    log.info("wait: %s", one_line(str(error)))
    return error


def _server_delay(error: errors.ApiError | None) -> float:
    return min(_POLL_TIMEOUT, error.retry_after) if error is not None and error.retry_after else 0.0


def _timed_out(goal: str, resource: Any, watch: Watch) -> errors.WaitTimeout:
    stood = "it was never seen" if resource is None else describe(resource)
    return errors.WaitTimeout(f"not {goal} after {watch.timeout:g} s; {stood}", resource)

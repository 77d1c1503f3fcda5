"""Waiting: a flow that polls until a resource is ready, and one that polls until it is gone."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from .. import errors, types
from .._arguments import check_at_least, check_callback, check_timeout
from .._calls.clock import Clock
from .._calls.deadline import Deadline
from .._calls.flow import Flow, Sleep
from .._calls.transient import PollError, passes, server_delay
from .._text import one_line, seconds_text
from ..following._table import nanoseconds
from ..status import State, is_ready, name_of, state_of, state_text, summary, unmet

log = logging.getLogger("cwinference")

R = TypeVar("R", types.Gateway, types.Deployment, types.CapacityClaim, types.HotLoad)

_POLL_TIMEOUT = 30.0
LAG_SECONDS = 10.0
"""How long after an update a status may still be that from before it, and after a create nothing may be found yet."""


@dataclass(frozen=True)
class Polling:
    """How often a wait polls: soon at first, then less and less often, with jitter so that many waits spread out."""

    first: float = 0.25
    growth: float = 1.5
    longest: float = 10.0
    jitter: float = 0.25

    def pause(self, polls: int, chance: float) -> float:
        """Return the seconds to wait after that many polls; `chance` is a number from 0 up to 1."""
        pause = min(self.longest, self.first * self.growth ** min(polls - 1, 50))
        return pause * (1 + self.jitter * (2 * chance - 1))


POLLING = Polling()


class WaitClock:
    """The clock of one wait: when to poll again, and when to give up."""

    def __init__(self, clock: Clock, timeout: float | None) -> None:
        check_timeout(timeout)
        self._clock = clock
        self._polls = 0
        self.deadline = Deadline(timeout, clock.monotonic)

    def timeout(self) -> float:
        """Return the seconds that one poll may take."""
        left = self.deadline.remaining()
        return _POLL_TIMEOUT if left is None else max(0.001, min(_POLL_TIMEOUT, left))

    def pause(self, at_least: float = 0.0, at_most: float | None = None) -> Flow[bool]:
        """Wait until the next poll; return False if the time has run out. A limit that has passed does not count."""
        self._polls += 1
        pause = max(at_least, POLLING.pause(self._polls, self._clock.random()))
        left = self.deadline.remaining()
        if left is not None and left <= 0:
            return False
        yield Sleep(min([pause, *(each for each in (left, at_most) if each is not None and each > 0)]))
        return True


class ErrorLimit:
    """How long a resource may be in ERROR, in seconds; None for as long as it likes."""

    def __init__(self, clock: Clock, seconds: float | None) -> None:
        self._seconds = None if seconds is None else check_at_least(0, seconds, "error_after")
        self._monotonic = clock.monotonic
        self._since: float | None = None

    def observe(self, resource: Any, is_current: bool) -> None:
        """Note the state; raise ResourceFailed if it has been ERROR for too long."""
        if not is_current or state_of(resource) is not State.ERROR:
            self._since = None
            return
        if self._since is None:
            self._since = self._monotonic()
        left = self.remaining()
        if left is not None and left <= 0:
            text = f"{name_of(resource)} has been in ERROR for {self._seconds:g} s: {unmet(resource)}"
            raise errors.ResourceFailed(text, resource)

    def remaining(self) -> float | None:
        """Return the seconds after which it will have been in ERROR for too long; None if it is not, or may be."""
        if self._seconds is None or self._since is None:
            return None
        return self._since + self._seconds - self._monotonic()


class Awaited(Generic[R]):
    """What a wait knows of one resource, and concludes from it."""

    def __init__(
        self,
        clock: Clock,
        deadline: Deadline,
        after: R | None = None,
        on_change: Callable[[R], object] | None = None,
        error_after: float | None = None,
    ) -> None:
        check_callback(on_change, "on_change")
        self.latest: R | None = None
        self._deadline = deadline
        self._after: R | None = after
        self._on_change: Callable[[R], object] | None = on_change
        self.in_error = ErrorLimit(clock, error_after)

    def observe(self, resource: R) -> bool:
        """Take in what was read, and return whether it is ready; raise ResourceFailed if it never will be."""
        if self.latest is None or resource != self.latest:
            _report_change(resource, self.latest, self._on_change)
        self.latest = resource
        after = self._after
        is_current = after is None or _changed_since(after, resource) or self._deadline.elapsed() >= LAG_SECONDS
        if is_current and is_ready(resource):
            return True
        _refuse_terminal(resource, is_current)
        self.in_error.observe(resource, is_current)
        return False


def until_ready(
    read: Callable[[float], Flow[R]],
    clock: Clock,
    *,
    timeout: float | None,
    after: R | None = None,
    on_change: Callable[[R], object] | None = None,
    error_after: float | None = None,
    just_created: bool = False,
) -> Flow[R]:
    """Poll until the resource is ready; raise when it never will be, or when the time has run out.

    State.ERROR ends it only after `error_after` seconds: the service expects to recover. FAILED and DELETING always do.
    A server may not see yet what was created a moment ago. When that was is known only if it was `just_created`, so
    otherwise one NOT_FOUND is tolerated before anything was read.
    """
    if after is not None and not isinstance(after, Message):
        raise errors.ConfigurationError(f"after: expected the response of an update, got {type(after).__name__}")
    wait, failure, may_be_missing = WaitClock(clock, timeout), None, True
    awaited = Awaited(clock, wait.deadline, after, on_change, error_after)
    while True:
        try:
            resource = yield from read(wait.timeout())
        except (errors.ApiError, errors.ProtocolError) as error:
            failure = survivable(error, may_be_missing=may_be_missing)
            may_be_missing &= not isinstance(error, errors.NotFound)
        else:
            failure, may_be_missing = None, False
            if awaited.observe(resource):
                return resource
        if not (yield from wait.pause(server_delay(failure), awaited.in_error.remaining())):
            raise timed_out("ready", awaited.latest, wait) from failure
        may_be_missing |= just_created and wait.deadline.elapsed() < LAG_SECONDS


def until_gone(read: Callable[[float], Flow[R]], clock: Clock, *, timeout: float | None) -> Flow[None]:
    """Poll until the resource is not found any more."""
    wait, latest, failure = WaitClock(clock, timeout), None, None
    while True:
        try:
            latest = yield from read(wait.timeout())
            failure = None
        except errors.NotFound:
            return
        except (errors.ApiError, errors.ProtocolError) as error:
            failure = survivable(error)
        if not (yield from wait.pause(server_delay(failure))):
            raise timed_out("gone", latest, wait) from failure


def survivable(error: PollError, *, may_be_missing: bool = False) -> PollError:
    """Return an error that the wait survives; raise one that will not pass."""
    if not (may_be_missing if isinstance(error, errors.NotFound) else passes(error)):
        raise error
    log.info("wait: %s", one_line(str(error)))
    return error


def timed_out(goal: str, resource: Any, wait: WaitClock) -> errors.WaitTimeout:
    """Return the error of a wait whose time has run out."""
    status = "it was never read" if resource is None else summary(resource)
    return errors.WaitTimeout(f"not {goal} after {seconds_text(wait.deadline.timeout or 0)}; {status}", resource)


def _report_change(resource: Any, before: Any, on_change: Callable[[Any], object] | None) -> None:
    if before is None or state_of(before) is not state_of(resource):
        log.info("%s: %s", name_of(resource), state_text(resource))
    if on_change is not None:
        on_change(resource)


def _refuse_terminal(resource: Any, is_current: bool) -> None:
    """Raise ResourceFailed if it will not become ready.

    FAILED may be left over from before an update, whose status lags behind; DELETING never is.
    """
    state = state_of(resource)
    if state is State.DELETING or (is_current and state.is_terminal):
        raise errors.ResourceFailed(
            f"{name_of(resource)} is {state.name} and will not become ready: {unmet(resource)}", resource
        )


def _changed_since(response: Any, resource: Any) -> bool:
    return nanoseconds(resource.status.updated_at) > nanoseconds(response.status.updated_at)

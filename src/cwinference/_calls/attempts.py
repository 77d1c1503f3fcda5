"""Attempts of one call under one deadline: what is repeated, after which pause, and when to give up.

The table of what is repeated is in the documentation of `Retry`. No transport repeats anything by itself.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from ..auth import Credentials, Metadata
from ..config import check_hook
from ..errors import (
    ApiError,
    DeadlineExceeded,
    ProtocolError,
    ResourceExhausted,
    Unauthenticated,
)
from ..retry import Budget, Retry, check_retry
from .rpc import UNSET, Call
from .flow import AskToken, Clock, Flow, Send, Sleep

log = logging.getLogger("cwinference")

_TIMER_SLACK = 0.001

OnCall = Callable[[str, str, int, float], object]


class Progress:
    """How far one call has come: its attempts and what is left of its time."""

    __slots__ = ("_at", "_monotonic", "attempts", "limit", "retry", "started")

    def __init__(self, call: Call[Any], context: "Context", started: float) -> None:
        self._monotonic = context.clock.monotonic
        self.limit, self.retry = limit, _ = limits_of(call, context)
        self.started = started
        self._at = None if limit is None else started + limit
        self.attempts = 1

    def remaining(self) -> float | None:
        """Seconds left (0 or less when the time is over), or None for no limit."""
        return None if self._at is None else self._at - self._monotonic()

    def for_attempt(self) -> float | None:
        """Seconds that the next attempt may take; raises DeadlineExceeded when there are none."""
        left = self.remaining()
        if left is not None and left <= 0:
            raise DeadlineExceeded(f"the whole call's limit of {self.limit:g} s was over")
        return _capped(left, self.retry)

    def tell_why(self, latest: ApiError, before: ApiError) -> None:
        """Where the whole call's time ran out in a repeat: say so, and what went wrong before."""
        left = self.remaining()
        if isinstance(latest, DeadlineExceeded) and left is not None and left < _TIMER_SLACK:
            over = f"the whole call's limit of {self.limit:g} s was over"
            latest.message = f"{over}; before that: {before.message} [{before.code}]"

    def seconds(self) -> float:
        """Seconds since the call began."""
        return self._monotonic() - self.started


@dataclass(frozen=True)
class Context:
    """What every call of a client shares, and its defaults."""

    timeout: float | None
    retry: Retry | None
    credentials: Credentials
    budget: Budget
    clock: Clock
    on_call: OnCall | None

    def __post_init__(self) -> None:
        check_hook(self.on_call, "on_call")


def limits_of(call: Call[Any], context: Context) -> tuple[float | None, Retry | None]:
    """Seconds for the whole call, and what is repeated: the call's own, else the client's."""
    return (
        context.timeout if call.limit is UNSET else call.limit,
        context.retry if call.retry is UNSET else check_retry(call.retry),
    )


def first_timeout(call: Call[Any], context: Context) -> float | None:
    """Seconds that a call's first attempt may take, for which all of the call's are left."""
    return _capped(*limits_of(call, context))


def _capped(left: float | None, retry: Retry | None) -> float | None:
    cap = retry.attempt_timeout if retry is not None else None
    return left if cap is None else cap if left is None else min(cap, left)


def attempts(call: Call[Any], context: Context) -> Flow[Message]:
    """Send a call until it works or no repeat may follow, and report how it went."""
    progress = Progress(call, context, context.clock.monotonic())
    code = "canceled"
    try:
        reply = yield from _first_and_following(call, context, progress)
        code = "ok"
        return reply
    except (ApiError, ProtocolError) as error:
        code = error.code if isinstance(error, ApiError) else "protocol_error"
        raise
    except Exception:
        code = "error"
        raise
    finally:
        _report(call, context, code, progress)


def recover(
    call: Call[Any], context: Context, progress: Progress, metadata: Metadata, error: ApiError
) -> Flow[Message]:
    """What follows a failed first attempt: pause and repeat as the rules allow, or raise the last error."""
    try:
        return (yield from _repeats(call, context, progress, metadata, error))
    except ApiError as last:
        yield from call.explain(last)
        raise


def _repeats(
    call: Call[Any], context: Context, progress: Progress, metadata: Metadata, error: ApiError
) -> Flow[Message]:
    refreshed = maybe_done = False
    while True:
        error.attempts, error.method = progress.attempts, call.method.name
        error.maybe_done = maybe_done
        maybe_done = maybe_done or _may_be_done(error)
        log.debug("%s: attempt %d: %s", call.method.name, progress.attempts, error.code)
        if isinstance(error, Unauthenticated) and context.credentials.refreshable and not refreshed:
            refreshed = True
            fresh = yield from _ask_token(call, context, progress, metadata)
            if fresh == metadata:
                raise error
            metadata = fresh
        else:
            pause = _pause(call, context, progress, error)
            if pause is None:
                raise error
            yield Sleep(pause)
            metadata = context.credentials.metadata() or (yield from _ask_token(call, context, progress, None))
        try:
            limit = progress.for_attempt()
            progress.attempts += 1
            reply: Message = yield Send(call, metadata, limit)
        except ApiError as latest:
            progress.tell_why(latest, error)
            error = latest
        except ProtocolError as latest:
            latest.attempts = progress.attempts
            raise
        else:
            context.budget.succeed()
            return reply


def _first_and_following(call: Call[Any], context: Context, progress: Progress) -> Flow[Message]:
    metadata = context.credentials.metadata() or (yield from _ask_token(call, context, progress, None))
    try:
        reply: Message = yield Send(call, metadata, progress.for_attempt())
    except ApiError as error:
        return (yield from recover(call, context, progress, metadata, error))
    context.budget.succeed()
    return reply


def _ask_token(call: Call[Any], context: Context, progress: Progress, stale: Metadata | None) -> Flow[Metadata]:
    try:
        metadata: Metadata = yield AskToken(stale, progress.remaining(), context.credentials)
        return metadata
    except ApiError as error:
        error.attempts, error.method = progress.attempts, call.method.name
        raise


def _may_be_done(error: ApiError) -> bool:
    """Whether the server may have processed a request that it answered so."""
    return not error.unprocessed and not isinstance(error, Unauthenticated | ResourceExhausted)


def _pause(call: Call[Any], context: Context, progress: Progress, error: ApiError) -> float | None:
    """Seconds to wait before the next attempt, or None when none may follow."""
    retry, left = progress.retry, progress.remaining()
    if retry is None or progress.attempts >= retry.max_attempts or not call.may_repeat(error):
        return None
    if error.retry_after is not None:
        pause = error.retry_after
        if not 0 <= pause <= retry.max_server_delay:
            return None
    else:
        pause = retry.backoff(progress.attempts, context.clock.random())
    if left is not None and pause >= left:
        return None
    return pause if error.turned_away or context.budget.take() else None


def _report(call: Call[Any], context: Context, code: str, progress: Progress) -> None:
    seconds = progress.seconds()
    log.debug("%s: %s after %d attempts, %.3f s", call.method.name, code, progress.attempts, seconds)
    if context.on_call is not None:
        try:
            context.on_call(call.method.name, code, progress.attempts, seconds)
        except Exception:
            log.exception("on_call failed")

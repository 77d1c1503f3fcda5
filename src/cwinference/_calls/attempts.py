"""The attempts of one call under one deadline: when it is retried, after which pause, and when it is given up.

What is retried is decided in `_retry_rules.py`. No transport retries anything by itself.
"""

import logging
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from .._arguments import UNSET, check_callback
from .._retry_rules import Hint, most_attempts, needs_no_budget
from .._signals import from_signal_handler
from ..auth import Credentials, Metadata
from ..errors import (
    ApiError,
    DeadlineExceeded,
    ProtocolError,
    StreamInterrupted,
    StreamStalled,
    Unauthenticated,
    hint_of,
    note_earlier,
)
from ..retry import Budget, Retry, check_retry
from .clock import Clock
from .deadline import TIMER_SLACK, Deadline
from .flow import Call, Flow, GetToken, Session, Sleep
from .observation import Observation, Observer

log = logging.getLogger("cwinference")

T = TypeVar("T")

OnCall: TypeAlias = Callable[[str, str, int, float], object]
"""What `on_call=` accepts: a function of a call's method, code, number of attempts, and duration in seconds."""


class Context:
    """What all calls of a client share: its defaults, and what they are made with. It never changes."""

    def __init__(
        self,
        timeout: float | None,
        retry: Retry | None,
        credentials: Credentials,
        budget: Budget,
        clock: Clock,
        on_call: OnCall | None,
        session: Session,
        observer: Observer | None = None,
    ) -> None:
        check_callback(on_call, "on_call")
        self.timeout = timeout
        self.retry = retry
        self.credentials = credentials
        self.budget = budget
        self.clock = clock
        self.on_call = on_call
        self.session = session
        self.observer = observer
        self.first_timeout = _limited(timeout, retry)
        """Seconds for the first attempt of a call that has no options of its own."""
        self.is_reported = on_call is not None or observer is not None
        """Whether somebody wants to know how each call went, which takes more than the fast path."""

    def replace(self, **changes: Any) -> "Context":
        """Return a copy with other values."""
        names = ("timeout", "retry", "credentials", "budget", "clock", "on_call", "session", "observer")
        return Context(**{name: getattr(self, name) for name in names} | changes)


class Progress:
    """The state of one call: how many attempts were made, what they may have done, and how much time is left."""

    __slots__ = ("attempts", "began", "call", "deadline", "may_have_succeeded", "observation", "retry")

    def __init__(
        self,
        call: Call[Any],
        context: Context,
        started: float | None = None,
        observation: Observation | None = None,
    ) -> None:
        timeout, self.retry = options_of(call, context)
        self.call = call
        self.observation = observation
        self.deadline = Deadline(timeout, context.clock.monotonic, started)
        self.attempts = 1
        self.began = self.deadline.started
        """When the latest attempt was sent."""
        self.may_have_succeeded = False

    @property
    def sent(self) -> int:
        """How many times the call was sent, hedges included."""
        return self.attempts + self.call.hedges

    def attempt_timeout(self) -> float | None:
        """Return the seconds that the next attempt may take; raise DeadlineExceeded if there are none."""
        return _limited(self.deadline.require(), self.retry)


def options_of(call: Call[Any], context: Context) -> tuple[float | None, Retry | None]:
    """Return a call's timeout and retry settings: its own, else the client's."""
    return (
        context.timeout if call.timeout is UNSET else call.timeout,
        context.retry if call.retry is UNSET else check_retry(call.retry),
    )


def first_timeout(call: Call[Any], context: Context) -> float | None:
    """Return the seconds that the first attempt of a call with options of its own may take."""
    return _limited(*options_of(call, context))


def _limited(remaining: float | None, retry: Retry | None) -> float | None:
    """Return the limit of one attempt, given the time that is left for the call."""
    limit = retry.attempt_timeout if retry is not None else None
    return remaining if limit is None else limit if remaining is None else min(limit, remaining)


def attempts(call: Call[T], context: Context) -> Flow[T]:
    """Send a call until it succeeds or may not be retried, report how it went, and return its result."""
    observer = context.observer
    report = CallReport(call.name, context, None if observer is None else call.observe(observer, context.session))
    result = yield from report.failures(opened(call, context, report))
    report.end("ok")
    return result


def opened(call: Call[T], context: Context, report: "CallReport") -> Flow[T]:
    """Do the same as part of something that began earlier or goes on, and is reported by whoever knows its end."""
    observation = report.observation
    progress = report.progress = Progress(call, context, report.started, observation)
    result = _result(call, (yield from _first_and_retries(call, context, progress)), progress)
    if observation is not None:
        observation.received(result)
    return result


def recover(call: Call[T], context: Context, progress: Progress, metadata: Metadata, error: ApiError) -> Flow[T]:
    """Continue a call whose first attempt failed: pause and retry as the rules allow, or raise the last error."""
    return _result(call, (yield from _recover(call, context, progress, metadata, error)), progress)


def _result(call: Call[T], response: Any, progress: Progress) -> T:
    """Return what the caller wants of a response."""
    try:
        return call.result(response)
    except ProtocolError as error:
        error.attempts = progress.attempts
        raise


def _recover(call: Call[Any], context: Context, progress: Progress, metadata: Metadata, error: ApiError) -> Flow[Any]:
    try:
        return (yield from _retries(call, context, progress, metadata, error))
    except ApiError as last:
        yield from call.explain(last)
        raise


def _retries(call: Call[Any], context: Context, progress: Progress, metadata: Metadata, error: ApiError) -> Flow[Any]:
    refreshed: Context | None = None
    while True:
        here: Context = call.context or context
        _note_call(error, call, progress)
        progress.may_have_succeeded = error.may_have_succeeded
        log.debug("%s: attempt %d: %s", call.name, progress.attempts, error.code)
        try:
            if isinstance(error, Unauthenticated) and here.credentials.refreshable and here is not refreshed:
                refreshed = here
                fresh = yield from _get_token(call, here, progress, metadata)
                if fresh == metadata:
                    raise error
                metadata = fresh
            else:
                pause = _pause(call, context, progress, error)
                if pause is None:
                    raise error
                yield Sleep(pause)
                here = call.context or context
                metadata = here.credentials.metadata() or (yield from _get_token(call, here, progress, None))
        except BaseException as reason:
            if not isinstance(reason, Exception):  # the caller was interrupted or canceled
                call.give_up()
            raise
        try:
            timeout = progress.attempt_timeout()
            progress.attempts += 1
            progress.began = context.clock.monotonic()
            response = yield from _sent(call, here, progress, metadata, timeout)
        except ApiError as latest:
            _explain_timeout(latest, error, progress)
            error = latest
        except ProtocolError as latest:
            latest.attempts = progress.attempts
            raise
        else:
            context.budget.succeed()
            return response


def _first_and_retries(call: Call[Any], context: Context, progress: Progress) -> Flow[Any]:
    here: Context = call.context or context
    metadata = here.credentials.metadata() or (yield from _get_token(call, here, progress, None))
    try:
        response = yield from _sent(call, here, progress, metadata, progress.attempt_timeout())
    except ApiError as error:
        return (yield from _recover(call, context, progress, metadata, error))
    context.budget.succeed()
    return response


def _sent(
    call: Call[Any], context: Context, progress: Progress, metadata: Metadata, timeout: float | None
) -> Flow[Any]:
    """Send one attempt, and return its response."""
    observation = progress.observation
    if observation is None:
        return (yield call.step(metadata, timeout, context.session))
    try:
        # What it adds belongs to this attempt alone: a refused token is compared with the next one without it.
        response = yield call.step(observation.send(call, metadata), timeout, context.session)
    except BaseException as error:
        _note_lost(call, observation)
        observation.attempted(code_of(error), error)
        raise
    _note_lost(call, observation)
    observation.attempted("ok")
    return response


def _note_lost(call: Call[Any], observation: Observation) -> None:
    """Note the attempt that was made at the same time as the latest one, if there was one."""
    if call.lost is not None:
        observation.attempted(code_of(call.lost), call.lost)


def _get_token(call: Call[Any], context: Context, progress: Progress, refused: Metadata | None) -> Flow[Metadata]:
    try:
        metadata: Metadata = yield GetToken(context.credentials, refused, progress.deadline.remaining())
        return metadata
    except ApiError as error:
        _note_call(error, call, progress)
        raise


def _note_call(error: ApiError, call: Call[Any], progress: Progress) -> None:
    error.attempts, error.method = progress.attempts, call.name
    note_earlier(error, may_have_succeeded=progress.may_have_succeeded)


def _pause(call: Call[Any], context: Context, progress: Progress, error: ApiError) -> float | None:
    """Return the seconds to wait before the next attempt, or None if there must not be one."""
    retry, remaining, hint = progress.retry, progress.deadline.remaining(), hint_of(error)
    if retry is None or progress.attempts >= most_attempts(hint, retry.max_attempts) or not call.may_retry(error):
        return None
    if call.move(error):
        return 0.0
    delay = call.delay(error)
    if delay is not None:
        pause = delay
        if pause > retry.max_server_delay:
            return None
    else:
        pause = retry.backoff(progress.attempts, context.clock.random())
    if remaining is not None and pause >= remaining:
        return None
    return pause if _is_affordable(hint, context, progress) else None


def _is_affordable(hint: Hint, context: Context, progress: Progress) -> bool:
    if hint is Hint.LOST:
        return context.budget.take_lost(progress.began, context.clock.monotonic())
    return needs_no_budget(hint) or context.budget.take()


def _explain_timeout(latest: ApiError, before: ApiError, progress: Progress) -> None:
    """If the call ran out of time during a retry, report that, and what went wrong before: the actual cause."""
    if isinstance(latest, DeadlineExceeded) and progress.deadline.has_passed(TIMER_SLACK):
        latest.message = f"{progress.deadline.message()}; before that: {before.message} [{before.code}]"


class CallReport:
    """Reports once how a call ended that begins now: to the log, to `on_call` and to what observes the call."""

    def __init__(self, name: str, context: Context, observation: Observation | None = None) -> None:
        self._name = name
        self._context = context
        self._ended = False
        self.observation = observation
        self.started = context.clock.monotonic()
        self.progress: Progress | None = None
        """That of the call; None before it is sent."""

    def failures(self, flow: Flow[T]) -> Flow[T]:
        """Do what a part of the call does, and report the end of the call if it fails."""
        observation, entered = self.observation, None
        try:
            if observation is not None:
                entered = observation.enter()
            return (yield from flow)
        except BaseException as error:
            self.end(code_of(error), error)
            raise
        finally:
            if observation is not None:
                observation.leave(entered)

    def end(self, code: str, error: BaseException | None = None) -> None:
        """Report the end of the call, unless that was done before."""
        if self._ended:
            return
        self._ended = True
        on_call, sent = self._context.on_call, 0 if self.progress is None else self.progress.sent
        seconds = self._context.clock.monotonic() - self.started
        log.debug("%s: %s after %d attempts, %.3f s", self._name, code, sent, seconds)
        if self.observation is not None:
            self.observation.end(code, sent, seconds, error)
        if on_call is not None:
            try:
                on_call(self._name, code, sent, seconds)
            except Exception as failure:
                if from_signal_handler(failure):
                    raise
                log.exception("on_call failed")


def code_of(error: BaseException) -> str:
    """Return what `on_call` is given for an error."""
    if isinstance(error, ApiError):
        return error.code
    if isinstance(error, ProtocolError):
        return "protocol_error"
    if isinstance(error, StreamStalled):
        return "deadline_exceeded"
    if isinstance(error, StreamInterrupted):
        return "unavailable"
    return "error" if isinstance(error, Exception) else "canceled"

"""Several model servers in one: each request goes to one of them, and elsewhere if that one fails or is late."""

import logging
from collections.abc import Sequence
from copy import copy
from functools import partial
from typing import Any, NoReturn, TypeVar

from .. import types
from .._arguments import UNSET
from .._calls.attempts import CallReport, Context, attempts, opened
from .._calls.flow import Flow, Operation, RunFunction, Session, Step
from .._calls.session import closed
from .._retry_rules import Hint
from .._text import one_line
from ..auth import Metadata
from ..errors import ApiError, ConfigurationError, InferenceError, hint_of
from ._choice import choose
from ._health import Health
from ._hedging import HedgeBudget
from ._limiter import Limiter
from ._model_server import ModelServer, Result, unchanged
from ._racing import Racing
from ._request import CompletionCall, CompletionRequest
from ._stats import Counters
from ._stream_reader import StreamReader

log = logging.getLogger("cwinference")

T = TypeVar("T")

_CHOICES = 255
"""How many further choices follow from a random number, which is dear."""
_GOLDEN = 0.6180339887498949
"""Its multiples, modulo 1, are spread evenly, however many of them are taken."""


class Several(ModelServer):
    """Some servers that serve the same models, with one limiter and one set of counters.

    What differs is their routes, their credentials and their health; each has a context of its own.
    """

    def __init__(
        self,
        servers: Sequence[ModelServer],
        context: Context,
        limiter: Limiter,
        counters: Counters,
        racing: Racing,
        hedge_after: float | None,
    ) -> None:
        super().__init__(context, limiter, counters, servers[0].health, None)
        self._servers = tuple(servers)
        self.found = [server for server in servers if server.is_known]
        """Those that can be chosen."""
        self._lost = [server for server in servers if not server.is_known]
        """Those that have to be found first."""
        self.racing = racing
        self.hedge_after = hedge_after
        self.hedges = HedgeBudget()
        self._monotonic = context.clock.monotonic
        self._chances = list[float]()
        """Random numbers for the next choices."""

    def __str__(self) -> str:
        return f"{len(self._servers)} servers: {', '.join(map(str, self._servers))}"

    @property
    def names(self) -> tuple[str, ...]:
        """What the servers are called in files, sorted."""
        return tuple(sorted(name for server in self._servers for name in server.names))

    @property
    def servers(self) -> Sequence[ModelServer]:
        return self._servers

    @property
    def route(self) -> NoReturn:
        """There is no single one. Raises ConfigurationError."""
        self.chosen(None)
        raise AssertionError

    @property
    def shows_weights(self) -> bool:
        """Whether completions and streams say which weights they are from."""
        return self._servers[0].shows_weights

    def can_route(self, request: CompletionRequest) -> bool:
        """Return whether all of them can be sent this request."""
        return all(server.can_route(request) for server in self._servers)

    def within(self, limiter: Limiter) -> "Several":
        """Return the same servers with another limiter."""
        servers = [server.within(limiter) for server in self._servers]
        racing = self.racing.within(limiter)
        return Several(servers, servers[0].context, limiter, self.counters, racing, self.hedge_after)

    def choose(self, tried: Sequence[ModelServer] = ()) -> ModelServer | None:
        """Return the server for the next attempt; None if none is left but those that were tried or are ejected."""
        try:
            chance = self._chances.pop()
        except IndexError:
            chance = self._draw()
        monotonic = self._monotonic
        return choose(self.found, monotonic(), chance, tried)

    def _draw(self) -> float:
        """Return a number from 0 up to 1 by chance, and keep others that follow from it for the next choices."""
        first = self.context.clock.random()
        self._chances = [(first + place * _GOLDEN) % 1.0 for place in range(_CHOICES, 0, -1)]
        return first

    def _request(self, request: CompletionRequest, result: Result[T]) -> Operation[T]:
        if self._lost:
            return self._find_and_request(request, result)
        call = SpreadCall(self, request, result)
        return attempts(call, self.context) if call.hedge_after is not None else call

    def _find_and_request(self, request: CompletionRequest, result: Result[T]) -> Flow[T]:
        report = CallReport(request.method.name, self.context, request.observe(self.context.observer, None))
        yield from report.failures(self._find(request))
        found = yield from report.failures(opened(SpreadCall(self, request, result), self.context, report))
        report.end("ok")
        return found

    def _stream_call(self, request: CompletionRequest, reader: StreamReader) -> Flow[CompletionCall[Any]]:
        yield from self._find(request)
        return SpreadCall(self, request, unchanged, reader)

    def _find(self, request: CompletionRequest) -> Flow[None]:
        """Find the routes to servers that are not known: one that cannot be found is ejected like one that fails."""
        if self.is_closed:
            raise closed()
        now = self.context.clock.monotonic()
        failure: InferenceError | None = None
        for server in tuple(self._lost):
            if self.found and server.health.is_out(now):
                continue
            try:
                yield from server.find_route(request)
            except InferenceError as error:
                failure = error
                server.health.eject()
                log.warning("%s gets no requests for a while: %s", server, one_line(str(error)))
            else:
                server.health.restore()
                if server in self._lost:  # another request may have found it meanwhile
                    self._lost.remove(server)
                    self.found.append(server)
        if failure is not None and not self.found:
            raise failure


class SpreadCall(CompletionCall[T]):
    """A request to one of several servers: the one that was chosen, and after a failure another one."""

    __slots__ = ("_several", "_was_ejected", "context", "hedge_after", "hedges", "lost", "tried")

    server: ModelServer

    def __init__(
        self, several: Several, request: CompletionRequest, result: Result[T], reader: StreamReader | None = None
    ) -> None:
        server = several.choose() or several.found[0]
        super().__init__(request, server, result, reader)
        self.context = server.context
        self._was_ejected = server.health.needs_care and server.health.is_ejected
        """Whether its server was, when it was chosen: it is the probe then, or all are."""
        self._several = several
        self.tried: tuple[ModelServer, ...] = ()
        self.hedges = 0
        self.lost: BaseException | None = None
        self.hedge_after = several.hedge_after if request.hedge_after is UNSET else request.hedge_after
        if self.hedge_after is not None:
            self._count_hedge()

    def _count_hedge(self) -> None:
        """Count a request that may be hedged. Without retries it may not: the model has to run at most once."""
        retry = self._several.context.retry if self.retry is UNSET else self.retry
        if retry is None:
            self.hedge_after = None
        else:
            self._several.hedges.count()

    def aim(self, server: Any) -> None:
        """Turn to a server, and to its token."""
        super().aim(server)
        self.context = server.context
        self._was_ejected = server.health.is_ejected

    def choose_again(self) -> tuple[Health, Metadata] | None:
        """Turn to another server if that is the better choice by now; return its health and token then."""
        if self._was_ejected:
            return None
        other = self._several.choose(self.tried) or self._several.choose()
        token = None if other is None else other.context.credentials.metadata()
        if other is None or other is self.server or token is None:
            return None
        self.aim(other)
        return other.health, token

    def may_retry(self, error: ApiError) -> bool:
        """Return whether it may be sent again; elsewhere also if a certificate is not trusted."""
        has_others = len(self.tried) + 1 < len(self._several.found)
        return error.retryable or (has_others and hint_of(error) is Hint.UNTRUSTED)

    def move(self, error: ApiError) -> bool:
        """Turn to a server that was not tried; once all were, to any, but not at once."""
        self.tried = (*self.tried, self.server)
        other = self._several.choose(self.tried)
        if other is not None:
            self.aim(other)
            return not other.health.is_failing
        if len(self.tried) >= len(self._several.found):
            self.tried = ()
            self.aim(self._several.choose() or self.server)
        return False

    def delay(self, error: ApiError) -> float | None:
        """Return what remains of the pause of the server that was turned to; that of another one does not matter."""
        return self.server.health.remaining_pause(self.context.clock.monotonic())

    def step(self, metadata: Metadata, timeout: float | None, session: Session) -> Step:
        """Return the step that makes an attempt, and perhaps a second one elsewhere at the same time."""
        self.lost, after = None, self.hedge_after
        if after is None or self.content is None:
            return super().step(metadata, timeout, session)
        racing = self._several.racing
        run = partial(racing.run, self, metadata, timeout, after)
        return RunFunction(partial(racing.run_sync, run), run)

    def second(self) -> tuple[ModelServer, Metadata] | None:
        """Return the server of a second attempt and its token; None if there is none, or too much is hedged."""
        several, limiter = self._several, self._several.limiter
        if limiter.queued or limiter.in_flight >= limiter.limit or not several.hedges.take():
            return None
        other = several.choose([*self.tried, self.server])
        metadata = None if other is None else other.context.credentials.metadata()
        if other is None or metadata is None:
            several.hedges.give_back()
            return None
        return other, metadata

    def copy_to(self, server: ModelServer) -> "SpreadCall[T]":
        """Return the same request to a server, which may be its own."""
        copied = copy(self)
        if server is not self.server:
            copied.aim(server)
        return copied


def check_several(servers: Sequence[str], argument: str) -> None:
    """Refuse an empty list of servers, and one that has the same server twice."""
    if not servers:
        raise ConfigurationError(f"{argument} must not be empty; give one or several")
    twice = next((each for place, each in enumerate(servers) if each in servers[:place]), None)
    if twice is not None:
        raise ConfigurationError(f"{argument}: {twice!r} is in the list twice")


def checked_gateways(
    gateway: types.Gateway | str | Sequence[types.Gateway | str], endpoint: str | None
) -> Sequence[types.Gateway | str]:
    """Return one gateway or several as a sequence. Raises ConfigurationError."""
    gateways: Sequence[Any] = gateway if isinstance(gateway, list | tuple) else [gateway]
    check_several([each.spec.id if isinstance(each, types.Gateway) else each for each in gateways], "gateway")
    if endpoint is not None and len(gateways) > 1:
        raise ConfigurationError("endpoint cannot be chosen for several gateways")
    return gateways

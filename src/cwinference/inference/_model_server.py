"""What both kinds of `Inference` do with a model server, as flows: send, and read what the response means."""

import json
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast
from urllib.parse import urlsplit

from .._arguments import UNSET
from .._calls.attempts import CallReport, Context, opened
from .._calls.deadline import Deadline
from .._calls.flow import Flow, Operation
from .._json import loads
from ..errors import ApiError, ConfigurationError, ProtocolError
from ..transports.completion_errors import error_in_place, note_response
from ..transports.completions import HttpResponse
from ._health import Health
from ._limiter import Limiter
from ._request import CompletionCall, CompletionRequest
from ._responses import (
    Completion,
    Json,
    Model,
    check_completion,
    check_models,
    completion_tokens,
    total_tokens,
    unread_completion,
)
from ._routing import Route
from ._sse import BYTE_ORDER_MARK
from ._stats import Counters, Stats
from ._stream_reader import StreamReader
from ._usual_parts import UsualCompletion, read_completion
from ._weights import WeightsObservation, WeightsSource, observe_all

T = TypeVar("T")

Result: TypeAlias = Callable[["ModelServer", str, HttpResponse], T]
"""Returns what a caller wants of the response of a server to a method."""


class CheckedBody(NamedTuple):
    """The body of a completion, as received, and what it says of tokens."""

    content: bytes
    usage: Any

    @property
    def raw(self) -> Any:
        """The JSON object as received."""
        return loads(self.content, _strictly)


class _Place:
    """Where a server is, and whether it may still be used. Those that `within` returns share it."""

    __slots__ = ("is_closed", "route", "unknown")

    def __init__(self, route: Route | None) -> None:
        self.route = route
        self.unknown = "has not been read yet"
        """What it is while the route is not known."""
        self.is_closed = False


class ModelServer:
    """A server of completions, and what was done with it. A `GatewayServer` has to be found first."""

    def __init__(
        self, context: Context, limiter: Limiter, counters: Counters, health: Health, route: Route | None
    ) -> None:
        self.context = context
        self.limiter = limiter
        self.counters = counters
        self.health = health
        self.weights: WeightsSource | None = None
        """What is known of its weights, if that is wanted."""
        self._place = _Place(route)

    @property
    def _route(self) -> Route | None:
        return self._place.route

    @property
    def is_closed(self) -> bool:
        """Whether further requests are refused."""
        return self._place.is_closed

    def __str__(self) -> str:
        return self._route.url if self._route is not None else f"a gateway that {self._place.unknown}"

    @property
    def route(self) -> Route:
        """The route to it. Raises ConfigurationError while it is not known."""
        route = self._place.route
        if route is None:
            raise ConfigurationError(
                f"gateway {self._place.unknown}, so its URL is unknown; make a request first, or give "
                "client.inference(...) the message of a READY gateway"
            )
        return route

    def stats(self) -> Stats:
        """Return the current numbers."""
        return Stats(
            in_flight=self.limiter.in_flight,
            queued=self.limiter.queued,
            done=self.counters.done,
            failed=self.counters.failed,
            cancelled=self.counters.cancelled,
            retried=self.counters.retried,
            tokens=self.counters.tokens,
            endpoints={server.route.url: server.health.stats() for server in self.servers if server.is_known},
        )

    @property
    def servers(self) -> Sequence["ModelServer"]:
        """The servers that it consists of: only itself, unless it is several."""
        return (self,)

    @property
    def names(self) -> tuple[str, ...]:
        """What it is called in files: its URL, without anything secret."""
        return (_without_secrets(self.route.url),)

    @property
    def is_known(self) -> bool:
        """Whether the route to it is known."""
        return self._route is not None

    def chosen(self, endpoint: str | None) -> "ModelServer":
        """Return the server with this URL; without one the only server. Raises ConfigurationError."""
        known = [server for server in self.servers if server.is_known]
        if endpoint is None and len(self.servers) == 1:
            return self
        found = next((server for server in known if server.route.url == str(endpoint).strip().rstrip("/")), None)
        if found is None:
            urls = ", ".join(server.route.url for server in known) or "none that is known yet"
            what = "choose one of several" if endpoint is None else f"{endpoint!r} is not one of this Inference"
            raise ConfigurationError(f"endpoint: {what}; there are: {urls}")
        return found

    def can_route(self, request: CompletionRequest) -> bool:
        """Return whether it can be sent this request, whose model may have a name that cannot be routed."""
        if self._route is None:
            return True
        try:
            self._route.base_url(request.model)
            self._route.headers(request.model)
        except ConfigurationError:
            return False
        return True

    def within(self, limiter: Limiter) -> "ModelServer":
        """Return the same server with another limiter."""
        copied = copy(self)
        session = cast(Any, self.context.session).within(limiter)
        copied.context, copied.limiter = self.context.replace(session=session), limiter
        return copied

    def close(self) -> None:
        """Refuse further requests."""
        for server in self.servers:
            server._place.is_closed = True
            if server.weights is not None:
                server.weights.close()
            cast(Any, server.context.session).is_closed = True

    @property
    def shows_weights(self) -> bool:
        """Whether completions and streams say which weights they are from."""
        return self.weights is not None

    def complete(self, request: CompletionRequest) -> Operation[Completion]:
        """Request a completion, and return it whole."""
        if self.shows_weights:
            return self._request(request, partial(_with_weights, observe_all(self.servers, request.model)))
        return self._request(request, ModelServer.completion)

    def complete_as_bytes(self, request: CompletionRequest) -> Operation[CheckedBody]:
        """Request a completion, and return its body as received, but checked."""
        return self._request(request, ModelServer.checked_body)

    def models(self, request: CompletionRequest) -> Operation[Sequence[Model]]:
        """Request the list of models."""
        return self._request(request, ModelServer.listed_models)

    def open_stream(self, request: CompletionRequest, reader: StreamReader) -> Flow[Any]:
        """Request a stream, and return its open body."""
        endpoint = None if self._route is None else self._route.endpoint
        observation = request.observe(self.context.observer, endpoint, is_streamed=True)
        report = CallReport(request.method.name, self.context, observation)
        observations = observe_all(self.servers if self.shows_weights else (), request.model)
        call = yield from report.failures(self._stream_call(request, reader))
        body: Any = yield from report.failures(opened(call, self.context, report))
        timeout = self.context.timeout if request.timeout is UNSET else request.timeout
        deadline = Deadline(timeout, self.context.clock.monotonic, report.started)
        if observation is not None:
            reader.observe(observation)
        server = cast(ModelServer, call.server)  # to which it went at last
        reader.limit_events(body.max_event_bytes)
        reader.start(deadline, body.waited, report.end, server.health)
        reader.seen_weights = observations.get(server)
        return body

    def _stream_call(self, request: CompletionRequest, reader: StreamReader) -> Flow[CompletionCall[Any]]:
        yield from self.find_route(request)
        return CompletionCall(request, self, unchanged, reader)

    def find_route(self, request: CompletionRequest) -> Flow[Route]:
        """Return the route, which is known here. A `GatewayServer` finds it within the request's timeout."""
        yield from ()
        return self.route

    def explain(self, error: ApiError, request: CompletionRequest) -> Flow[None]:
        """Add to an error what is known and helps. Here that is nothing."""
        yield from ()

    def _request(self, request: CompletionRequest, result: Result[T]) -> Operation[T]:
        """Return a single call if the route is known; else the steps of finding it, and then the call."""
        if self._place.route is None:
            return self._find_and_request(request, result)
        return CompletionCall(request, self, result)

    def _find_and_request(self, request: CompletionRequest, result: Result[T]) -> Flow[T]:
        report = CallReport(request.method.name, self.context, request.observe(self.context.observer, None))
        yield from report.failures(self.find_route(request))
        call = CompletionCall(request, self, result)
        found = yield from report.failures(opened(call, self.context, report))
        report.end("ok")
        return found

    def completion(self, method: str, response: HttpResponse) -> Completion:
        """Return the completion in a response, and count it. Raises ApiError or ProtocolError."""
        found = self._read(method, response)
        if isinstance(found, UsualCompletion):
            return unread_completion(response.body, found, response.headers, response.attempts)
        return Completion(found, response.headers, response.attempts)

    def checked_body(self, method: str, response: HttpResponse) -> CheckedBody:
        """Return the body of a response that has a completion, and count it. Raises ApiError or ProtocolError."""
        found = self._read(method, response)
        return CheckedBody(response.body, found.usage if isinstance(found, UsualCompletion) else found.get("usage"))

    def listed_models(self, method: str, response: HttpResponse) -> Sequence[Model]:
        """Return the models in a response, and count it. Raises ApiError or ProtocolError."""
        try:
            models = check_models(_parsed(response, method))
        except (ApiError, ProtocolError) as error:
            raise self._failed(error, method, response) from None
        self.counters.succeed(0)
        return models

    def _read(self, method: str, response: HttpResponse) -> UsualCompletion | Json:
        """Return the usual parts of a completion, or all of one that has others, and count it."""
        usual = read_completion(response.body)
        if usual is not None and len(usual.choices) == 1:
            self._succeed(usual.usage)
            return usual
        try:
            raw = check_completion(_parsed(response, method))
        except (ApiError, ProtocolError) as error:
            raise self._failed(error, method, response) from None
        self._succeed(raw.get("usage"))
        return raw

    def _succeed(self, usage: Any) -> None:
        self.counters.succeed(total_tokens(usage))
        self.health.generate(completion_tokens(usage))

    def _failed(self, error: ApiError | ProtocolError, method: str, response: HttpResponse) -> ApiError | ProtocolError:
        """Count a response that is a success but does not contain one, and complete its error."""
        self.counters.fail(error)
        self.health.revoke()
        error.method, error.attempts = method, response.attempts
        note_response(error, response.status, response.headers)
        return error


def _with_weights(
    observations: Mapping[ModelServer, WeightsObservation], server: ModelServer, method: str, response: HttpResponse
) -> Completion:
    """Return a completion that says which weights its server had."""
    completion = server.completion(method, response)
    observation = observations.get(server)
    if observation is not None:
        completion.weights = observation.end()
    return completion


def unchanged(server: ModelServer, method: str, response: Any) -> Any:
    """Return the response itself."""
    return response


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _strictly(body: bytes) -> Any:
    """Return the value of a body in UTF-8, which may begin with a byte order mark."""
    return json.loads(str(body.removeprefix(BYTE_ORDER_MARK), "utf-8"))


def _parsed(response: HttpResponse, method: str) -> Any:
    """Return the JSON of a response. Raises ProtocolError if it is none, ApiError if it is an error after all."""
    try:
        value: Any = loads(response.body, _strictly)
    except (ValueError, RecursionError):
        raise ProtocolError(f"the response is not JSON ({len(response.body)} bytes)") from None
    if isinstance(value, dict) and ("error" in value or "choices" not in value):
        error = error_in_place(cast(Json, value), method)
        if error is not None:
            raise error
    return cast(Any, value)

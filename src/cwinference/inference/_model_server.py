"""What both kinds of `Inference` do with a model server, as flows: send, and read what the response means."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from .._arguments import UNSET
from .._calls.attempts import Context, attempts
from .._calls.deadline import Deadline
from .._calls.flow import Flow, Operation
from ..errors import ApiError, ConfigurationError, ProtocolError
from ..transports.completion_errors import error_in_place
from ._limiter import Limiter
from ._request import CompletionCall, CompletionRequest
from ._responses import Completion, Json, Model, check_completion, check_models, total_tokens
from ._routing import Route
from ._stats import Counters, Stats
from ._stream_reader import StreamReader

T = TypeVar("T")


class ModelServer:
    """A server of completions, and what was done with it. A `GatewayServer` has to be found first."""

    def __init__(self, context: Context, limiter: Limiter, counters: Counters, route: Route | None) -> None:
        self.context = context
        self.limiter = limiter
        self.counters = counters
        self._route: Route | None = route
        self._unknown = "has not been read yet"
        """What it is while the route is not known."""

    def __str__(self) -> str:
        return self._route.url if self._route is not None else f"a gateway that {self._unknown}"

    @property
    def route(self) -> Route:
        """The route to it. Raises ConfigurationError while it is not known."""
        if self._route is None:
            raise ConfigurationError(
                f"gateway {self._unknown}, so its URL is unknown; make a request first, or give "
                "client.inference(...) the message of a READY gateway"
            )
        return self._route

    def stats(self) -> Stats:
        """Return the current numbers."""
        return Stats(
            in_flight=self.limiter.in_flight,
            queued=self.limiter.queued,
            done=self.counters.done,
            failed=self.counters.failed,
            retried=self.counters.retried,
            tokens=self.counters.tokens,
        )

    def complete(self, request: CompletionRequest) -> Operation[Completion]:
        """Request a completion, and return it whole."""
        return self._request(request, partial(self._completion, request.method.name))

    def complete_as_bytes(self, request: CompletionRequest) -> Operation[bytes]:
        """Request a completion, and return its body as received, but checked."""
        return self._request(request, partial(self._checked_body, request.method.name))

    def models(self, request: CompletionRequest) -> Operation[Sequence[Model]]:
        """Request the list of models."""
        return self._request(request, partial(self._models, request.method.name))

    def open_stream(self, request: CompletionRequest, reader: StreamReader) -> Flow[Any]:
        """Request a stream, and return its open body."""
        timeout = self.context.timeout if request.timeout is UNSET else request.timeout
        deadline = Deadline(timeout, self.context.clock.monotonic)
        route = yield from self.find_route(request)
        call = CompletionCall(
            request,
            route,
            _unchanged,
            self.explain,
            is_streamed=True,
            first_token_timeout=reader.first_token_timeout,
        )
        body: Any = yield from attempts(call, self.context)
        reader.start(deadline, body.waited)
        return body

    def find_route(self, request: CompletionRequest) -> Flow[Route]:
        """Return the route, which is known here. A `GatewayServer` finds it within the request's timeout."""
        yield from ()
        return self.route

    def explain(self, error: ApiError, request: CompletionRequest) -> Flow[None]:
        """Add to an error what is known and helps. Here that is nothing."""
        yield from ()

    def _request(self, request: CompletionRequest, result: Callable[[Any], T]) -> Operation[T]:
        """Return a single call if the route is known; else the steps of finding it, and then the call."""
        if self._route is None:
            return self._find_and_request(request, result)
        return CompletionCall(request, self._route, result, self.explain)

    def _find_and_request(self, request: CompletionRequest, result: Callable[[Any], T]) -> Flow[T]:
        route = yield from self.find_route(request)
        response = yield from attempts(CompletionCall(request, route, result, self.explain), self.context)
        return result(response)

    def _completion(self, method: str, body: bytes) -> Completion:
        try:
            completion = Completion(check_completion(_parsed(body, method), method))
        except (ApiError, ProtocolError):
            self.counters.fail()
            raise
        self.counters.succeed(total_tokens(completion.raw))
        return completion

    def _checked_body(self, method: str, body: bytes) -> bytes:
        self._completion(method, body)
        return body

    def _models(self, method: str, body: bytes) -> Sequence[Model]:
        try:
            models = check_models(_parsed(body, method), method)
        except (ApiError, ProtocolError):
            self.counters.fail()
            raise
        self.counters.succeed(0)
        return models


def _unchanged(response: Any) -> Any:
    return response


def _parsed(body: bytes, method: str) -> Any:
    """Return the JSON of a response. Raises ProtocolError if it is none, ApiError if it is an error after all."""
    try:
        value: Any = json.loads(str(body, "utf-8"))
    except (ValueError, RecursionError):
        raise ProtocolError(f"the response is not JSON ({len(body)} bytes)", method=method, http_status=200) from None
    if isinstance(value, dict) and "choices" not in value:
        error = error_in_place(cast(Json, value), method)
        if error is not None:
            raise error
    return cast(Any, value)

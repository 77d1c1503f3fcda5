"""What both clients do with a server of completions, as flows: send, and read what the answer means."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from .._calls.attempts import Context, attempts
from .._calls.rpc import UNSET
from .._calls.drivers import Operation
from .._calls.flow import Flow
from ..auth import Metadata
from ..config import USER_AGENT
from ..errors import ApiError, ConfigurationError, ProtocolError
from ..transports.completion_errors import error_in_answer
from ._limiter import Counters, Limiter, Stats
from ._request import Ask, HttpRequest, Prompt
from ._responses import Answer, Json, Model, check_completion, check_models, total_tokens
from ._routing import Route
from ._stream_reader import Reader

T = TypeVar("T")

_GET: Metadata = (("user-agent", USER_AGENT), ("accept", "application/json"))
_POST: Metadata = (*_GET, ("content-type", "application/json"))
_STREAM: Metadata = (("user-agent", USER_AGENT), ("accept", "text/event-stream"), ("content-type", "application/json"))


class Front:
    """A server of completions, and what was done with it. `GatewayServer` is the one that has to be found first."""

    def __init__(self, context: Context, gate: Limiter, route: Route | None) -> None:
        self.context = context
        self.gate = gate
        self.counters = Counters()
        self.driver: Any = None
        """Who drives it; its context has to be this one's."""
        self._route: Route | None = route
        self._unread = "a gateway that was not read yet"

    def __str__(self) -> str:
        return self._route.url if self._route is not None else self._unread

    @property
    def route(self) -> Route:
        """The way to it; ConfigurationError while it is not known."""
        if self._route is None:
            raise ConfigurationError(
                f"gateway: it is {self._unread}, so its URL is not known; make a request first, or give "
                "client.inference(...) the message of a READY gateway"
            )
        return self._route

    def stats(self) -> Stats:
        """How things stand."""
        counters = self.counters
        return Stats(
            self.gate.in_flight, self.gate.queued, counters.done, counters.failed, counters.retried, counters.tokens
        )

    def complete(self, prompt: Prompt) -> Operation[Answer]:
        """Ask for a completion and take its whole answer."""
        return self._ask(prompt, partial(self._answer, prompt.method.name))

    def verbatim(self, prompt: Prompt) -> Operation[bytes]:
        """Ask for a completion and take its answer as it came, but checked."""
        return self._ask(prompt, partial(self._checked, prompt.method.name))

    def models(self, prompt: Prompt) -> Operation[Sequence[Model]]:
        """Ask which models there are."""
        return self._ask(prompt, partial(self._models, prompt.method.name))

    def open(self, prompt: Prompt, reader: Reader) -> Flow[Any]:
        """Ask for a stream; gives its open body."""
        clock = self.context.clock
        limit = self.context.timeout if prompt.limit is UNSET else prompt.limit
        deadline = None if limit is None else clock.monotonic() + limit
        request = self._request(prompt, (yield from self.resolve(prompt)))
        request.headers = (*_STREAM, *request.headers[len(_POST) :])
        request.streamed = True
        request.first = reader.first
        ask = Ask(prompt, request, _same, self.explain)
        body: Any = yield from attempts(ask, self.context)
        reader.opened(deadline, body.waited)
        return body

    def resolve(self, prompt: Prompt) -> Flow[Route]:
        """The way to it, which here is known; finding it may take no longer than the prompt allows."""
        yield from ()
        return self.route

    def explain(self, error: ApiError, prompt: Prompt) -> Flow[None]:
        """Add to an error what is known here and helps. Nothing is."""
        yield from ()

    def _ask(self, prompt: Prompt, result: Callable[[Any], T]) -> Operation[T]:
        """One call where the way is known; else the steps of finding it, then the call."""
        if self._route is None:
            return self._find_and_ask(prompt, result)
        return Ask(prompt, self._request(prompt, self._route), result, self.explain)

    def _find_and_ask(self, prompt: Prompt, result: Callable[[Any], T]) -> Flow[T]:
        request = self._request(prompt, (yield from self.resolve(prompt)))
        reply = yield from attempts(Ask(prompt, request, result, self.explain), self.context)
        return result(reply)

    def _request(self, prompt: Prompt, route: Route) -> HttpRequest:
        content = prompt.content
        headers = _GET if content is None else _POST
        if prompt.headers or route.header is not None:
            headers = (*headers, *route.headers(prompt.model), *prompt.headers)
        url = route.base_url(prompt.model) + prompt.path
        return HttpRequest("GET" if content is None else "POST", url, route.endpoint, headers, content)

    def _answer(self, method: str, body: bytes) -> Answer:
        try:
            answer = Answer(check_completion(_value(body, method), method))
        except (ApiError, ProtocolError):
            self.counters.fail()
            raise
        self.counters.succeed(total_tokens(answer.raw))
        return answer

    def _checked(self, method: str, body: bytes) -> bytes:
        self._answer(method, body)
        return body

    def _models(self, method: str, body: bytes) -> Sequence[Model]:
        try:
            models = check_models(_value(body, method), method)
        except (ApiError, ProtocolError):
            self.counters.fail()
            raise
        self.counters.succeed(0)
        return models


def _same(reply: Any) -> Any:
    return reply


def _value(body: bytes, method: str) -> Any:
    """The answer's JSON, if it is not an error after all. Raises ProtocolError or ApiError."""
    try:
        value: Any = json.loads(str(body, "utf-8"))
    except (ValueError, RecursionError):
        raise ProtocolError(f"the answer is not JSON ({len(body)} bytes)", method=method, http_status=200) from None
    if isinstance(value, dict) and "choices" not in value:
        error = error_in_answer(cast(Json, value), method)
        if error is not None:
            raise error
    return cast(Any, value)

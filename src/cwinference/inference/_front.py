"""What both clients do with a server of completions, as flows: send, and read what the answer means."""

import json
from collections.abc import Sequence
from typing import Any, cast

from .._call import UNSET
from .._flow import Flow
from .._retry import Context, attempts
from ..config import USER_AGENT
from ..errors import ApiError, ConfigurationError, ProtocolError
from ..transports.completion_errors import error_in_answer
from ._answers import Answer, Json, Model, check_completion, check_models
from ._gate import Gate, Stats, Tally
from ._reader import Reader
from ._request import Ask, HttpRequest, Prompt
from ._route import Route

_GET = (("user-agent", USER_AGENT), ("accept", "application/json"))
_POST = (*_GET, ("content-type", "application/json"))
_STREAM = (("user-agent", USER_AGENT), ("accept", "text/event-stream"), ("content-type", "application/json"))


class Front:
    """A server of completions, and what was done with it. `GatewayFront` is the one that has to be found first."""

    def __init__(self, context: Context, gate: Gate, route: Route | None) -> None:
        self.context = context
        self.gate = gate
        self.tally = Tally()
        self._route: Route | None = route

    def __str__(self) -> str:
        return self._route.url if self._route is not None else "a gateway that was not read yet"

    @property
    def route(self) -> Route:
        """The way to it; ConfigurationError while it is not known."""
        if self._route is None:
            raise ConfigurationError(
                "gateway: it was not read yet, so its URL is not known; make a request first, or give "
                "client.inference(...) the message of a READY gateway instead of its id"
            )
        return self._route

    def stats(self) -> Stats:
        """How things stand."""
        tally = self.tally
        return Stats(self.gate.in_flight, self.gate.queued, tally.done, tally.failed, tally.retried, tally.tokens)

    def complete(self, prompt: Prompt) -> Flow[Answer]:
        """Ask for a completion and take its whole answer."""
        request = yield from self._prepare(prompt)
        try:
            value = _value((yield from self._send(prompt, request)), prompt.method.name)
            answer = Answer(check_completion(value, prompt.method.name))
        except BaseException:
            self.tally.gave_up(request.sent)
            raise
        self.tally.succeeded(request.sent, answer.usage.total_tokens)
        return answer

    def models(self, prompt: Prompt) -> Flow[Sequence[Model]]:
        """Ask which models there are."""
        request = yield from self._prepare(prompt)
        return check_models(_value((yield from self._send(prompt, request)), prompt.method.name), prompt.method.name)

    def open(self, prompt: Prompt, reader: Reader) -> Flow[Any]:
        """Ask for a stream; gives its open body."""
        clock = self.context.clock
        limit = self.context.timeout if prompt.limit is UNSET else prompt.limit
        deadline = None if limit is None else clock.monotonic() + limit
        request = yield from self._prepare(prompt)
        request.first = reader.first
        try:
            body = yield from self._send(prompt, request)
        except BaseException:
            self.tally.gave_up(request.sent)
            raise
        reader.opened(deadline, body.waited, request.sent)
        return body

    def resolve(self, limit: float | None) -> Flow[Route]:
        """The way to it, which here is known. `limit`: seconds that finding it may take."""
        yield from ()
        return self.route

    def explain(self, error: ApiError, prompt: Prompt) -> Flow[None]:
        """Add to an error what is known here and helps. Nothing is."""
        yield from ()

    def _prepare(self, prompt: Prompt) -> Flow[HttpRequest]:
        route = yield from self.resolve(None if prompt.limit is UNSET else prompt.limit)
        headers = _STREAM if prompt.streamed else _GET if prompt.content is None else _POST
        return HttpRequest(
            verb="GET" if prompt.content is None else "POST",
            url=route.base_url(prompt.model) + prompt.path,
            endpoint=route.endpoint,
            headers=(*headers, *route.headers(prompt.model), *prompt.headers),
            content=prompt.content,
            streamed=prompt.streamed,
        )

    def _send(self, prompt: Prompt, request: HttpRequest) -> Flow[Any]:
        try:
            return (yield from attempts(Ask(prompt, request), self.context))
        except ApiError as error:
            yield from self.explain(error, prompt)
            raise


def _value(body: bytes, method: str) -> Any:
    """The answer's JSON, if it is not an error after all. Raises ProtocolError or ApiError."""
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise ProtocolError(f"the answer is not JSON ({len(body)} bytes)", method=method, http_status=200) from None
    if isinstance(value, dict) and "choices" not in value:
        error = error_in_answer(cast(Json, value), method)
        if error is not None:
            raise error
    return cast(Any, value)

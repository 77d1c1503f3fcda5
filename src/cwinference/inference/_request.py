"""A request for a completion: its arguments checked, its body encoded, and how it may be sent."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from .._arguments import UNSET, check_text, check_timeout
from .._calls.flow import Call, Flow
from .._calls.observation import Observer, StreamObservation
from .._json import dumps
from ..auth import Headers, Metadata
from ..config import USER_AGENT, Endpoint
from ..errors import ApiError, ConfigurationError
from ..retry import Retry, check_retry
from ._health import Health
from ._option_names import check_names
from ._routing import Route, is_header_name
from ._stats import Counters
from ._stream_reader import StreamReader

T = TypeVar("T")

_RESERVED_HEADERS = frozenset(
    {"authorization", "connection", "content-length", "content-type", "host", "transfer-encoding"}
)
"""Headers that a caller may not set."""

_WITHOUT_BODY: Headers = (("user-agent", USER_AGENT), ("accept", "application/json"))
_WITH_BODY: Headers = (*_WITHOUT_BODY, ("content-type", "application/json"))
_STREAMED: Headers = (
    ("user-agent", USER_AGENT),
    ("accept", "text/event-stream"),
    ("content-type", "application/json"),
)


class CompletionMethod(NamedTuple):
    """A method of the OpenAI-compatible API."""

    name: str
    """What errors, logs and metrics call it."""
    path: str
    """Its path below `/v1`."""


CHAT = CompletionMethod("chat.completions", "/chat/completions")
TEXT = CompletionMethod("completions", "/completions")
MODELS = CompletionMethod("models.list", "/models")


class CompletionRequest:
    """A request that does not depend on where it goes: checked and encoded. Raises ConfigurationError."""

    __slots__ = ("body", "content", "headers", "hedge_after", "method", "model", "retry", "timeout")

    def __init__(
        self,
        method: CompletionMethod,
        body: Mapping[str, Any] | None,
        *,
        model: str | None,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
        headers: Mapping[str, str] | None = None,
        hedge_after: float | None = UNSET,
        content: bytes | None = None,
    ) -> None:
        """Check it all. `content` is the body as `encoded`, if that was done before."""
        self.method = method
        self.model = model
        self.body = body
        self.content = encoded(body) if content is None and body is not None else content
        self.headers = _checked_headers(headers) if headers else ()
        self.timeout = timeout if timeout is UNSET else check_timeout(timeout)
        self.retry = retry if retry is UNSET else check_retry(retry)
        self.hedge_after = hedge_after if hedge_after is UNSET else check_hedge_after(hedge_after)

    def observe(
        self, observer: Observer | None, endpoint: Endpoint | None, *, is_streamed: bool = False
    ) -> StreamObservation | None:
        """Begin to observe a call with it, if there is an observer. The endpoint may not be known yet."""
        if observer is None:
            return None
        return observer.completion(self.method.path, self.body, endpoint, is_streamed=is_streamed)


def check_hedge_after(seconds: float | None) -> float | None:
    """Return a positive number of seconds, or None. Raises ConfigurationError."""
    return check_timeout(seconds, "hedge_after", "no hedging")


class CompletionServer(Protocol):
    """What a call needs to know of the model server that it goes to."""

    @property
    def counters(self) -> Counters: ...
    @property
    def route(self) -> Route: ...

    def explain(self, error: ApiError, request: CompletionRequest) -> Flow[None]:
        """Add to the final error what the server knows."""
        ...


class CompletionCall(Call[T]):
    """A request that is to be sent to a certain model server."""

    __slots__ = (
        "_result",
        "attempts",
        "content",
        "endpoint",
        "first_token_option",
        "first_token_timeout",
        "headers",
        "is_streamed",
        "name",
        "request",
        "retry",
        "server",
        "timeout",
        "url",
        "verb",
    )

    server: Any
    """A `CompletionServer`; to which it went at last, once it is over."""

    def __init__(
        self,
        request: CompletionRequest,
        server: CompletionServer,
        result: Callable[[Any, str, Any], T],
        reader: StreamReader | None = None,
    ) -> None:
        self.name = request.method.name
        self.timeout = request.timeout
        self.retry = request.retry
        self.request = request
        self.attempts = 0
        self.content = request.content
        self.verb = "GET" if self.content is None else "POST"
        self.is_streamed = reader is not None
        self.first_token_timeout = None if reader is None else reader.first_token_timeout
        self.first_token_option = "" if reader is None else reader.first_token_option
        """What sets that timeout, for its error."""
        self._result = result
        # As `aim`, without the call: this is done for every completion.
        route = server.route
        self.server = server
        self.endpoint = route.endpoint
        self.url = f"{route.base or route.base_url(request.model)}{request.method.path}"
        headers = _STREAMED if self.is_streamed else _WITHOUT_BODY if self.content is None else _WITH_BODY
        if request.headers or route.header is not None:
            headers = (*headers, *route.headers(request.model), *request.headers)
        self.headers: Headers = headers

    def aim(self, server: CompletionServer) -> None:
        """Turn to a server. Raises ConfigurationError if the model has a name that cannot be routed to it."""
        request, route = self.request, server.route
        self.server = server
        self.endpoint = route.endpoint
        self.url = f"{route.base_url(request.model)}{request.method.path}"
        headers = _STREAMED if self.is_streamed else _WITHOUT_BODY if self.content is None else _WITH_BODY
        self.headers = (*headers, *route.headers(request.model), *request.headers)

    def result(self, response: Any) -> T:
        """Return what the caller wants of the response of its server."""
        return self._result(self.server, self.name, response)

    def choose_again(self) -> tuple[Health, Metadata] | None:
        """Turn to another server if that is the better choice by now; return its health and token then."""
        return None

    def may_retry(self, error: ApiError) -> bool:
        """Return whether it may be sent again after this error: always if that helps, since it changes nothing."""
        return error.retryable

    def explain(self, error: ApiError) -> Flow[None]:
        """Add to the final error what the model server knows."""
        return cast(CompletionServer, self.server).explain(error, self.request)

    def give_up(self) -> None:
        """Note that the caller left before a retry."""
        self.server.counters.give_up()

    def observe(self, observer: Observer, session: Any) -> StreamObservation | None:
        """Begin to observe it."""
        return self.request.observe(observer, self.endpoint)


def request_body(
    method: CompletionMethod, given: Mapping[str, Any] | None, named: dict[str, Any], *, streamed: bool
) -> dict[str, Any]:
    """Return the body of a completion: the one that was `given`, else that of the `named` arguments.

    Raises a ConfigurationError that names what is wrong with it.
    """
    if given is not None:
        return check_body(_whole_body(given, named), streamed=streamed)
    for name, value in named.items():
        if value is UNSET:
            raise TypeError(f"{method.name}: {name}= is missing; give it, or the whole request as body=...")
    check_names(method.name, named)
    return check_body(named, streamed=streamed)


def _whole_body(given: Mapping[str, Any], named: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"body: expected a mapping, got {type(given).__name__}")
    extra = [name for name, value in named.items() if value is not UNSET]
    if extra:
        raise ConfigurationError(f"body is the whole request, so {', '.join(extra)} cannot be given too")
    return dict(given)


def check_body(body: dict[str, Any], *, streamed: bool) -> dict[str, Any]:
    """Return the body of a completion. Raises a ConfigurationError that names what is wrong with it."""
    check_model(body.get("model", UNSET))
    if "messages" in body:
        _check_list("messages", body["messages"], text_allowed=False)
    elif "prompt" in body:
        _check_list("prompt", body["prompt"], text_allowed=True)
    else:
        raise ConfigurationError("messages (for a chat) or prompt is missing")
    if streamed:
        if not body.setdefault("stream", True):
            raise ConfigurationError("stream: stream(...) always streams; use create(...) for whole completions")
    elif body.get("stream"):
        raise ConfigurationError("stream: create(...) returns whole completions; use stream(...) to stream")
    return body


def check_model(model: object) -> str:
    """Return a model's name. Raises ConfigurationError."""
    if model is UNSET:
        raise ConfigurationError("model is missing")
    if not isinstance(model, str):
        raise ConfigurationError(f"model: expected the name of a model, got {type(model).__name__}")
    check_text(model.strip(), "model")
    return model


def encoded(body: Mapping[str, Any]) -> bytes:
    """Return the body as JSON. Raises a ConfigurationError that names the argument that cannot be encoded."""
    try:
        return dumps(body)
    except (TypeError, ValueError, RecursionError) as error:
        name = next((name for name, value in body.items() if not _encodes(value)), "body")
        raise ConfigurationError(f"{name}: cannot be encoded as JSON: {error}") from None


def _encodes(value: object) -> bool:
    try:
        dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _check_list(argument: str, value: Any, *, text_allowed: bool) -> None:
    """Refuse what is neither a list with something in it nor, where it may be a text, any text."""
    if isinstance(value, str) and text_allowed:
        return
    if isinstance(value, str) or not isinstance(value, Sequence):
        expected = "a string or a list" if text_allowed else "a list"
        raise ConfigurationError(f"{argument}: expected {expected}, got {type(value).__name__}")
    if not value:
        raise ConfigurationError(f"{argument} must not be empty")


def _checked_headers(headers: object) -> Headers:
    if not isinstance(headers, Mapping):
        raise ConfigurationError(f"headers: expected a dict of names and values, got {type(headers).__name__}")
    return tuple(_header(name, value) for name, value in cast(Mapping[object, object], headers).items())


def _header(name: object, value: object) -> tuple[str, str]:
    if not isinstance(name, str) or not isinstance(value, str):
        raise ConfigurationError("headers: expected names and values as strings")
    if name.lower() in _RESERVED_HEADERS:
        raise ConfigurationError(f"headers: {name} is set by the library (a token goes into token=...)")
    if not is_header_name(name):
        raise ConfigurationError(f"headers: {name!r} is not a valid header name")
    if not value.isascii() or not value.isprintable():
        raise ConfigurationError(f"headers: the value of {name} contains characters that no header may contain")
    return name, value

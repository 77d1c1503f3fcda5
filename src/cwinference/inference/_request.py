"""A request for a completion: its arguments checked, its body encoded, and how it may be sent."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

from .._calls.rpc import UNSET, Call
from .._calls.flow import Flow
from ..auth import Metadata
from ..config import Endpoint, check_timeout
from ..errors import ApiError, ConfigurationError, DeadlineExceeded, Unavailable
from ..retry import Retry, check_retry
from ._routing import is_header_name

T = TypeVar("T")

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

_OURS = frozenset({"authorization", "connection", "content-length", "content-type", "host", "transfer-encoding"})
"""Headers that a caller may not set."""


class Name(NamedTuple):
    """What errors and metrics call the method."""

    name: str


CHAT, TEXT, MODELS = Name("chat.completions"), Name("completions"), Name("models.list")
_PATHS = {CHAT: "/chat/completions", TEXT: "/completions", MODELS: "/models"}


class HttpRequest:
    """A request as it is sent, but for the token."""

    __slots__ = ("content", "endpoint", "first", "headers", "sent", "streamed", "url", "verb")

    def __init__(self, verb: str, url: str, endpoint: Endpoint, headers: Metadata, content: bytes | None) -> None:
        self.verb = verb
        self.url = url
        self.endpoint = endpoint
        self.headers = headers
        self.content = content
        self.streamed = False
        self.first: float | None = None
        """Seconds until the first content of a stream."""
        self.sent = 0
        """How often it was sent."""


class Prompt:
    """A request that does not know yet where it goes: checked and encoded. Raises ConfigurationError."""

    __slots__ = ("content", "headers", "limit", "method", "model", "path", "retry")

    def __init__(
        self,
        method: Name,
        body: Mapping[str, Any] | None,
        *,
        model: str | None,
        timeout: float | None,
        retry: Retry | None,
        headers: Mapping[str, str] | None,
    ) -> None:
        self.method = method
        self.path = _PATHS[method]
        self.model = model
        self.content = None if body is None else _encoded(body)
        self.headers = _checked_headers(headers) if headers else ()
        self.limit = timeout if timeout is UNSET else check_timeout(timeout)
        self.retry = retry if retry is UNSET else check_retry(retry)


class Ask(Call[T]):
    """A request that knows where it goes, in the form that drivers and retries handle."""

    __slots__ = ("_explain",)

    def __init__(
        self,
        prompt: Prompt,
        request: HttpRequest,
        result: Callable[[Any], T],
        explain: Callable[[ApiError, Prompt], Flow[None]],
    ) -> None:
        self.method = cast(Any, prompt.method)
        self.request = cast(Any, request)
        self.result = result
        self.repeatable = True
        self.as_json = False
        self.lost = None
        self.limit = prompt.limit
        self.retry = prompt.retry
        self._explain = (explain, prompt)

    def may_repeat(self, error: ApiError) -> bool:
        """Before an answer has begun: on 408, 409, 425, 429, 5xx but 501, and on lost connections."""
        if error.permanent:
            return False
        if error.unprocessed or error.invited:
            return True
        status = error.http_status
        if status is None:
            return isinstance(error, Unavailable | DeadlineExceeded)
        return status in (408, 409, 425, 429) or (status >= 500 and status != 501)

    def explain(self, error: ApiError) -> Flow[None]:
        explain, prompt = self._explain
        return explain(error, prompt)


def checked(body: dict[str, Any], *, streamed: bool) -> dict[str, Any]:
    """A completion's body, or a ConfigurationError that names what is wrong with it."""
    check_model(body["model"])
    if "messages" in body:
        _check_filled("messages", body["messages"], text=False)
    else:
        _check_filled("prompt", body["prompt"], text=True)
    if streamed:
        if not body.setdefault("stream", True):
            raise ConfigurationError("stream: stream(...) gives pieces; use create(...) for whole answers")
    elif body.get("stream"):
        raise ConfigurationError("stream: create(...) gives whole answers; use stream(...) for pieces")
    return body


def check_model(model: object) -> str:
    """A model's name, or ConfigurationError."""
    if not isinstance(model, str):
        raise ConfigurationError(f"model: expected the name of a model, got {type(model).__name__}")
    if not model.strip():
        raise ConfigurationError("model: it is empty")
    return model


def _encoded(body: Mapping[str, Any]) -> bytes:
    """The body as JSON, or a ConfigurationError that names the argument that cannot be encoded."""
    try:
        return _encode(body).encode()
    except (TypeError, ValueError, RecursionError) as error:
        name = next((name for name, value in body.items() if not _encodes(value)), "body")
        raise ConfigurationError(f"{name}: it cannot be encoded as JSON: {error}") from None


def _encodes(value: object) -> bool:
    try:
        return bool(_encode(value).encode()) or True
    except (TypeError, ValueError, RecursionError):
        return False


def _check_filled(argument: str, value: Any, *, text: bool) -> None:
    """A list with something in it, or where it may be a text, any text."""
    if isinstance(value, str) and text:
        return
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ConfigurationError(f"{argument}: expected a list, got {type(value).__name__}")
    if not value:
        raise ConfigurationError(f"{argument}: it is empty")


def _checked_headers(headers: object) -> Metadata:
    if not isinstance(headers, Mapping):
        raise ConfigurationError(f"headers: expected a dict of names and values, got {type(headers).__name__}")
    return tuple(_header(name, value) for name, value in cast(Mapping[object, object], headers).items())


def _header(name: object, value: object) -> tuple[str, str]:
    if not isinstance(name, str) or not isinstance(value, str):
        raise ConfigurationError("headers: expected names and values as strings")
    if name.lower() in _OURS:
        raise ConfigurationError(f"headers: {name} is set by the library (a token goes into token=...)")
    if not is_header_name(name):
        raise ConfigurationError(f"headers: {name!r} is no name of a header")
    if not value.isascii() or not value.isprintable():
        raise ConfigurationError(f"headers: the value of {name} holds what no header may hold")
    return name, value

"""A request for a completion: its arguments checked, its body encoded, and how it may be sent."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypedDict, cast

from .._call import UNSET, Call
from .._retry import Retry, check_retry
from ..auth import Metadata
from ..config import Endpoint, check_timeout
from ..errors import ApiError, ConfigurationError, DeadlineExceeded, Unavailable

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

_OURS = frozenset({"authorization", "connection", "content-length", "content-type", "host", "transfer-encoding"})
"""Headers that a caller may not set."""


class Options(TypedDict, total=False):
    """Options of one completion; what is left out is the client's. They are not part of the body."""

    timeout: float | None
    """Seconds for the whole call: queueing, token, all attempts and pauses, reading; None for no limit."""
    retry: Retry | None
    """What is repeated; None repeats nothing, so that a completion surely runs at most once."""
    headers: Mapping[str, str] | None
    """More headers to send."""


class Name(NamedTuple):
    """What errors and metrics call the method."""

    name: str


@dataclass(slots=True)
class HttpRequest:
    """A request as it is sent, but for the token."""

    verb: str
    url: str
    endpoint: Endpoint
    headers: Metadata
    content: bytes | None
    streamed: bool = False
    first: float | None = None
    """Seconds until the first content of a stream."""
    sent: int = 0
    """How often it was sent."""

    def with_token(self, metadata: Metadata) -> Metadata:
        """All headers."""
        return (*metadata, *self.headers)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request that does not know yet where it goes."""

    method: Name
    path: str
    model: str | None
    content: bytes | None = field(repr=False)
    headers: Metadata
    limit: float | None
    retry: Retry | None
    streamed: bool = False


class Ask(Call[Any]):
    """A request that knows where it goes, in the form that drivers and retries handle."""

    __slots__ = ()

    def __init__(self, prompt: Prompt, request: HttpRequest) -> None:
        self.method = cast(Any, prompt.method)
        self.request = cast(Any, request)
        self.repeatable = True
        self.as_json = False
        self.lost = None
        self.limit = prompt.limit
        self.retry = prompt.retry

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


def prompt_for(
    method: str, path: str, body: Mapping[str, Any], options: Mapping[str, Any], *, streamed: bool = False
) -> Prompt:
    """Check and encode a completion's arguments. Raises ConfigurationError."""
    model = check_model(body.get("model"))
    if "messages" in body:
        _check_filled("messages", body["messages"], text=False)
    if "prompt" in body:
        _check_filled("prompt", body["prompt"], text=True)
    if "stream" in body and bool(body["stream"]) is not streamed:
        raise ConfigurationError("stream: create() gives whole answers; use stream(...) for pieces")
    content = encode({**body, "stream": True} if streamed else body)
    return _prompt(method, path, model, content, options, streamed)


def prompt_for_models(model: str | None, options: Mapping[str, Any]) -> Prompt:
    """A request for the list of models."""
    return _prompt("models.list", "/models", None if model is None else check_model(model), None, options, False)


def check_model(model: object) -> str:
    """A model's name, or ConfigurationError."""
    if not isinstance(model, str):
        raise ConfigurationError(f"model: expected the name of a model, got {type(model).__name__}")
    if not model.strip():
        raise ConfigurationError("model: it is empty")
    return model


def encode(body: Mapping[str, Any]) -> bytes:
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


def _prompt(
    method: str, path: str, model: str | None, content: bytes | None, options: Mapping[str, Any], streamed: bool
) -> Prompt:
    limit, retry = options.get("timeout", UNSET), options.get("retry", UNSET)
    return Prompt(
        method=Name(method),
        path=path,
        model=model,
        content=content,
        headers=_headers(options.get("headers")),
        limit=limit if limit is UNSET else check_timeout(limit),
        retry=retry if retry is UNSET else check_retry(retry),
        streamed=streamed,
    )


def _check_filled(argument: str, value: Any, *, text: bool) -> None:
    """A list with something in it, or where it may be a text, any text."""
    if isinstance(value, str) and text:
        return
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ConfigurationError(f"{argument}: expected a list, got {type(value).__name__}")
    if not value:
        raise ConfigurationError(f"{argument}: it is empty")


def _headers(headers: Mapping[str, str] | None) -> Metadata:
    if not headers:
        return ()
    return tuple(_header(name, value) for name, value in headers.items())


def _header(name: object, value: object) -> tuple[str, str]:
    if not isinstance(name, str) or not isinstance(value, str):
        raise ConfigurationError("headers: expected names and values as strings")
    if name.lower() in _OURS:
        raise ConfigurationError(f"headers: {name} is set by the library (a token goes into token=...)")
    if not (name + value).isascii() or not (name + value).isprintable() or not name:
        raise ConfigurationError(f"headers: {name!r} or its value holds what no header may hold")
    return name, value

"""The requests of a batch: from a JSONL file or an iterable, as bodies or in OpenAI's batch form."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

from ...errors import ConfigurationError
from .._request import CHAT, TEXT, CompletionRequest, check_body, check_model

Requests: TypeAlias = str | os.PathLike[str] | Iterable[Mapping[str, Any]]
"""A JSONL file's path, or requests: bodies, or OpenAI's batch form with `custom_id`, `url` and `body`."""

_METHODS = {"/v1/chat/completions": CHAT, "/v1/completions": TEXT}


class Item(NamedTuple):
    """A request of a batch."""

    key: str
    line: int
    request: CompletionRequest
    number: int
    """Its position among the requests that this run sends."""


def read_requests(requests: Requests, out: Path) -> Iterator[tuple[int, Any]]:
    """Yield the requests with the numbers of their lines, from 1; those of a file as bytes."""
    if isinstance(requests, Mapping):
        raise ConfigurationError("requests: expected a file or an iterable of requests; put a single one into a list")
    if not isinstance(requests, str | os.PathLike | Iterable):
        raise ConfigurationError(f"requests: expected a file or an iterable of requests, got {type(requests).__name__}")
    if not isinstance(requests, str | os.PathLike):
        return enumerate(requests, 1)
    path = Path(requests)
    if path.resolve() == out.resolve():
        raise ConfigurationError("out: this is the file of requests; use another one")
    try:
        path.open("rb").close()
    except OSError as error:
        raise ConfigurationError(f"requests: {path}: {error.strerror}") from None
    return _lines(path)


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line


def fields_of(value: Any) -> dict[str, Any]:
    """Return a request, a line of JSON or a mapping, as an object of its own. Raises ConfigurationError."""
    if isinstance(value, bytes):
        try:
            value = json.loads(value)
        except ValueError:
            raise ConfigurationError("the line is not JSON") from None
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"expected an object, got {type(value).__name__}")
    return dict(cast(Mapping[str, Any], value))


def take_key(fields: dict[str, Any], default: str) -> str:
    """Remove the `custom_id` from a request and return it; `default` if there is none. Raises ConfigurationError."""
    key = fields.pop("custom_id", None)
    if key is not None and not isinstance(key, str):
        raise ConfigurationError(f"custom_id: expected a string, got {type(key).__name__}")
    return default if key is None else key


def completion_request(request: dict[str, Any]) -> CompletionRequest:
    """Return the request for a completion. Raises ConfigurationError."""
    body, url = (request["body"], request.get("url")) if "body" in request else (request, None)
    if not isinstance(body, Mapping):
        raise ConfigurationError(f"body: expected an object, got {type(body).__name__}")
    fields = dict(cast(Mapping[str, Any], body))
    method = _METHODS.get(url) if url is not None else CHAT if "messages" in fields else TEXT
    if method is None:
        raise ConfigurationError(f"url: expected one of {', '.join(_METHODS)}, got {url!r}")
    needed = "messages" if method is CHAT else "prompt"
    if needed not in fields:
        raise ConfigurationError(f"{needed} is missing")
    model = check_model(fields.get("model"))
    return CompletionRequest(method, check_body(fields, streamed=False), model=model)

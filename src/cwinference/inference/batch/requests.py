"""The requests of a batch: from lines of JSON or mappings, as bodies or in OpenAI's batch form."""

import json
import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from ..._json import loads, with_sorted_members
from ...errors import ConfigurationError
from .._request import CHAT, TEXT, CompletionMethod, CompletionRequest, check_body, encoded
from .source import OverlongLine

_METHODS = {"/chat/completions": CHAT, "/completions": TEXT}
_KNOWN = "/v1/chat/completions or /v1/completions"
_PATH = re.compile(r"(?P<before>.*?)(?:/v[0-9][0-9a-z.]*)?(?P<method>/chat/completions|/completions)/?")
"""The path of a URL, of any version: other services than OpenAI have `/chat/completions` or `/v4/chat/completions`."""


class Item(NamedTuple):
    """A request of a batch."""

    key: str
    line: int
    request: CompletionRequest
    digest: str
    """That of the request."""
    number: int
    """Its position among the requests that this run sends."""
    replaces: bool
    """Whether OUT has a completion of another request under its key."""


def fields_of(value: Any) -> dict[str, Any]:
    """Return a request, a line of JSON or a mapping, as an object of its own. Raises ConfigurationError."""
    if isinstance(value, OverlongLine):
        raise ConfigurationError("the line is longer than 256 MiB")
    return _copied(_parsed(value) if isinstance(value, bytes | str) else value, "")


def take_key(fields: dict[str, Any]) -> str | None:
    """Remove the `custom_id` from a request and return it; None if there is none. Raises ConfigurationError."""
    key = fields.pop("custom_id", None)
    if key is not None and not isinstance(key, str):
        raise ConfigurationError(f"custom_id: expected a string, got {type(key).__name__}")
    return key


def completion_of(request: dict[str, Any]) -> tuple[CompletionMethod, dict[str, Any]]:
    """Return the method and the body of a request, which is a copy of the caller's. Raises ConfigurationError."""
    url, fields = None, request
    if "body" in request:
        url, fields = request.get("url"), _copied(request["body"], "body: ")
    method = _method_at(url) if url is not None else CHAT if "messages" in fields else TEXT
    needed = "messages" if method is CHAT else "prompt"
    if needed not in fields:
        raise ConfigurationError(f"{needed} is missing")
    return method, fields


def completion_request(
    method: CompletionMethod, body: dict[str, Any], content: bytes | None = None
) -> CompletionRequest:
    """Return the request for a completion; `content` as for `digest_of`. Raises ConfigurationError."""
    checked = check_body(body, streamed=False)
    return CompletionRequest(method, checked, model=checked["model"], content=content)


def digest_of(method: CompletionMethod, body: dict[str, Any], content: bytes | None = None) -> str:
    """Return 32 hexadecimal digits that identify a request, in whatever order its members are.

    `content` is its body as it is sent, if that is known. Raises ConfigurationError if it cannot be encoded.
    """
    content = encoded(body) if content is None else content
    try:
        text = with_sorted_members(content, body)
    except RecursionError as error:
        raise ConfigurationError(f"body: cannot be encoded as JSON: {error}") from None
    return blake2b(b"%b\n%b" % (method.name.encode(), text), digest_size=16).hexdigest()


def _copied(value: object, where: str) -> dict[str, Any]:
    if type(value) is not dict and not isinstance(value, Mapping):
        raise ConfigurationError(f"{where}expected an object, got {type(value).__name__}")
    try:
        return dict(cast(Mapping[str, Any], value))
    except Exception as error:  # a mapping of somebody else's
        raise ConfigurationError(f"{where}cannot be read: {type(error).__name__}: {error}") from error


def _strictly(line: bytes | str) -> Any:
    """Return the value of a line in UTF-8, which may begin with a byte order mark."""
    text = line if isinstance(line, str) else str(line, "utf-8")
    return json.loads(text.removeprefix("\ufeff"))


def _parsed(line: bytes | str) -> Any:
    try:
        return loads(line, _strictly)
    except UnicodeDecodeError:
        raise ConfigurationError("the line is not valid UTF-8") from None
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"the line is not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ConfigurationError("the line is nested too deeply") from None
    except ValueError:
        raise ConfigurationError("the line contains a number with too many digits") from None


def _method_at(url: object) -> CompletionMethod:
    """Return the method that a URL or its path means. Raises ConfigurationError."""
    if isinstance(url, str):
        try:
            parts = urlsplit(url)
        except ValueError:
            parts = urlsplit("")
        found = _PATH.fullmatch(parts.path)
        if found and (parts.netloc or not found["before"]):
            return _METHODS[found["method"]]
    raise ConfigurationError(f"url: expected {_KNOWN}, got {url!r}")

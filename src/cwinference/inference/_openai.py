"""The openai package's own client for a gateway, with the right URL, token and headers."""

from importlib import import_module
from typing import Any

from ..auth import Anonymous, Credentials
from ..errors import ConfigurationError
from ._model_server import ModelServer

_SCHEME = "Bearer "


def openai_client(server: ModelServer, model: str | None, options: dict[str, Any], *, is_async: bool) -> Any:
    """Return an `openai.OpenAI`, or an `openai.AsyncOpenAI`. Raises ConfigurationError."""
    route = server.route
    headers = dict(route.headers(model))
    if route.header is not None and not headers:
        raise ConfigurationError("model: this gateway routes by header, so its clients need model=...")
    try:
        package = import_module("openai")
    except ImportError:
        raise ConfigurationError("openai: the package openai is not installed (the extra 'openai')") from None
    credentials = server.context.credentials
    settings: dict[str, Any] = {
        "base_url": route.base_url(model),
        "api_key": _async_key(credentials) if is_async else _key(credentials),
        "timeout": server.context.timeout,
        "default_headers": headers,
    }
    if "http_client" not in options:  # its default follows redirects, to which prompts would be sent too
        http_client = package.DefaultAsyncHttpxClient if is_async else package.DefaultHttpxClient
        settings["http_client"] = http_client(follow_redirects=False)
    kind = package.AsyncOpenAI if is_async else package.OpenAI
    return kind(**{**settings, **options})


def _key(credentials: Credentials) -> Any:
    """Return what gives the token at each request, so that a new one is used at once."""

    def key() -> str:
        return _token(credentials.metadata() or credentials.fetch(None))

    return "none" if isinstance(credentials, Anonymous) else key


def _async_key(credentials: Credentials) -> Any:
    async def key() -> str:
        return _token(credentials.metadata() or await credentials.fetch_async(None))

    return "none" if isinstance(credentials, Anonymous) else key


def _token(metadata: Any) -> str:
    return str(metadata[0][1]).removeprefix(_SCHEME)

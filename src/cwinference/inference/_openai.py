"""The openai package's own client for a gateway, for those who have it: right URL, token and headers."""

from importlib import import_module
from typing import Any

from ..auth import Anonymous, Credentials
from ..errors import ConfigurationError
from ._model_server import Front

_SCHEME = "Bearer "


def openai_client(front: Front, model: str | None, options: dict[str, Any], *, awaits: bool) -> Any:
    """An `openai.OpenAI`, or an `openai.AsyncOpenAI`. Raises ConfigurationError."""
    route = front.route
    headers = dict(route.headers(model))
    if route.header is not None and not headers:
        raise ConfigurationError("model: this gateway routes by header, so its clients need model=...")
    try:
        package = import_module("openai")
    except ImportError:
        raise ConfigurationError("openai: the package is not installed; pip install 'cwinference[openai]'") from None
    credentials = front.context.credentials
    settings: dict[str, Any] = {
        "base_url": route.base_url(model),
        "api_key": _awaited_key(credentials) if awaits else _key(credentials),
        "timeout": front.context.timeout,
        "default_headers": headers,
    }
    kind = package.AsyncOpenAI if awaits else package.OpenAI
    return kind(**{**settings, **options})


def _key(credentials: Credentials) -> Any:
    """The token, asked for at each request."""

    def key() -> str:
        return _token(credentials.metadata() or credentials.fetch(None))

    return "none" if isinstance(credentials, Anonymous) else key


def _awaited_key(credentials: Credentials) -> Any:
    async def key() -> str:
        return _token(credentials.metadata() or await credentials.fetch_async(None))

    return "none" if isinstance(credentials, Anonymous) else key


def _token(metadata: Any) -> str:
    return str(metadata[0][1]).removeprefix(_SCHEME)

"""The openai package's own client for a gateway, with the right URL, token and headers."""

import ssl
from importlib import import_module
from typing import Any
from urllib.parse import quote

from .._extras import missing
from .._proxies import Proxy
from ..auth import Anonymous, Credentials
from ..config import Settings
from ..errors import ConfigurationError
from ._model_server import ModelServer

_SCHEME = "Bearer "


def openai_client(
    server: ModelServer, settings: Settings, model: str | None, options: dict[str, Any], *, is_async: bool
) -> Any:
    """Return an `openai.OpenAI`, or an `openai.AsyncOpenAI`. Raises ConfigurationError."""
    route = server.route
    headers = dict(route.headers(model))
    if route.header is not None and not headers:
        raise ConfigurationError("model: this gateway routes by header, so its clients need model=...")
    try:
        package = import_module("openai")
    except ImportError:
        raise ConfigurationError(missing("openai()", "the package openai", "openai")) from None
    credentials = server.context.credentials
    ours: dict[str, Any] = {
        "base_url": route.base_url(model),
        "api_key": _async_key(credentials) if is_async else _key(credentials, server.context.timeout),
        "timeout": server.context.timeout,
        "default_headers": headers,
    }
    if "http_client" not in options:
        kind = package.DefaultAsyncHttpxClient if is_async else package.DefaultHttpxClient
        ours["http_client"] = _http_client(kind, settings._replace(endpoint=route.endpoint))
    return (package.AsyncOpenAI if is_async else package.OpenAI)(**{**ours, **options})


def _http_client(kind: Any, settings: Settings) -> Any:
    """Return an HTTP client with our proxy and certificate authorities, in place of those of the environment.

    The package's own would also follow redirects, to which prompts would be sent too.
    """
    proxy = settings.proxy
    verify = _verification(settings.certificates.ca)
    try:
        return kind(follow_redirects=False, trust_env=False, verify=verify, proxy=_url(proxy))
    except ImportError:
        if proxy is None:
            raise
    raise ConfigurationError(
        f"{proxy.source}: the openai package can use {proxy.scheme}:// proxies only with the extra 'socks' of its HTTP "
        "library, which is not installed"
    )


def _url(proxy: Proxy | None) -> str | None:
    """Return a proxy's URL as the package takes it, with the password; no variable may hold it."""
    if proxy is None or proxy.credentials is None:
        return None if proxy is None else proxy.url
    user, password = (quote(each, safe="") for each in proxy.credentials.reveal())
    return f"{proxy.scheme}://{user}:{password}@{proxy.authority}"


def _verification(authorities: bytes | None) -> ssl.SSLContext | bool:
    """Return the certificate authorities to trust as the package takes them; True means the usual ones."""
    if authorities is None:
        return True
    try:
        return ssl.create_default_context(cadata=authorities.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(f"tls.ca: the certificates cannot be used: {error}") from None


def _key(credentials: Credentials, timeout: float | None) -> Any:
    """Return what gives the token at each request, so that a new one is used at once."""

    def key() -> str:
        return _token(credentials.metadata() or credentials.fetch(None, timeout))

    return "none" if isinstance(credentials, Anonymous) else key


def _async_key(credentials: Credentials) -> Any:
    async def key() -> str:
        return _token(credentials.metadata() or await credentials.fetch_async(None))

    return "none" if isinstance(credentials, Anonymous) else key


def _token(metadata: Any) -> str:
    return str(metadata.reveal()[0][1]).removeprefix(_SCHEME)

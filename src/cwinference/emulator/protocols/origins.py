"""Keeps web pages out: requests must name the emulator as their host, and come from no foreign origin.

The emulator's tokens are public. A page that a browser on this machine shows could use them: its own name may be
rebound in DNS to the address of the emulator, which to the browser is the same origin then. Such a request has the
page's name in `Host`, and in `Origin` unless it is a plain GET.

Pages of origins that were allowed may use it, as the CORS protocol lets their browser know.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from ...errors import ConfigurationError
from .asgi import App, AsgiExchange, Receive, Scope, Send

ANY_ORIGIN = "*"
"""Allows the pages of every origin."""
_METHODS = b"GET, POST, PUT, PATCH, DELETE"
_DEFAULT_PORTS = (("http", "80"), ("https", "443"))
_ORIGIN = re.compile(
    r"(?P<scheme>(?i:https?))://(?P<authority>\[[0-9A-Fa-f:.]+\]|[^\s\[\]:@/?#*]+)(?::(?P<port>[0-9]{1,5}))?/?"
)
_AUTHORITY = re.compile(r"(?:\[(?P<literal>[^\[\]]+)\]|(?P<name>[^\[\]:@/?#]+))(?::[0-9]*)?")


class OwnOriginsOnly:
    """An ASGI application that responds 403 to requests for a foreign host or from a foreign origin."""

    def __init__(self, app: App, hosts: Iterable[str], cors_origins: Collection[str] = ()) -> None:
        """Wrap an application.

        Args:
            app: the application that gets the other requests.
            hosts: names and addresses that are the emulator's own, in addition to those of the loopback interface and
                the address that a request arrives at.
            cors_origins: origins whose pages may use the application too, as `check_origins` returns them.
        """
        self._app = app
        self._hosts = {_normalized(each) for each in hosts}
        self._cors_origins = frozenset(cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        foreign = self._foreign(scope) if scope["type"] == "http" else None
        if foreign is None:
            origin = self._allowed_origin(scope) if self._cors_origins else None
            await (self._app if origin is None else _with_cors(self._app, origin))(scope, receive, send)
        else:
            await AsgiExchange(scope, receive, send).respond_text(403, f"forbidden: {foreign}")

    def _foreign(self, scope: Scope) -> str | None:
        """Return which header of a request names another host, and what to do about it; None if none does."""
        # Over https a browser has compared the host with the certificate, so that a rebound name gets no connection.
        is_https = scope.get("scheme") == "https"
        for name, encoded in scope["headers"]:
            value = encoded.decode("latin-1")
            if name == b"host" and not is_https and not self._is_own(_host_of_authority(value), scope):
                return f"Host {value[:200]!r} is not this emulator's; start it with --public-url if it is reached so"
            if name == b"origin" and not (self._is_own(_host_of_origin(value), scope) or self._is_allowed(value)):
                return f"Origin {value[:200]!r} is not this emulator's; --cors-origin allows the pages of another one"
        return None

    def _allowed_origin(self, scope: Scope) -> bytes | None:
        """Return the origin of a request if its pages may use the application."""
        origin: bytes | None = dict(scope["headers"]).get(b"origin")
        return origin if origin is not None and self._is_allowed(origin.decode("latin-1")) else None

    def _is_allowed(self, origin: str) -> bool:
        return ANY_ORIGIN in self._cors_origins or origin.lower() in self._cors_origins

    def _is_own(self, host: str | None, scope: Scope) -> bool:
        if host is None:
            return False
        arrived_at = _normalized((scope.get("server") or ("",))[0])
        return host in self._hosts or host == arrived_at or _is_loopback(host)


def check_origins(origins: Collection[str]) -> Collection[str]:
    """Return origins in the form in which browsers send them.

    Raises:
        ConfigurationError: one of them is no origin.
    """
    given: list[object] = [origins] if isinstance(origins, str) else list(origins)
    checked = [_checked_origin(each) for each in given]
    return frozenset(checked)


def _checked_origin(origin: object) -> str:
    found = _ORIGIN.fullmatch(origin) if isinstance(origin, str) else None
    if origin == ANY_ORIGIN:
        return ANY_ORIGIN
    if found is None:
        raise ConfigurationError(
            f"cors_origins: expected origins such as https://app.example.com or http://localhost:3000, got {origin!r}"
        )
    scheme, authority, port = found["scheme"].lower(), found["authority"].lower(), found["port"]
    return f"{scheme}://{authority}" + (f":{port}" if port and (scheme, port) not in _DEFAULT_PORTS else "")


def _with_cors(app: App, origin: bytes) -> App:
    """Wrap an application so that a browser lets pages of an origin call it, and read its responses."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"access-control-allow-origin", origin), (b"vary", b"origin")]
        requested = dict(scope["headers"])
        if scope["method"] == "OPTIONS" and b"access-control-request-method" in requested:
            headers += [(b"access-control-allow-methods", _METHODS), (b"access-control-max-age", b"600")]
            if names := requested.get(b"access-control-request-headers"):
                headers.append((b"access-control-allow-headers", names))
            if b"access-control-request-private-network" in requested:
                headers.append((b"access-control-allow-private-network", b"true"))
            await AsgiExchange(scope, receive, send).respond(204, headers)
            return
        headers.append((b"access-control-expose-headers", b"*"))

        async def send_with_headers(event: Mapping[str, Any]) -> None:
            if event["type"] == "http.response.start":
                event = {**event, "headers": [*event["headers"], *headers]}
            await send(event)

        await app(scope, receive, send_with_headers)

    return call


def own_hosts(listening_on: str, public_url: str | None) -> list[str]:
    """Return the hosts by which clients reach an emulator, as far as its settings show.

    Args:
        listening_on: the name or address that it listens on.
        public_url: the URL at which clients reach it, if another one was given.
    """
    public = None if public_url is None else urlsplit(public_url).hostname
    return [each for each in (listening_on, public) if each]


@lru_cache(maxsize=64)
def _host_of_authority(text: str) -> str | None:
    found = _AUTHORITY.fullmatch(text)
    return _normalized(found["literal"] or found["name"]) if found else None


def _host_of_origin(text: str) -> str | None:
    """Return the host of an origin; None for `null`, which a sandboxed page has, and for other schemes than http."""
    scheme, separator, authority = text.partition("://")
    return _host_of_authority(authority) if separator and scheme.lower() in ("http", "https") else None


@lru_cache(maxsize=64)
def _normalized(host: str) -> str:
    name = host.lower().removesuffix(".")
    try:
        address = ip_address(name)
    except ValueError:
        return name
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


@lru_cache(maxsize=64)
def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

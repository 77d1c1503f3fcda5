"""Keeps web pages out: requests must name the emulator as their host, and come from no foreign origin.

The emulator's tokens are public. A page that a browser on this machine shows could use them: its own name may be
rebound in DNS to the address of the emulator, which to the browser is the same origin then. Such a request has the
page's name in `Host`, and in `Origin` unless it is a plain GET.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from .asgi import App, Exchange, Receive, Scope, Send

_AUTHORITY = re.compile(r"(?:\[(?P<literal>[^\[\]]+)\]|(?P<name>[^\[\]:@/?#]+))(?::[0-9]*)?")


class OwnOriginsOnly:
    """An ASGI application that responds 403 to requests for a foreign host or from a foreign origin."""

    def __init__(self, app: App, hosts: Iterable[str]) -> None:
        """Wrap an application.

        Args:
            app: the application that gets the other requests.
            hosts: names and addresses that are the emulator's own, in addition to those of the loopback interface and
                the address that a request arrives at.
        """
        self._app = app
        self._hosts = {_normalized(each) for each in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        foreign = self._foreign(scope) if scope["type"] == "http" else None
        if foreign is None:
            await self._app(scope, receive, send)
        else:
            text = f"forbidden: {foreign} is not this emulator's; start it with --public-url if it is reached so"
            await Exchange(scope, receive, send).respond_text(403, text)

    def _foreign(self, scope: Scope) -> str | None:
        """Return the header of a request that names another host, with its value; None if there is none."""
        # Over https a browser has compared the host with the certificate, so that a rebound name gets no connection.
        is_https = scope.get("scheme") == "https"
        for name, encoded in scope["headers"]:
            value = encoded.decode("latin-1")
            if name == b"host" and not is_https and not self._is_own(_host_of_authority(value), scope):
                return f"Host {value[:200]!r}"
            if name == b"origin" and not self._is_own(_host_of_origin(value), scope):
                return f"Origin {value[:200]!r}"
        return None

    def _is_own(self, host: str | None, scope: Scope) -> bool:
        if host is None:
            return False
        arrived_at = _normalized((scope.get("server") or ("",))[0])
        return host in self._hosts or host == arrived_at or _is_loopback(host)


def own_hosts(listening_on: str, public_url: str | None) -> list[str]:
    """Return the hosts by which clients reach an emulator, as far as its settings tell.

    Args:
        listening_on: the name or address that it listens on.
        public_url: the URL at which clients reach it, if another one was given.
    """
    public = None if public_url is None else urlsplit(public_url).hostname
    return [each for each in (listening_on, public) if each]


def _host_of_authority(text: str) -> str | None:
    found = _AUTHORITY.fullmatch(text)
    return _normalized(found["literal"] or found["name"]) if found else None


def _host_of_origin(text: str) -> str | None:
    """Return the host of an origin; None for `null`, which a sandboxed page has, and for other schemes than http."""
    scheme, separator, authority = text.partition("://")
    return _host_of_authority(authority) if separator and scheme.lower() in ("http", "https") else None


def _normalized(host: str) -> str:
    name = host.lower().removesuffix(".")
    try:
        address = ip_address(name)
    except ValueError:
        return name
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

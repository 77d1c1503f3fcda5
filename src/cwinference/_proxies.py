"""Which proxy leads to a server: that of `proxy=`, else that of the environment, by the rules of curl.

This one verdict counts for all transports. Their libraries would read the environment too, each by rules of its own.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from ._hosts import address_of, ascii_host, authority, is_host, is_loopback, normal_host
from ._secrets import Secret
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

PROXY_VARIABLES = ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
NO_PROXY_VARIABLES = ("no_proxy", "NO_PROXY")

_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
"""The schemes of proxies, and their default ports."""

_EXEMPTION = r"(\[[^]]+\]|[^:]+)(?::(\d+))?"
"""An entry of NO_PROXY: a name, a network or an address, the latter in brackets if it is IPv6; and a port."""


class Proxy(NamedTuple):
    """A proxy, and where it was set: `proxy`, or the name of a variable."""

    source: str
    scheme: str
    host: str
    port: int
    credentials: Secret[tuple[str, str]] | None = None
    """User and password."""

    @property
    def authority(self) -> str:
        return authority(self.host, self.port)

    @property
    def url(self) -> str:
        """Its URL without the credentials."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authorization(self) -> Secret[str] | None:
        """The value of a `proxy-authorization` header."""
        if self.credentials is None:
            return None
        return Secret("Basic " + b64encode(":".join(self.credentials.reveal()).encode()).decode("ascii"))


class Proxies(NamedTuple):
    """The proxies that were set when a client was made."""

    given: Proxy | None = None
    variables: Mapping[str, Secret[str]] = MappingProxyType({})
    """Those of `PROXY_VARIABLES` that are set, by name."""
    exempt: str = ""
    """The value of NO_PROXY."""

    def __hash__(self) -> int:
        return hash((self.given, self.exempt))  # a mapping has no hash

    def to(self, scheme: str, host: str, port: int) -> Proxy | None:
        """Return the proxy that leads to a server; None for a direct connection, as always to loopback.

        Raises ConfigurationError with the name of the variable if its value is no URL of a proxy.
        """
        if is_loopback(host):
            return None
        if self.given is not None:
            return self.given
        names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
        name = next((each for each in names if each in self.variables), None)
        if name is None or is_exempt(self.exempt, host, port):
            return None
        return parse_proxy(self.variables[name].reveal(), name)


def parse_proxy(text: str, source: str) -> Proxy:
    """Return the proxy of a URL; without a scheme it is http://. `source` is where it was set.

    Raises a ConfigurationError that does not show the URL, which may contain a password.
    """
    proxy = _parsed(text, source) if isinstance(text, str) else None
    if proxy is None:
        raise ConfigurationError(
            f"{source}: expected the URL of a proxy, such as http://<host>:<port>, with the special characters of a "
            "password percent-encoded"
        )
    return proxy


def _parsed(text: str, source: str) -> Proxy | None:
    from urllib.parse import unquote, urlsplit

    text = text.strip()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = ascii_host(parts.hostname or ""), parts.port
    except ValueError:
        return None
    # A password with `#`, `?` or `/` in it would make the user's name the host.
    if parts.scheme not in _PORTS or parts.path not in ("", "/") or set("?#") & set(text):
        return None
    if port == 0 or not is_host(host) or (":" in host and address_of(host) is None):
        return None
    credentials = None
    if parts.username or parts.password:
        credentials = Secret((unquote(parts.username or ""), unquote(parts.password or "")))
    return Proxy(source, parts.scheme, host, port or _PORTS[parts.scheme], credentials)


def is_exempt(no_proxy: str, host: str, port: int) -> bool:
    """Return whether NO_PROXY contains a server.

    Its entries are separated by commas or white space: `*`; a name, with or without a leading dot or `*.`, which means
    its subdomains too; an address, in brackets or not; a network such as `10.0.0.0/8`; each with or without a port.
    """
    return any(_is_match(entry, host, port) for entry in re.split(r"[\s,]+", no_proxy.lower()) if entry)


def _is_match(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    parts = re.fullmatch(_EXEMPTION, entry)
    pattern, only_port = parts.groups() if parts else (entry, None)
    if only_port is not None and int(only_port) != port:
        return False
    address = address_of(host)
    if address is not None:
        network = _network(pattern.replace("[", "").replace("]", ""))
        return network is not None and address in network
    name = normal_host(pattern.removeprefix("*.").strip("."))
    return name != "" and f".{normal_host(host)}".endswith(f".{name}")


def _network(text: str) -> "IPv4Network | IPv6Network | None":
    from ipaddress import ip_network

    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None

"""What the host of a URL says by itself, without asking a resolver: loopback, private, or one of those allowed."""

import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ._arguments import shown
from ._text import printable
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

_NOT_IN_HOSTS = frozenset("/\\<>\"'`{}|^%")

_PLAIN_URL = re.compile(r"(https?)://([a-z0-9._-]+)(?::([0-9]{1,4}))?(/[a-z0-9._/-]*)?")
"""What nobody could read in two ways. Nearly all URLs are so, and reading the others loads much."""

_PATTERN = r"(\*\.)?[^\s/\\:*@?#%\[\]]+"
_OLD_ADDRESS = r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+))*"
"""The forms in which C and browsers accept an IPv4 address too, such as `127.1` and `0x7f000001`."""
_LOOPBACK_NAMES = ("localhost", "localhost.localdomain", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback")


def address_of(host: str) -> "IPv4Address | IPv6Address | None":
    """Return the address that a host is, None for a name. An IPv4 address that is written as IPv6 is IPv4."""
    if _is_name(host):
        return None
    from ipaddress import IPv6Address, ip_address  # most hosts are names, and `localhost` or 127.0.0.1

    try:
        address = ip_address(host)
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


def _is_name(host: str) -> bool:
    """Return whether a host is certainly no address, which has a colon or ends in a digit."""
    return ":" not in host and not host[-1:].isdigit()


def is_host(text: str) -> bool:
    """Return whether a text has the characters of a host: names, addresses and international names alike."""
    return text != "" and not any(each.isspace() or each in _NOT_IN_HOSTS for each in text)


def ascii_host(host: str) -> str:
    """Return a host as resolvers take it: an international name in its ASCII form. Raises ValueError if it has none.

    Libraries do not agree on who converts it, and some do not.
    """
    return host if host.isascii() else host.encode("idna").decode("ascii")


def normal_host(host: str) -> str:
    """Return a host, or a pattern of hosts, in the form that is compared."""
    with suppress(ValueError):
        host = ascii_host(host)
    return str(address_of(host) or host.lower().rstrip("."))


def parts_of_url(url: str) -> tuple[str, str, int | None, str]:
    """Return scheme, host, port and path. Raises ValueError for what is no URL."""
    plain = _PLAIN_URL.fullmatch(url)
    if plain is not None:
        scheme, host, port, path = plain.groups(default="")
        return scheme, host, int(port) if port else None, path
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port, parts.path


def authority(host: str, port: int) -> str:
    """Return a host and a port as URLs have them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Return whether a host means this machine: `localhost`, or a loopback address."""
    if host in ("localhost", "127.0.0.1"):
        return True
    address = address_of(host)
    return address is not None and address.is_loopback


def is_private(host: str) -> bool:
    """Return whether a host leads to no public address, in whichever spelling a resolver or a URL may have it.

    Names other than those of loopback may lead anywhere, and count as public.
    """
    try:
        name = ascii_host(host)
    except ValueError:
        return True  # nobody knows what a resolver makes of it
    name = name.lower().rstrip(".")
    if name in _LOOPBACK_NAMES or name.endswith(".localhost"):
        return True
    address = address_of(name) or _address_in_old_form(name)
    if address is None:
        return False
    from ipaddress import IPv6Address

    if isinstance(address, IPv6Address):
        address = address.sixtofour or address
    return not address.is_global or address.is_multicast or address.is_reserved


def _address_in_old_form(name: str) -> "IPv4Address | None":
    if not re.fullmatch(_OLD_ADDRESS, name):
        return None
    from ipaddress import IPv4Address

    try:
        return IPv4Address(socket.inet_aton(name))
    except OSError:
        return None


class GatewayHosts(NamedTuple):
    """Where the token may go if nobody but a gateway's own response says so."""

    patterns: tuple[str, ...] | None = None
    """The hosts that are allowed; None: all that are not private."""
    api: str | None = None
    """The host of the API: if it is private, a gateway of it may be too. None: it is not."""

    def check(self, host: str) -> None:
        """Raise ConfigurationError if the token must not go to a host."""
        problem = f"endpoint: the gateway's endpoint is {printable(host)}"
        if self.patterns is not None:
            if not any(_is_match(pattern, host) for pattern in self.patterns):
                allowed = ", ".join(self.patterns)
                raise ConfigurationError(f"{problem}, to which the token is not sent; gateway_hosts allows {allowed}")
        elif is_private(host) and not (self.api is not None and is_private(self.api)):
            problem += ", a loopback or private address, to which the token is not sent; if that is right, "
            raise ConfigurationError(
                f"{problem}create the client with gateway_hosts=[{host!r}]",
                for_command=f"{problem}use --base-url and --token-file instead of --gateway",
            )


def check_gateway_hosts(hosts: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return patterns of hosts in the form that is compared, or None."""
    if hosts is None:
        return None
    if isinstance(hosts, str | bytes) or not isinstance(hosts, Iterable):
        raise ConfigurationError(f"gateway_hosts: expected a list such as ['*.example.com'], got {shown(hosts)}")
    patterns = tuple(map(_pattern, hosts))
    if not patterns:
        raise ConfigurationError("gateway_hosts must not be empty; None allows all hosts that are not private")
    return patterns


def _pattern(text: str) -> str:
    name = text.lower().removeprefix("[").removesuffix("]") if isinstance(text, str) else ""
    if address_of(name) is None and not re.fullmatch(_PATTERN, name):
        raise ConfigurationError(
            "gateway_hosts: expected hosts such as 'gateway.example.com' or '*.example.com', without scheme, port and "
            f"path, got {shown(text)}"
        )
    return normal_host(name)


def _is_match(pattern: str, host: str) -> bool:
    name = normal_host(host)
    if pattern.startswith("*."):
        return name.endswith(pattern[1:]) and address_of(name) is None
    return name == pattern

"""What the host of a URL says by itself, without asking a resolver."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

HOST = re.compile(r"[^\s/\\<>\"'`{}|^%]+")
"""The characters of a host: names, addresses and international names alike."""


def address_of(host: str) -> Address | None:
    """Return the address that a host is, None for a name. An IPv4 address that is written as IPv6 is IPv4."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


def authority(host: str, port: int) -> str:
    """Return a host and a port as URLs have them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Return whether a host means this machine: `localhost`, or a loopback address."""
    address = address_of(host)
    return host == "localhost" if address is None else address.is_loopback

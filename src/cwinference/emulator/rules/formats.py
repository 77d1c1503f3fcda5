"""The kinds of string that rules speak of: UUIDs, host names and URIs as protovalidate has them, the API's own."""

import re
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import unquote_to_bytes

UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
HOST_LABEL = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")
ZONE = re.compile(r"[A-Z]{2}-[A-Z]+-[0-9]+[A-Z]+|RNO2A")

_NUMBER = r"(?:0|[1-9][0-9]*)"
_PRE_RELEASE = rf"(?:{_NUMBER}|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_BUILD = r"[0-9a-zA-Z-]+"
SEMANTIC_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_PRE_RELEASE}(?:\.{_PRE_RELEASE})*)?(?:\+{_BUILD}(?:\.{_BUILD})*)?"
)


def is_hostname(text: str) -> bool:
    """By RFC 1034: labels of at most 63, 253 in all, the last one not all digits; a dot may end it."""
    name = text.removesuffix(".")
    labels = name.split(".")
    return len(name) <= 253 and all(map(HOST_LABEL.fullmatch, labels)) and not labels[-1].isdecimal()


_ENCODED = r"%[0-9a-fA-F]{2}"
_UNRESERVED = r"a-zA-Z0-9._~\-"
_PLAIN = rf"[{_UNRESERVED}!$&'()*+,;=]|{_ENCODED}"
_SEGMENT = rf"(?:{_PLAIN}|[:@])"
_URI = re.compile(
    rf"""
    [a-zA-Z][a-zA-Z0-9+.-]*:
    (?: //(?:(?:{_PLAIN}|:)*@)? (?:\[(?P<literal>[^\]]*)\] | (?P<name>(?:{_PLAIN})*)) (?::[0-9]*)? (?:/{_SEGMENT}*)*
      | /(?:{_SEGMENT}+(?:/{_SEGMENT}*)*)?
      | (?:{_SEGMENT}+(?:/{_SEGMENT}*)*)?
    )
    (?:\?(?:{_SEGMENT}|[/?])*)?
    (?:\#(?:{_SEGMENT}|[/?])*)?
    """,
    re.VERBOSE,
)
_FUTURE_ADDRESS = re.compile(rf"[vV][0-9a-fA-F]+\.(?:[{_UNRESERVED}!$&'()*+,;=:])+")
_ADDRESS = re.compile(rf"(?P<address>[0-9a-fA-F:.]+)(?:%25(?:[{_UNRESERVED}]|{_ENCODED})+)?")


def is_uri(text: str) -> bool:
    """By RFC 3986: with a scheme, and a host that is UTF-8 once decoded or an address in brackets."""
    match = _URI.fullmatch(text)
    if not match:
        return False
    literal, name = match["literal"], match["name"]
    return (literal is None or _is_address(literal)) and (name is None or _is_utf8(unquote_to_bytes(name)))


def _is_address(literal: str) -> bool:
    if _FUTURE_ADDRESS.fullmatch(literal):
        return True
    match = _ADDRESS.fullmatch(literal)
    return match is not None and _is_ipv6(match["address"])


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def _is_utf8(encoded: bytes) -> bool:
    try:
        encoded.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True

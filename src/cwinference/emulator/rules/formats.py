"""String formats that rules require: UUIDs, host names and URIs as protovalidate defines them, and the API's own.

The standard library has no validator for host names and URIs that agrees with protovalidate on every string.
"""

import re
from ipaddress import AddressValueError, IPv6Address, ip_interface
from urllib.parse import unquote_to_bytes

UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
HOST_LABEL = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")
"""A name of 1 to 63 characters: letters, digits and hyphens, the latter not at its ends."""
ZONE = re.compile(r"[A-Z]{2}-[A-Z]+-[0-9]+[A-Z]+|RNO2A")

_NUMBER = r"(?:0|[1-9][0-9]*)"
_PRE_RELEASE = rf"(?:{_NUMBER}|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_BUILD = r"[0-9a-zA-Z-]+"
SEMANTIC_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_PRE_RELEASE}(?:\.{_PRE_RELEASE})*)?(?:\+{_BUILD}(?:\.{_BUILD})*)?"
)


_CONTROLS = {chr(code): f"\\x{code:02x}" for code in (*range(0x20), 0x7F)}
_ESCAPES = _CONTROLS | {
    "\a": r"\a",
    "\b": r"\b",
    "\f": r"\f",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
    "\v": r"\v",
    '"': r"\"",
    "\\": r"\\",
}
"""How a quoted key shows characters that are special in it."""


def quote_key(key: str) -> str:
    """Quote the key of a map for the path of a violation, as Go's `strconv.Quote` does, and so protovalidate."""
    return f'"{"".join(_ESCAPES.get(each) or _printable(each) for each in key)}"'


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def is_hostname(text: str) -> bool:
    """Return whether a string is a host name by RFC 1034, as protovalidate reads it.

    It has labels of at most 63 characters, 253 characters in all, and a last label that is not only digits, so that an
    IPv4 address is not a host name. It may end with a dot.
    """
    name = text.removesuffix(".")
    labels = name.split(".")
    return len(name) <= 253 and all(map(HOST_LABEL.fullmatch, labels)) and not labels[-1].isdecimal()


def is_ip_prefix(text: str) -> bool:
    """Return whether a string is an IPv4 or IPv6 address with the length of its prefix, such as `203.0.113.0/24`."""
    address, _, length = text.partition("/")
    if not re.fullmatch(_NUMBER, length) or "%" in address:
        return False
    try:
        ip_interface(text)
    except ValueError:
        return False
    return True


# Parts of URIs, under their names in RFC 3986.
_PERCENT_ENCODED = r"%[0-9a-fA-F]{2}"
_UNRESERVED = r"a-zA-Z0-9._~\-"
_REG_NAME = rf"[{_UNRESERVED}!$&'()*+,;=]|{_PERCENT_ENCODED}"
_PCHAR = rf"(?:{_REG_NAME}|[:@])"
_URI = re.compile(
    rf"""
    [a-zA-Z][a-zA-Z0-9+.-]*:                                  # scheme
    (?: //                                                    # authority, and the path after it
        (?:(?:{_REG_NAME}|:)*@)?                              #   user info
        (?:\[(?P<literal>[^\]]*)\] | (?P<name>(?:{_REG_NAME})*))
        (?::[0-9]*)?                                          #   port
        (?:/{_PCHAR}*)*
      | /(?:{_PCHAR}+(?:/{_PCHAR}*)*)?                        # or an absolute path
      | (?:{_PCHAR}+(?:/{_PCHAR}*)*)?                         # or a path that does not begin with a slash, or none
    )
    (?:\?(?:{_PCHAR}|[/?])*)?                                 # query
    (?:\#(?:{_PCHAR}|[/?])*)?                                 # fragment
    """,
    re.VERBOSE,
)
_IP_FUTURE = re.compile(rf"[vV][0-9a-fA-F]+\.(?:[{_UNRESERVED}!$&'()*+,;=:])+")
_IPV6_WITH_ZONE = re.compile(rf"(?P<address>[0-9a-fA-F:.]+)(?:%25(?:[{_UNRESERVED}]|{_PERCENT_ENCODED})+)?")


def is_uri(text: str) -> bool:
    """Return whether a string is a URI by RFC 3986: one with a scheme.

    If it has a host, that must be valid UTF-8 after percent-decoding, or an IP address in brackets.
    """
    match = _URI.fullmatch(text)
    if not match:
        return False
    literal, name = match["literal"], match["name"]
    return (literal is None or _is_ip_literal(literal)) and (name is None or _is_utf8(unquote_to_bytes(name)))


def _is_ip_literal(literal: str) -> bool:
    if _IP_FUTURE.fullmatch(literal):
        return True
    match = _IPV6_WITH_ZONE.fullmatch(literal)
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

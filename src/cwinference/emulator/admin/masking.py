"""Removes secrets from what the log of requests shows."""

import re

MASK = "***"
_SECRET_HEADERS = re.compile(r"auth|cookie|(?<!idempotency-)key|token|secret|password", re.IGNORECASE)
_SECRET_FIELD = re.compile(
    r'("(?:token|[^"\\]*(?:api_?key|secret|password|authorization|(?:access|auth)_?token))"\s*:\s*")'
    r'(?:[^"\\]|\\.)*("|\\?$)',
    re.IGNORECASE,
)
"""A string in JSON whose name says that it is a secret, also one that is cut off."""
_SECRET_ARGUMENT = re.compile(r"([?&][^=&]*(?:key|token|secret|password)[^=&]*=)[^&]*", re.IGNORECASE)
_TOKEN = re.compile(r"CW-SECRET-[\w.~+/=-]*")


def header(name: str, value: str) -> str:
    """Return the value of a header, masked if it is a secret; of `Authorization` the scheme stays."""
    if not _SECRET_HEADERS.search(name):
        return text(value)
    scheme, space, _ = value.partition(" ")
    return f"{scheme} {MASK}" if space and name.lower().endswith("authorization") else MASK


def body(value: str) -> str:
    """Return a body, or the beginning of one, with the values of secret fields masked."""
    return text(_SECRET_FIELD.sub(rf"\g<1>{MASK}\g<2>", value))


def path(value: str) -> str:
    """Return a path with its query, with the values of secret arguments masked."""
    return text(_SECRET_ARGUMENT.sub(rf"\g<1>{MASK}", value))


def text(value: str) -> str:
    """Return a text with CoreWeave tokens masked, wherever they are in it."""
    return _TOKEN.sub(f"CW-SECRET-{MASK}", value)

"""Text for people: control characters escaped, tokens removed. Servers may put either into what they send."""

import re

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

_TOKEN = re.compile(r"CW-SECRET-[^\s\"',;]+")
"""A CoreWeave token inside other text, up to a quote, comma or semicolon."""


def printable(text: str) -> str:
    """Return the text with control characters (a terminal's escape sequences among them) shown as `\\x1b` and the like,
    and without tokens that a server may have echoed."""
    return redacted(_UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text))


def one_line(text: str) -> str:
    """Return the same without line breaks: for a line of a log or a list."""
    return " ".join(printable(text).split())


def redacted(text: str) -> str:
    """Return the text without CoreWeave tokens."""
    return _TOKEN.sub("CW-SECRET-***", text)

"""Text for people: control characters escaped, tokens removed. Servers may put either into what they send."""

import re
from collections.abc import Collection, Iterable

# Patterns are compiled when one is first used: most programs meet no text that needs them.

_UNPRINTABLE = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]"

_TOKEN = r"CW-SECRET-[^\s\"',;]+"  # noqa: S105 - a pattern
"""A CoreWeave token inside other text, up to a quote, comma or semicolon."""


def printable(text: str) -> str:
    """Return the text with control characters (a terminal's escape sequences among them) shown as `\\x1b` and the like,
    and without tokens that a server may have echoed."""
    return redacted(re.sub(_UNPRINTABLE, lambda found: found.group().encode("unicode_escape").decode("ascii"), text))


def one_line(text: str) -> str:
    """Return the same without line breaks: for a line of a log or a list."""
    return " ".join(printable(text).split())


_OF_SECRETS = (
    r"(?:^|[-_.])(?:authorization|(?:set-)?cookie2?|api-?key|access-?key|token|secret|password|credentials?)(?:-bin)?$"
)
"""Names of headers that carry secrets; `x-ratelimit-remaining-tokens` does not."""


def safe_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by their names in lower case, without those that carry secrets; repeated ones are joined."""
    found: dict[str, str] = {}
    for name, value in headers:
        name = name.lower()
        if not re.search(_OF_SECRETS, name):
            value = redacted(value)
            found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def seconds_text(seconds: float) -> str:
    """Return seconds as they are if they are round, and else without digits that nobody wants: `1 s` for 0.980636."""
    if round(seconds, 2) == seconds:
        return f"{seconds:g} s"
    return f"{round(seconds, 1) or float(f'{seconds:.1g}'):g} s"


def nearest(word: str, known: Iterable[str], least: float = 0.6) -> str | None:
    """Return the known word that somebody most likely meant; None if none is similar (`least`, from 0 to 1)."""
    from difflib import get_close_matches  # only mistakes need it

    return next(iter(get_close_matches(word, [*known], 1, least)), None)


def did_you_mean(similar: str | None, known: Collection[str]) -> str:
    """Return a question for the similar word, or else what there is to use."""
    return f"did you mean {similar!r}?" if similar is not None else f"use {', '.join(known) or 'none'}"


def reason_of(error: OSError | ValueError) -> str:
    """Return why the system refuses a path, without the path; a ValueError is about one that no file can have."""
    return (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__


def redacted(text: str) -> str:
    """Return the text without CoreWeave tokens."""
    return re.sub(_TOKEN, "CW-SECRET-***", text)


def is_id(word: str) -> bool:
    """Return whether a word is the id of a resource, rather than its name."""
    return re.fullmatch(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", word, re.IGNORECASE) is not None

"""How many tokens the completions of a batch have cost."""

from typing import Any, cast

from ..._json import loads, part, part_reader
from .._responses import Usage


@part
class _Used:
    """What is read of a response."""

    usage: dict[str, Any] | None = None


_read = part_reader(_Used)


class TokenCount:
    """Adds up what responses say of tokens."""

    def __init__(self) -> None:
        self.prompt = 0
        self.completion = 0
        self.total = 0

    @property
    def usage(self) -> Usage:
        """The sums, as the usage of a completion."""
        counts = {"prompt_tokens": self.prompt, "completion_tokens": self.completion, "total_tokens": self.total}
        return Usage(counts)

    def add(self, reported: Any) -> None:
        """Add the `usage` of a response, if it has one."""
        if isinstance(reported, dict) and reported:
            usage = Usage(cast(dict[str, Any], reported))
            self.prompt += usage.prompt_tokens
            self.completion += usage.completion_tokens
            self.total += usage.total_tokens

    def plus(self, other: "TokenCount") -> Usage:
        """Return both sums together."""
        both = TokenCount()
        for each in (self, other):
            both.add(each.usage.raw)
        return both.usage


def usage_in(body: bytes) -> Any:
    """Return the `usage` in a whole response that has been checked; None if there is none."""
    found = _read(body)
    if found is not None:
        return found.usage
    try:
        value: Any = loads(body)
    except (ValueError, RecursionError):
        return None
    return cast(dict[str, Any], value).get("usage") if isinstance(value, dict) else None

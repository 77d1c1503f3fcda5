"""How many tokens the completions of a batch have cost."""

from typing import Any, cast

from ..._json import loads, part, part_reader
from .._responses import Usage

_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


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
        return Usage(dict(zip(_COUNTS, (self.prompt, self.completion, self.total), strict=True)))

    def add(self, reported: Any) -> None:
        """Add the `usage` of a response, if it has one."""
        if isinstance(reported, dict) and reported:
            usage = Usage(cast(dict[str, Any], reported))
            prompt, completion, total = map(usage.raw.get, _COUNTS)
            if not (type(prompt) is type(completion) is type(total) is int and total):
                prompt, completion, total = usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
            self.prompt += prompt
            self.completion += completion
            self.total += total

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

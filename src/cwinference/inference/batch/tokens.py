"""How many tokens the completions of a batch have cost."""

from typing import Any, cast

from .._responses import Usage

_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


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

"""How many tokens the completions of a batch have cost."""

from typing import Any, cast

from .._responses import Usage

_COUNTS = _PROMPT, _COMPLETION, _TOTAL = ("prompt_tokens", "completion_tokens", "total_tokens")


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
        if not isinstance(reported, dict) or not reported:
            return
        counts = cast(dict[str, Any], reported)
        prompt, completion, total = counts.get(_PROMPT), counts.get(_COMPLETION), counts.get(_TOTAL)
        if type(prompt) is int and type(completion) is int and type(total) is int and total:  # as servers report it
            self.prompt += prompt
            self.completion += completion
            self.total += total
        else:
            usage = Usage(counts)
            self.prompt += usage.prompt_tokens
            self.completion += usage.completion_tokens
            self.total += usage.total_tokens

    def plus(self, other: "TokenCount") -> Usage:
        """Return both sums together."""
        both = TokenCount()
        for each in (self, other):
            both.add(each.usage.raw)
        return both.usage

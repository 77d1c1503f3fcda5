"""Names of a completion's options: those of other packages that must not be sent, and misspelled ones."""

import logging
from collections.abc import Collection
from functools import lru_cache

from .._text import nearest
from ..errors import ConfigurationError

log = logging.getLogger("cwinference")

_INSTEAD = {
    "extra_body": "give its keys as keywords, or the whole request as body=...",
    "extra_headers": "use headers=...",
    "extra_query": "no query can be sent",
}
"""Options of the openai package, which would be sent as a part of the body, and what to write instead."""

_OPENAI = {
    "audio", "best_of", "echo", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs",
    "max_completion_tokens", "max_tokens", "messages", "metadata", "modalities", "model", "n", "parallel_tool_calls",
    "prediction", "presence_penalty", "prompt", "reasoning_effort", "response_format", "seed", "service_tier", "stop",
    "store", "stream", "stream_options", "suffix", "temperature", "tool_choice", "tools", "top_logprobs", "top_p",
    "user",
}  # fmt: skip
_VLLM_AND_SGLANG = {
    "add_generation_prompt", "add_special_tokens", "allowed_token_ids", "bad_words", "chat_template",
    "chat_template_kwargs", "continue_final_message", "detokenize", "documents", "guided_choice", "guided_grammar",
    "guided_json", "guided_regex", "ignore_eos", "include_stop_str_in_output", "length_penalty", "min_p", "min_tokens",
    "priority", "prompt_logprobs", "repetition_penalty", "return_token_ids", "skip_special_tokens",
    "spaces_between_special_tokens", "stop_token_ids", "structured_outputs", "top_k", "truncate_prompt_tokens",
    "use_beam_search",
}  # fmt: skip
_OURS = {"body", "first_token_timeout", "headers", "hedge_after", "idle_timeout", "retry", "timeout"}
_KNOWN = frozenset(_OPENAI | _VLLM_AND_SGLANG)

_LEAST_SIMILARITY = 0.88
"""`max_token` is close enough to `max_tokens`, `min_k` not to `min_p`."""


def check_names(method: str, names: Collection[str]) -> None:
    """Refuse options of other packages by name, and log a warning about names that look like misspelled options."""
    if _KNOWN.issuperset(names):
        return
    for name in set(names) - _KNOWN:
        if name in _INSTEAD:
            raise ConfigurationError(f"{name}: {_INSTEAD[name]}")
        _warn_of_misspelling(method, name)


@lru_cache(1024)
def _warn_of_misspelling(method: str, name: str) -> None:
    """Log a warning if an unknown name looks like a misspelled option: once, because it is remembered."""
    similar = nearest(name, _KNOWN | _OURS, _LEAST_SIMILARITY)
    if similar is not None:
        log.warning("%s: %r is sent as it is; did you mean %r?", method, name, similar)

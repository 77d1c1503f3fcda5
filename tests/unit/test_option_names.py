"""Which names of a completion's options are refused, and which are warned of."""

import logging
from collections.abc import Iterator

import pytest

from cwinference.errors import ConfigurationError
from cwinference.inference import _option_names
from cwinference.inference._option_names import check_names


@pytest.fixture(autouse=True)
def _forget_warnings() -> Iterator[None]:
    """Let each test begin without warnings that were given before."""
    _option_names._warn_of_misspelling.cache_clear()
    yield
    _option_names._warn_of_misspelling.cache_clear()


MISSPELLED = {
    "max_token": "max_tokens",
    "maxtokens": "max_tokens",
    "max_tokes": "max_tokens",
    "max_completion_token": "max_completion_tokens",
    "temprature": "temperature",
    "temperatur": "temperature",
    "frequence_penalty": "frequency_penalty",
    "presense_penalty": "presence_penalty",
    "repetion_penalty": "repetition_penalty",
    "logit_biases": "logit_bias",
    "response_formats": "response_format",
    "stream_option": "stream_options",
    "tool_choices": "tool_choice",
    "skip_special_token": "skip_special_tokens",
    "guided_jsons": "guided_json",
    "time_out": "timeout",
    "idle_time_out": "idle_timeout",
    "first_token_timout": "first_token_timeout",
    "header": "headers",
}


@pytest.mark.parametrize(("name", "meant"), MISSPELLED.items())
def test_a_near_miss_of_an_option_is_warned_of(name: str, meant: str, caplog: pytest.LogCaptureFixture) -> None:
    check_names("completions", ["model", "prompt", name])
    assert caplog.messages == [f"completions: {name!r} is sent as it is; did you mean {meant!r}?"]


def test_the_same_name_is_warned_of_once_for_each_method(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        for method in ("completions", "chat.completions"):
            check_names(method, ["max_token"])
    assert len(caplog.messages) == 2


DIFFERENT = [
    # vLLM, SGLang, llama.cpp, TGI and services have these and more
    "cache_salt", "mm_processor_kwargs", "kv_transfer_params", "vllm_xargs", "logits_processors", "prompt_embeds",
    "request_id", "return_tokens_as_token_ids", "include_reasoning", "thinking_token_budget", "regex", "ebnf",
    "json_schema", "lora_path", "session_params", "separate_reasoning", "custom_logit_processor", "no_stop_trim",
    "stop_regex", "n_predict", "cache_prompt", "samplers", "mirostat", "typical_p", "repeat_penalty", "min_keep",
    "n_probs", "grammar", "max_new_tokens", "do_sample", "return_full_text", "watermark", "random_seed", "safe_prompt",
    "raw_output", "provider", "route", "plugins", "reasoning", "verbosity", "prompt_cache_key", "safety_identifier",
    "web_search_options", "top_a", "min_k", "x", "", "é", "options", "vendor", "a" * 10_000,
]  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENT)
def test_other_names_are_not_warned_of(name: str, caplog: pytest.LogCaptureFixture) -> None:
    check_names("completions", [name])
    assert caplog.messages == []


def test_no_known_option_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    check_names("completions", _option_names._KNOWN)
    assert caplog.messages == []


@pytest.mark.parametrize("name", ["extra_body", "extra_headers", "extra_query"])
def test_options_of_the_openai_package_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name}: "):
        check_names("completions", ["model", name])

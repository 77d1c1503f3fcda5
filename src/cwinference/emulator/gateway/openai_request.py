"""OpenAI's format: what a completion request may contain, and errors in the form that OpenAI's clients expect."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

CompletionRoute: TypeAlias = Literal["chat/completions", "completions"]

MAX_CHOICES = 128
MAX_TOKENS = 131_072
"""Of one choice, and of its prompt and the choice together: the context length of many models."""
MAX_STOP_SEQUENCES = 1024
"""OpenAI allows 4, and the servers that run open models any number. The generator has to search for each of them."""
NOT_SUPPORTED: Mapping[str, Sequence[object]] = {
    "tools": ([],),
    "tool_choice": ("none",),
    "functions": ([],),
    "function_call": ("none",),
    "response_format": ({"type": "text"},),
    "structured_outputs": ({},),
    "guided_json": (),
    "guided_regex": (),
    "guided_choice": (),
    "guided_grammar": (),
    "regex": (),
    "ebnf": (),
    "structural_tag": (),
    "modalities": (["text"],),
    "audio": (),
    "web_search_options": (),
    "suffix": ("",),
    "continue_final_message": (False,),
    "truncate_prompt_tokens": (),
    "prompt_embeds": (),
    "logit_bias": ({},),
    "bad_words": ([],),
    "allowed_token_ids": (),
    "stop_token_ids": ([],),
    "stop_regex": ([], ""),
    "no_stop_trim": (False,),
    "use_beam_search": (False,),
    "prompt_logprobs": (),
    "return_token_ids": (False,),
    "return_tokens_as_token_ids": (False,),
    "return_hidden_states": (False,),
}
"""Fields of OpenAI, vLLM and SGLang that give a response another form or content, which the text generator cannot do.
The values listed next to each of them, and null, ask for nothing.

Fields that only weigh likely tokens, such as `temperature`, are not among them: any text may come of them."""


class GatewayError(Exception):
    """An error response of a gateway's endpoint, in OpenAI's form."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        kind = "server_error" if status >= 500 else "invalid_request_error"
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


def invalid_value(param: str | None, message: str) -> GatewayError:
    """Return the error for a request that is wrong whatever the state of the gateway; `param` is the wrong field."""
    return GatewayError(400, f"{param}: {message}" if param else message, code="invalid_value", param=param)


@dataclass(frozen=True)
class ModelRequest:
    """A completion request, as a model gets it."""

    route: CompletionRoute
    body: Mapping[str, Any]
    """As the client sent it, with `model` set to the name of the model that the request was routed to."""

    @property
    def is_chat(self) -> bool:
        return self.route == "chat/completions"

    @property
    def model(self) -> str:
        return cast(str, self.body["model"])


@dataclass(frozen=True)
class CompletionOptions:
    """The fields of a completion request that shape its response, checked and with their defaults."""

    prompts: Sequence[str | Sequence[int]]
    """A chat has one; other completions have one or several, each as text or as token ids."""
    stream: bool = False
    include_usage: bool = False
    """Whether the last chunk of a stream contains the usage."""
    n: int = 1
    max_tokens: int = 16
    min_tokens: int = 0
    """Before as many tokens, neither the end of the text nor a stop sequence ends it."""
    seed: int = 0
    stop: Sequence[str] = ()
    keep_stop: bool = False
    """Whether the text includes the stop sequence that ended it."""
    ignore_end: bool = False
    """Whether the text goes on until `max_tokens`."""
    echo: bool = False
    logprobs: int | None = None
    """How many alternatives to report for each token; None: no log probabilities at all."""
    reserved_tokens: int = 1
    """Tokens of the context that the prompt must leave free: `max_tokens` if the request sets it."""

    @classmethod
    def from_request(cls, request: ModelRequest, supported: Container[str] = ()) -> "CompletionOptions":
        """Read the options from a request, or raise a `GatewayError` that names the wrong field.

        Args:
            request: the request.
            supported: fields that the model supports, of those that it cannot be expected to.
        """
        body = request.body
        _check_supported(body, supported)
        stream = _flag(body, "stream")
        if body.get("stream_options") is not None and not stream:
            raise invalid_value("stream_options", "requires stream: true")
        _number(body, "temperature", 0, 2)
        _number(body, "top_p", 0, 1)
        _number(body, "presence_penalty", -2, 2)
        _number(body, "frequency_penalty", -2, 2)
        n = _integer(body, "n", 1, MAX_CHOICES, default=1)
        _check_best_of(body, n)
        echo = not request.is_chat and _flag(body, "echo")
        default_tokens = MAX_TOKENS if request.is_chat else 16
        limit = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
        max_tokens = _integer(body, limit, 0 if echo else 1, MAX_TOKENS, default=default_tokens)
        return cls(
            prompts=[_conversation(body)] if request.is_chat else _prompts(body),
            stream=stream,
            include_usage=_flag(_mapping(body, "stream_options"), "include_usage", "stream_options."),
            n=n,
            max_tokens=max_tokens,
            min_tokens=_integer(body, "min_tokens", 0, max_tokens, default=0),
            seed=_integer(body, "seed", -(2**63), 2**63 - 1, default=0),
            stop=_stop_sequences(body),
            keep_stop=_flag(body, "include_stop_str_in_output"),
            ignore_end=_flag(body, "ignore_eos"),
            echo=echo,
            logprobs=_chat_logprobs(body) if request.is_chat else _legacy_logprobs(body),
            reserved_tokens=body.get(limit) or 1,
        )


def _check_supported(body: Mapping[str, Any], supported: Container[str]) -> None:
    for name, harmless in NOT_SUPPORTED.items():
        value = body.get(name)
        if value is not None and value not in harmless and name not in supported:
            raise not_supported(name)
    if _flag(_mapping(body, "stream_options"), "continuous_usage_stats", "stream_options."):
        raise not_supported("stream_options.continuous_usage_stats")


def _check_best_of(body: Mapping[str, Any], n: int) -> None:
    """Accept as many candidates as choices: of more of them, the generator could not tell which are the best."""
    if _integer(body, "best_of", n, MAX_CHOICES, default=n) != n:
        raise not_supported("best_of")


def not_supported(name: str) -> GatewayError:
    """Return the error for a field that asks for what the text generator cannot do."""
    text = f"{name}: the emulator's text generator does not support it yet; start the emulator with --model"
    return GatewayError(400, text, code="unsupported_parameter", param=name)


def _flag(body: Mapping[str, Any], name: str, parent: str = "") -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise invalid_value(parent + name, f"expected true or false, got {value!r}")
    return bool(value)


def _integer(body: Mapping[str, Any], name: str, least: int, most: int, *, default: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise invalid_value(name, f"expected an integer from {least} to {most}, got {value!r}")
    return value


def _number(body: Mapping[str, Any], name: str, least: float, most: float) -> None:
    value = body.get(name)
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most
    ):
        raise invalid_value(name, f"expected a number from {least} to {most}, got {value!r}")


def _mapping(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise invalid_value(name, "expected an object")
    return cast(Mapping[str, Any], value or {})


def _stop_sequences(body: Mapping[str, Any]) -> list[str]:
    value = body.get("stop")
    stops = [value] if isinstance(value, str) else _list([] if value is None else value)
    if stops is None or not all(isinstance(each, str) and each for each in stops):
        raise invalid_value("stop", "expected a string or a list of strings, none of them empty")
    if len(stops) > MAX_STOP_SEQUENCES:
        raise invalid_value("stop", f"expected at most {MAX_STOP_SEQUENCES} sequences, got {len(stops)}")
    return cast(list[str], stops)


def _prompts(body: Mapping[str, Any]) -> list[str | list[int]]:
    """Read the prompts: OpenAI accepts a string, a list of strings, token ids, or a list of lists of token ids."""
    prompt = body.get("prompt")
    several = _list(prompt)
    prompts = [prompt] if several is None or _are_tokens(prompt) else several
    if not prompts or not all(isinstance(each, str) or _are_tokens(each) for each in prompts):
        raise invalid_value("prompt", "expected a string, token ids, or a list of either")
    return cast(list[str | list[int]], prompts)


def _are_tokens(value: object) -> bool:
    ids = _list(value) or [None]
    return all(type(each) is int and each >= 0 for each in ids)


def _conversation(body: Mapping[str, Any]) -> str:
    """Join the messages of a chat to one text, each on a line of its own."""
    messages = _list(body.get("messages"))
    if not messages:
        raise invalid_value("messages", "expected a list of at least one message")
    return "\n".join(_message_text(each, f"messages[{index}]") for index, each in enumerate(messages))


def _message_text(message: object, location: str) -> str:
    fields = _dict(message)
    if not isinstance(fields.get("role"), str):
        raise invalid_value(location, "expected an object with a role and a content")
    content = fields.get("content")
    parts = _list(content)
    if parts is not None:
        return " ".join(_part_text(part, f"{location}.content[{index}]") for index, part in enumerate(parts))
    if content is not None and not isinstance(content, str):
        raise invalid_value(f"{location}.content", "expected a string or a list of parts")
    return content or ""


def _part_text(part: object, location: str) -> str:
    fields = _dict(part)
    kind, text = fields.get("type"), fields.get("text")
    if not isinstance(kind, str) or (kind == "text" and not isinstance(text, str)):
        raise invalid_value(location, "expected an object with a type, and with a text if the type is text")
    return text if isinstance(text, str) else f"({kind})"


def _list(value: object) -> list[object] | None:
    return cast(list[object], value) if isinstance(value, list) else None


def _dict(value: object) -> dict[str, object]:
    return cast(dict[str, object], value) if isinstance(value, dict) else {}


def _legacy_logprobs(body: Mapping[str, Any]) -> int | None:
    return None if body.get("logprobs") is None else _integer(body, "logprobs", 0, 20, default=0)


def _chat_logprobs(body: Mapping[str, Any]) -> int | None:
    wanted, alternatives = _flag(body, "logprobs"), _integer(body, "top_logprobs", 0, 20, default=0)
    if body.get("top_logprobs") is not None and not wanted:
        raise invalid_value("top_logprobs", "requires logprobs: true")
    return alternatives if wanted else None

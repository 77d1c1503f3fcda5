"""OpenAI's dialect: what a completion may ask for, and errors in the form that its clients understand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

Route: TypeAlias = Literal["chat/completions", "completions"]

MOST_CHOICES = 128
MOST_TOKENS = 131_072
"""Of one choice; the length of the context that most servers stop at."""
MOST_STOPS = 4


class Problem(Exception):
    """An answer that is an error."""

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


def invalid(param: str | None, message: str) -> Problem:
    """A request that is wrong whatever the state of the gateway."""
    return Problem(400, f"{param}: {message}" if param else message, code="invalid_value", param=param)


@dataclass(frozen=True)
class Request:
    """A completion that is asked for."""

    route: Route
    body: Mapping[str, Any]
    """As it came, with `model` set to the name by which the deployment is known."""

    @property
    def chat(self) -> bool:
        return self.route == "chat/completions"

    @property
    def model(self) -> str:
        return cast(str, self.body["model"])


@dataclass(frozen=True)
class Options:
    """The fields of a completion's body that shape its answer, checked and with their defaults."""

    prompts: Sequence[str | Sequence[int]]
    """One of a chat; texts or token ids otherwise."""
    stream: bool = False
    include_usage: bool = False
    """Whether a stream ends with a chunk that holds the usage."""
    n: int = 1
    max_tokens: int = 16
    seed: int = 0
    stop: Sequence[str] = ()
    keep_stop: bool = False
    """Whether the stop sequence that ended a text is part of it."""
    ignore_end: bool = False
    """Whether the text goes on until `max_tokens`."""
    echo: bool = False
    logprobs: int | None = None
    """How many alternatives of each token are told; None when not even the token's own."""
    least: int = 1
    """Tokens that must find room after a prompt: `max_tokens` where the request names it."""

    @classmethod
    def of(cls, request: Request) -> "Options":
        """Read them from a body, or raise a `Problem` that names the field."""
        body = request.body
        stream = _flag(body, "stream")
        if body.get("stream_options") is not None and not stream:
            raise invalid("stream_options", "it goes with stream: true")
        _number(body, "temperature", 0, 2)
        _number(body, "top_p", 0, 1)
        _number(body, "presence_penalty", -2, 2)
        _number(body, "frequency_penalty", -2, 2)
        echo = not request.chat and _flag(body, "echo")
        usual = MOST_TOKENS if request.chat else 16
        longest = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
        return cls(
            prompts=[_conversation(body)] if request.chat else _prompts(body),
            stream=stream,
            include_usage=_flag(_mapping(body, "stream_options"), "include_usage", "stream_options."),
            n=_integer(body, "n", 1, MOST_CHOICES, default=1),
            max_tokens=_integer(body, longest, 0 if echo else 1, MOST_TOKENS, default=usual),
            seed=_integer(body, "seed", -(2**63), 2**63 - 1, default=0),
            stop=_stops(body),
            keep_stop=_flag(body, "include_stop_str_in_output"),
            ignore_end=_flag(body, "ignore_eos"),
            echo=echo,
            logprobs=_chat_logprobs(body) if request.chat else _legacy_logprobs(body),
            least=body.get(longest) or 1,
        )


def _flag(body: Mapping[str, Any], name: str, above: str = "") -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise invalid(above + name, f"expected true or false, got {value!r}")
    return bool(value)


def _integer(body: Mapping[str, Any], name: str, least: int, most: int, *, default: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise invalid(name, f"expected an integer from {least} to {most}, got {value!r}")
    return value


def _number(body: Mapping[str, Any], name: str, least: float, most: float) -> None:
    value = body.get(name)
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most
    ):
        raise invalid(name, f"expected a number from {least} to {most}, got {value!r}")


def _mapping(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise invalid(name, "expected an object")
    return cast(Mapping[str, Any], value or {})


def _stops(body: Mapping[str, Any]) -> list[str]:
    value = body.get("stop")
    stops = [value] if isinstance(value, str) else _list([] if value is None else value)
    if stops is None or not all(isinstance(each, str) and each for each in stops):
        raise invalid("stop", "expected a text or a list of texts, none of them empty")
    if len(stops) > MOST_STOPS:
        raise invalid("stop", f"at most {MOST_STOPS} sequences, got {len(stops)}")
    return cast(list[str], stops)


def _prompts(body: Mapping[str, Any]) -> list[str | list[int]]:
    """OpenAI takes a text, a list of texts, token ids, or a list of lists of token ids."""
    prompt = body.get("prompt")
    several = _list(prompt)
    prompts = [prompt] if several is None or _are_tokens(prompt) else several
    if not prompts or not all(isinstance(each, str) or _are_tokens(each) for each in prompts):
        raise invalid("prompt", "expected a text, token ids, or a list of either")
    return cast(list[str | list[int]], prompts)


def _are_tokens(value: object) -> bool:
    found = _list(value) or [None]
    return all(type(each) is int and each >= 0 for each in found)


def _conversation(body: Mapping[str, Any]) -> str:
    """The messages of a chat as one text, a line each."""
    messages = _list(body.get("messages"))
    if not messages:
        raise invalid("messages", "expected a list of at least one message")
    return "\n".join(_text(each, f"messages[{index}]") for index, each in enumerate(messages))


def _text(message: object, where: str) -> str:
    fields = _dict(message)
    if not isinstance(fields.get("role"), str):
        raise invalid(where, "expected an object with a role and a content")
    content = fields.get("content")
    parts = _list(content)
    if parts is not None:
        return " ".join(_part(part, f"{where}.content[{index}]") for index, part in enumerate(parts))
    if content is not None and not isinstance(content, str):
        raise invalid(f"{where}.content", "expected a text or a list of parts")
    return content or ""


def _part(part: object, where: str) -> str:
    fields = _dict(part)
    kind, text = fields.get("type"), fields.get("text")
    if not isinstance(kind, str) or (kind == "text" and not isinstance(text, str)):
        raise invalid(where, "expected an object with a type, and with a text where that is text")
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
        raise invalid("top_logprobs", "it goes with logprobs: true")
    return alternatives if wanted else None

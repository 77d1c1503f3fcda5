"""Responses of model servers: thin views of the JSON as received, which is available as `raw`."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

from ..errors import ProtocolError

Json: TypeAlias = dict[str, Any]
Values: TypeAlias = Sequence[Any]


class Usage:
    """How many tokens a completion used; 0 where the server did not say."""

    __slots__ = ("raw",)

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw
        """The JSON object as received; empty if there was none."""

    def __repr__(self) -> str:
        return f"Usage({dict(self.raw)!r})"

    def __bool__(self) -> bool:
        return bool(self.raw)

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt."""
        return self._count("prompt_tokens")

    @property
    def completion_tokens(self) -> int:
        """Tokens that the model generated."""
        return self._count("completion_tokens")

    @property
    def total_tokens(self) -> int:
        """Tokens in total."""
        return self._count("total_tokens") or self.prompt_tokens + self.completion_tokens

    def _count(self, name: str) -> int:
        value = self.raw.get(name)
        return value if isinstance(value, int) else 0


class Completion:
    """A whole completion. `raw` has everything; the attributes are what is usually needed, from the first choice."""

    __slots__ = ("raw",)

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw
        """The JSON object as received."""

    def __repr__(self) -> str:
        return f"Completion({self.text!r}, finish_reason={self.finish_reason!r})"

    @property
    def text(self) -> str:
        """The text of the first choice; empty if it has none (a tool call, for example)."""
        return text_of(first_choice(self.raw), "message")

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended: "stop", "length", "tool_calls" and so on."""
        return reason_of(first_choice(self.raw))

    @property
    def id(self) -> str:
        """The server's id of this completion."""
        return str(self.raw.get("id") or "")

    @property
    def model(self) -> str:
        """The model, as the server names it."""
        return str(self.raw.get("model") or "")

    @property
    def usage(self) -> Usage:
        """The tokens used."""
        return usage_of(self.raw)


class Chunk:
    """A piece of a streamed completion. With `n` above 1, `raw` says to which choice it belongs."""

    __slots__ = ("finish_reason", "raw", "text")

    def __init__(self, raw: dict[str, Any]) -> None:
        choice = first_choice(raw)
        self.raw = raw
        """The JSON object as received."""
        self.text = text_of(choice, "delta")
        """The new text; may be empty."""
        self.finish_reason = reason_of(choice)
        """Why the choice ended, in its last chunk; else None."""

    def __repr__(self) -> str:
        return f"Chunk({self.text!r}, finish_reason={self.finish_reason!r})"

    @property
    def has_content(self) -> bool:
        """Whether it shows that the model is working: text, reasoning, a tool call, log probabilities, or an end."""
        if self.text or self.finish_reason:
            return True
        choice = first_choice(self.raw)
        delta = choice.get("delta")
        if isinstance(delta, dict) and any(value for key, value in cast(Json, delta).items() if key != "role"):
            return True
        return bool(choice.get("logprobs") or choice.get("token_ids"))


class Model:
    """An entry of the list of models."""

    __slots__ = ("raw",)

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw
        """The JSON object as received."""

    def __repr__(self) -> str:
        return f"Model({self.id!r})"

    @property
    def id(self) -> str:
        """The name to use as `model`."""
        return str(self.raw.get("id") or "")


_NOTHING: Json = {}


def first_choice(raw: Json) -> Json:
    """Return the first choice, or an empty object."""
    choices = raw.get("choices")
    if isinstance(choices, list) and choices:
        choice: Any = cast(Values, choices)[0]
        if isinstance(choice, dict):
            return cast(Json, choice)
    return _NOTHING


def text_of(choice: Json, part: str) -> str:
    """Return the text of a choice: its own, or that of its message or delta."""
    inner = choice.get(part)
    text: Any = cast(Json, inner).get("content") if isinstance(inner, dict) else choice.get("text")
    if isinstance(text, str):
        return text
    return _joined(cast(Values, text)) if isinstance(text, list) else ""


def _joined(parts: Values) -> str:
    """Return the text of content that consists of parts."""
    texts = (cast(Json, each).get("text") for each in parts if isinstance(each, dict))
    return "".join(text for text in texts if isinstance(text, str))


def reason_of(choice: Json) -> str | None:
    """Return the finish reason of a choice."""
    reason = choice.get("finish_reason")
    return reason if isinstance(reason, str) else None


def usage_of(raw: Json) -> Usage:
    """Return the usage; empty if there is none."""
    usage = raw.get("usage")
    return Usage(cast(Json, usage) if isinstance(usage, dict) else _NOTHING)


def total_tokens(raw: Json) -> int:
    """Return the total tokens according to the usage of a response."""
    usage = raw.get("usage")
    if isinstance(usage, dict):
        total = cast(Json, usage).get("total_tokens")
        return total if isinstance(total, int) else usage_of(raw).total_tokens
    return 0


def check_completion(raw: Any, method: str) -> Json:
    """Return the response as a JSON object with choices. Raises ProtocolError."""
    if not isinstance(raw, dict) or not isinstance(cast(Json, raw).get("choices"), list):
        raise ProtocolError("the response is not a completion: it has no choices", method=method, http_status=200)
    return cast(Json, raw)


def check_models(raw: object, method: str) -> list[Model]:
    """Return the models in a response. Raises ProtocolError."""
    data: Any = cast(Json, raw).get("data") if isinstance(raw, dict) else raw
    if not isinstance(data, list):
        raise ProtocolError("the response is not a list of models", method=method, http_status=200)
    return [Model(cast(Json, each)) for each in cast(Values, data) if isinstance(each, dict)]

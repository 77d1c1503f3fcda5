"""Responses of model servers: thin views of the JSON as received, which is available as `raw`."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from .._html import Displayed, Table
from .._json import loads
from .._text import safe_headers
from ..errors import ProtocolError
from ..transports.http_errors import HttpHeaders
from ._usual_parts import ChunkChoice, UsualCompletion
from ._weights import Weights

Json: TypeAlias = dict[str, Any]
Values: TypeAlias = Sequence[Any]


class Usage:
    """How many tokens a completion used, as reported by the server; 0 where it did not say."""

    __slots__ = ("raw",)

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw
        """The JSON object as received."""

    def __repr__(self) -> str:
        return f"Usage({dict(self.raw)!r})"

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
        if isinstance(value, int):
            return int(value)
        return int(value) if isinstance(value, float) and math.isfinite(value) else 0


class Completion(Displayed):
    """A whole completion. `raw` has everything; the attributes are what is usually needed, from the first choice."""

    __slots__ = ("_headers", "_raw", "_received", "_usual", "attempts", "weights")

    def __init__(
        self, raw: dict[str, Any], headers: Any = None, attempts: int = 1, weights: Weights | None = None
    ) -> None:
        self._raw: Json | None = raw
        self._received = b""
        self._usual: UsualCompletion | None = None
        """What is known of it, as long as `raw` was not asked for."""
        self.attempts = attempts
        """How many times the request was sent."""
        self.weights = weights
        """Which weights the model had, before the request and after it; None unless `weights=True` asked for it."""
        self._headers: HttpHeaders | None = headers

    def __reduce__(self) -> tuple[Any, ...]:
        return Completion, (self.raw, self.headers, self.attempts, self.weights)

    def __repr__(self) -> str:
        return f"Completion({self.text!r}, finish_reason={self.finish_reason!r})"

    def _as_tables(self) -> Iterable[Table]:
        usage = self.usage
        counts = None if usage is None else f"{usage.prompt_tokens} + {usage.completion_tokens} = {usage.total_tokens}"
        rows = ("text", self.text), ("finish reason", self.finish_reason), ("model", self.model), ("tokens", counts)
        yield Table([each for each in rows if each[1] is not None])

    @property
    def raw(self) -> dict[str, Any]:
        """The JSON object as received."""
        if self._raw is None:
            self._raw, self._usual = loads(self._received), None
        return cast(Json, self._raw)

    @property
    def text(self) -> str:
        """The text of the first choice; empty if it has none (a tool call, for example)."""
        if self._usual is None:
            return text_of(first_choice(self.raw), "message")
        choice = self._usual.choices[0]
        return (choice.text if choice.message is None else choice.message.content) or ""

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended: "stop", "length", "tool_calls" and so on."""
        if self._usual is None:
            return reason_of(first_choice(self.raw))
        return self._usual.choices[0].finish_reason or None

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the response, by names in lower case, without secrets: the request id, for example."""
        return {} if self._headers is None else safe_headers(self._headers.items())

    @property
    def id(self) -> str:
        """The server's id of this completion."""
        return str(self.raw.get("id") or "")

    @property
    def model(self) -> str:
        """The model, as the server names it."""
        return str(self.raw.get("model") or "")

    @property
    def usage(self) -> Usage | None:
        """The tokens used; None if the server did not report them."""
        if self._usual is None:
            return usage_of(self.raw)
        return Usage(self._usual.usage) if self._usual.usage else None


class Chunk:
    """A piece of a streamed completion. With `n` above 1, `raw` says to which choice it belongs."""

    __slots__ = ("_raw", "_received", "finish_reason", "text")

    def __init__(self, raw: dict[str, Any], choice: dict[str, Any] | None = None) -> None:
        choice = first_choice(raw) if choice is None else choice
        self._raw: Json | None = raw
        self._received = b""
        self.text = text_of(choice, "delta")
        """The new text; may be empty."""
        self.finish_reason = reason_of(choice)
        """Why the choice ended, in its last chunk; else None."""

    @property
    def raw(self) -> dict[str, Any]:
        """The JSON object as received."""
        if self._raw is None:
            self._raw = loads(self._received)
        return cast(Json, self._raw)

    def __repr__(self) -> str:
        return f"Chunk({self.text!r}, finish_reason={self.finish_reason!r})"

    @property
    def has_content(self) -> bool:
        """Whether it shows that the model is working: text, reasoning, a tool call, log probabilities, or an end."""
        if self.text or self.finish_reason:
            return True
        choices = self.raw.get("choices")
        return isinstance(choices, list) and any(map(_has_content, cast(Values, choices)))


def unread_completion(received: bytes, usual: UsualCompletion, headers: Any, attempts: int) -> Completion:
    """Return a completion with one choice, of which the usual is known. Its `raw` is read when it is asked for."""
    completion: Any = _new(Completion)
    completion._raw, completion._received, completion._usual = None, received, usual
    completion._headers, completion.attempts, completion.weights = headers, attempts, None
    return cast(Completion, completion)


def unread_chunk(received: bytes, choice: ChunkChoice) -> Chunk:
    """Return the chunk of an event whose only choice is known. Its `raw` is read when it is asked for."""
    chunk: Any = _new(Chunk)
    chunk._raw, chunk._received = None, received
    delta = choice.delta
    chunk.text = (choice.text if delta is None else delta.content) or ""
    chunk.finish_reason = choice.finish_reason or None
    return chunk  # type: ignore[no-any-return]


_new = object.__new__


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


def _has_content(choice: Any) -> bool:
    if not isinstance(choice, dict):
        return False
    fields = cast(Json, choice)
    delta = fields.get("delta")
    if isinstance(delta, dict) and any(value for key, value in cast(Json, delta).items() if key != "role"):
        return True
    return bool(fields.get("text") or fields.get("finish_reason") or fields.get("logprobs") or fields.get("token_ids"))


def first_choice(raw: Json) -> Json:
    """Return the choice with the index 0, wherever it is in the list; else the first one, or an empty object."""
    choices = raw.get("choices")
    if not isinstance(choices, list) or not choices:
        return _NOTHING
    listed = cast(Values, choices)
    if len(listed) > 1:
        for each in listed:
            if isinstance(each, dict) and is_first(cast(Json, each)):
                return cast(Json, each)
    choice: Any = listed[0]
    return cast(Json, choice) if isinstance(choice, dict) else _NOTHING


def is_first(choice: Json) -> bool:
    """Return whether a choice is the one with the index 0; one without an index is."""
    index = choice.get("index")
    return not index or index == "0"


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
    return reason if isinstance(reason, str) and reason else None


def usage_of(raw: Json) -> Usage | None:
    """Return the usage; None if there is none."""
    usage = raw.get("usage")
    return Usage(cast(Json, usage)) if isinstance(usage, dict) and usage else None


def total_tokens(usage: Any) -> int:
    """Return the total tokens according to the usage in a response, if it has one."""
    if isinstance(usage, dict):
        total = cast(Json, usage).get("total_tokens")
        return total if type(total) is int else Usage(cast(Json, usage)).total_tokens
    return 0


def completion_tokens(usage: Any) -> int:
    """Return the generated tokens according to the usage in a response, if it has one."""
    if isinstance(usage, dict):
        generated = cast(Json, usage).get("completion_tokens")
        return generated if type(generated) is int else Usage(cast(Json, usage)).completion_tokens
    return 0


def check_completion(raw: Any) -> Json:
    """Return the response as a JSON object with choices. Raises ProtocolError."""
    if not isinstance(raw, dict) or not isinstance(cast(Json, raw).get("choices"), list):
        raise ProtocolError("the response is not a completion: it has no choices")
    return cast(Json, raw)


def check_models(raw: object) -> list[Model]:
    """Return the models in a response. Raises ProtocolError."""
    data: Any = cast(Json, raw).get("data") if isinstance(raw, dict) else raw
    if not isinstance(data, list):
        raise ProtocolError("the response is not a list of models")
    return [Model(cast(Json, each)) for each in cast(Values, data) if isinstance(each, dict)]

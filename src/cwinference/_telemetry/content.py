"""Prompts and responses as the semantic conventions write them: JSON texts of messages, which consist of parts."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

Json: TypeAlias = dict[str, Any]


def input_messages(body: Mapping[str, Any]) -> str:
    """Return the messages of a request, or its prompts."""
    if "messages" in body:
        return _text([_message(each) for each in body["messages"]])
    prompt: Any = body.get("prompt")
    prompts = cast(Sequence[Any], prompt) if isinstance(prompt, list) else [prompt]
    return _text([{"role": "user", "parts": _parts(each)} for each in prompts])


def output_messages(raw: Mapping[str, Any]) -> str:
    """Return the messages of a whole completion: one for each choice."""
    return _text([_output(choice, choice.get("message", choice)) for choice in choices_of(raw)])


class Texts:
    """The texts of a stream, put together: one for each choice."""

    def __init__(self) -> None:
        self._texts: dict[Any, list[str]] = {}
        self._reasons: Json = {}

    def add(self, raw: Mapping[str, Any]) -> None:
        """Add those of a chunk."""
        for choice in choices_of(raw):
            delta: Any = choice.get("delta", choice)
            index = choice.get("index", 0)
            fields: Json = cast(Json, delta) if isinstance(delta, dict) else {}
            text = fields.get("content", fields.get("text"))
            texts = self._texts.setdefault(index, [])
            if isinstance(text, str):
                texts.append(text)
            if choice.get("finish_reason"):
                self._reasons[index] = choice["finish_reason"]

    def messages(self) -> str:
        """Return them as messages."""
        return _text(
            [
                _output({"finish_reason": self._reasons.get(index)}, {"content": "".join(texts)})
                for index, texts in self._texts.items()
            ]
        )


def choices_of(raw: Mapping[str, Any]) -> Iterator[Json]:
    """Yield the choices in a response or a chunk."""
    choices: Any = raw.get("choices")
    for choice in cast(Sequence[Any], choices) if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            yield cast(Json, choice)


def _output(choice: Json, message: Any) -> Json:
    shown = _message({"role": "assistant", **message} if isinstance(message, dict) else message)
    return {**shown, "finish_reason": choice.get("finish_reason") or "stop"}


def _message(message: Any) -> Json:
    if not isinstance(message, Mapping):
        return {"role": "user", "parts": _parts(message)}
    fields = cast(Mapping[str, Any], message)
    role, content = fields.get("role", "user"), fields.get("content", fields.get("text"))
    if role == "tool":
        return {
            "role": role,
            "parts": [{"type": "tool_call_response", "id": fields.get("tool_call_id"), "response": content}],
        }
    calls: Any = fields.get("tool_calls")
    return {"role": role, "parts": [*_parts(content), *map(_tool_call, calls or ())]}


def _tool_call(call: Any) -> Json:
    function = call.get("function", {})
    return {
        "type": "tool_call",
        "id": call.get("id"),
        "name": function.get("name"),
        "arguments": function.get("arguments"),
    }


def _parts(content: Any) -> list[Json]:
    if isinstance(content, list):
        return list(map(_part, cast(Sequence[Any], content)))
    return [] if content is None else [{"type": "text", "content": content}]


def _part(part: Any) -> Json:
    """Return a part of a message, which is kept only if it is text: an image is too large for a span."""
    text = cast(Json, part).get("text") if isinstance(part, dict) else None
    return {"type": "other"} if text is None else {"type": "text", "content": text}


def _text(messages: list[Json]) -> str:
    return json.dumps(messages, ensure_ascii=False, default=str)

"""Completions that a function of the user's makes, so that a test decides what the model says."""

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, cast

from ...._text import one_line
from ..openai_request import NOT_SUPPORTED, CompletionOptions, GatewayError, ModelRequest
from ..response import ResponseWriter, encode_json
from .pace import Pace
from .sending import PacedSender, Sleep
from .shapes import Choice, Piece, ToolCall, to_pieces, to_tool_pieces
from .text_generator import tokens

Function: TypeAlias = Callable[[Mapping[str, Any]], object]

_EXPECTED = "a string, a list of strings, or a mapping with content, tool_calls and finish_reason"
_KEYS = {"content", "tool_calls", "finish_reason"}
_log = logging.getLogger("cwinference.emulator")


class ScriptedModel:
    """Calls a function for each choice of each request. Nothing of a request is checked but what shapes the response.

    What the function does not return, such as a text of at most `max_tokens`, the response does not have: the function
    decides.
    """

    def __init__(self, function: Function, pace: Pace | None = None, *, sleep: Sleep = asyncio.sleep) -> None:
        self._function = function
        self._sender = PacedSender(pace or Pace(), sleep)

    def start(self) -> None:
        """Do nothing: there is no model to load."""

    def close(self) -> None:
        """Do nothing: there is no model to release."""

    async def complete(self, request: ModelRequest, response: ResponseWriter) -> None:
        """Send what the function returns."""
        options = replace(CompletionOptions.from_request(request, NOT_SUPPORTED.keys()), echo=False)
        prompts = range(len(options.prompts))
        choices = [_choice(index, await self._result(request), request) for index in range(options.n * len(prompts))]
        sizes = sum(len(tokens(each)) if isinstance(each, str) else len(each) for each in options.prompts)
        await self._sender.send(request, options, choices, sizes, response)

    async def _result(self, request: ModelRequest) -> object:
        body = json.loads(encode_json(request.body))  # a copy, which the function may change
        try:
            if inspect.iscoroutinefunction(self._function):
                return await cast(Awaitable[object], self._function(body))
            # On a thread of its own, since it may wait for something, perhaps for another request to this emulator.
            result = await asyncio.to_thread(self._function, body)
            # An object may be called like a function, and turn out to be asynchronous only then.
            return await cast(Awaitable[object], result) if inspect.isawaitable(result) else result
        except GatewayError:
            raise
        except Exception as error:
            _log.exception("the function of the model failed")
            text = f"the function of the emulator's model raised {type(error).__name__}: {one_line(str(error))}"
            raise GatewayError(500, text, code="model_failed") from None


def _choice(index: int, result: object, request: ModelRequest) -> Choice:
    said = cast(Mapping[str, Any], result) if isinstance(result, Mapping) else {"content": result}
    calls = said.get("tool_calls")
    content = said.get("content")
    if unknown := said.keys() - _KEYS:
        raise _unusable(f"a mapping with {sorted(unknown)[0]!r}")
    if calls and not request.is_chat:
        raise _unusable("tool_calls for a request that is no chat")
    pieces: list[Piece] = [*to_pieces([], _texts(content, may_be_none=bool(calls)))]
    for number, call in enumerate(_list(calls)):
        pieces += _call_pieces(number, call)
    reason = said.get("finish_reason") or ("tool_calls" if calls else "stop")
    if not isinstance(reason, str):
        raise _unusable(f"the finish_reason {reason!r}")
    return Choice(index, pieces, reason, len(pieces))


def _texts(content: object, *, may_be_none: bool) -> Sequence[str]:
    if isinstance(content, str):
        return tokens(content)
    if content is None and may_be_none:
        return []
    pieces = _list(content)
    if content is None or not all(isinstance(each, str) for each in pieces):
        raise _unusable(repr(content)[:100])
    return cast(Sequence[str], pieces)


def _call_pieces(number: int, call: object) -> Iterator[Piece]:
    fields = cast(Mapping[str, Any], call if isinstance(call, Mapping) else {})
    name, arguments = fields.get("name"), fields.get("arguments", {})
    if not isinstance(name, str) or fields.keys() - {"name", "arguments", "id"}:
        raise _unusable(f"the tool call {call!r}; one is a mapping with name and arguments")
    text = arguments if isinstance(arguments, str) else encode_json(arguments).decode()
    chosen = ToolCall(number, name, str(fields["id"])) if "id" in fields else ToolCall(number, name)
    yield from to_tool_pieces(chosen, tokens(text))


def _list(value: object) -> Sequence[object]:
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise _unusable(repr(value)[:100])
    return cast(Sequence[object], value)


def _unusable(what: str) -> GatewayError:
    text = f"the function of the emulator's model returned {one_line(what)}; expected {_EXPECTED}"
    return GatewayError(500, text, code="model_failed")

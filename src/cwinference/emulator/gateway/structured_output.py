"""What a chat asks of the form of its response: a call of one of its tools, or JSON."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from .openai_request import GatewayError, invalid_value

FIELDS = frozenset({"tools", "tool_choice", "response_format"})
"""The fields that this module reads."""
_MAX_TOOLS = 128
_NAME = re.compile(r"[\w.:-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class StructuredOutput:
    """A response that is JSON."""

    schema: object
    """The JSON schema that it has to fit."""
    tool: str | None = None
    """The function whose arguments it is; None: it is the text of the response."""


def structured_output(body: Mapping[str, Any]) -> StructuredOutput | None:
    """Return the form that the response to a chat shall have; None: it is text.

    A tool that the chat leaves to the model is called, unless its last message is the result of a call: so a
    conversation comes to an end.

    Raises:
        GatewayError: a field has a wrong value.
    """
    tools, response_format = _tools(body), _response_format(body)
    choice = _tool_choice(body, tools)
    if choice == "none" or not tools:
        return response_format
    if isinstance(choice, StructuredOutput):
        return choice
    last = cast(list[Any], body.get("messages") or [{}])[-1]
    if choice == "auto" and isinstance(last, dict) and cast(Any, last).get("role") in ("tool", "function"):
        return response_format
    content = str(cast(Any, last).get("content")) if isinstance(last, dict) else ""
    return next((tools[name] for name in tools if name in content), next(iter(tools.values())))


def _tools(body: Mapping[str, Any]) -> Mapping[str, StructuredOutput]:
    value = body.get("tools")
    if value is None:
        return {}
    entries = cast(list[object], value) if isinstance(value, list) else [None] * (_MAX_TOOLS + 1)
    if len(entries) > _MAX_TOOLS:
        raise invalid_value("tools", f"expected a list of at most {_MAX_TOOLS} tools")
    tools: dict[str, StructuredOutput] = {}
    for index, each in enumerate(entries):
        function = _function(each, f"tools[{index}]", "tools")
        if function["name"] in tools:
            raise _invalid("tools", f"tools[{index}]: there is another one called {function['name']!r}")
        parameters = function.get("parameters")
        tools[function["name"]] = StructuredOutput(
            {"type": "object"} if parameters is None else parameters, function["name"]
        )
    return tools


def _tool_choice(body: Mapping[str, Any], tools: Mapping[str, StructuredOutput]) -> str | StructuredOutput:
    value = body.get("tool_choice")
    if value is None:
        return "auto"
    if value in ("none", "auto", "required"):
        if not tools and value != "none":
            raise invalid_value("tool_choice", "requires tools")
        return cast(str, value)
    name = _function(value, "tool_choice", "tool_choice")["name"]
    if name not in tools:
        raise invalid_value("tool_choice", f"there is no tool called {name!r}")
    return tools[name]


def _function(value: object, location: str, param: str) -> Mapping[str, Any]:
    fields = cast(Mapping[str, Any], value if isinstance(value, dict) else {})
    function = fields.get("function")
    if fields.get("type") != "function" or not isinstance(function, dict):
        raise _invalid(param, f"{location}: expected an object with type 'function' and a function")
    name = cast(Mapping[str, Any], function).get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _invalid(param, f"{location}.function.name: expected up to 64 letters, digits, _ and -")
    return cast(Mapping[str, Any], function)


def _response_format(body: Mapping[str, Any]) -> StructuredOutput | None:
    value = body.get("response_format")
    fields = cast(Mapping[str, Any], value if isinstance(value, dict) else {})
    kind = "text" if value is None else fields.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        schema: object = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
        return StructuredOutput(schema)
    if kind != "json_schema":
        raise invalid_value("response_format", "expected an object with type text, json_object or json_schema")
    described = fields.get("json_schema")
    named = cast(Mapping[str, Any], described if isinstance(described, dict) else {})
    if not isinstance(named.get("schema"), dict):
        raise invalid_value("response_format", "json_schema.schema: expected a JSON schema")
    return StructuredOutput(named["schema"])


def _invalid(param: str, message: str) -> GatewayError:
    return GatewayError(400, message, code="invalid_value", param=param)

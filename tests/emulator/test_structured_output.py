"""The built-in text generator calls tools and writes JSON: what fits the schema, or a clear refusal; never ignored."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cwinference.emulator.gateway.models.json_values import UnsupportedSchema, value_for
from cwinference.emulator.gateway.models.text_generator import TextGenerator
from tests.support.asgi_requests import AppResponse, call_app
from tests.support.json_schemas import mistakes

from .gateway_requests import MODEL, OURS, completions_app

WEATHER: Any = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 10},
        "unit": {"enum": ["celsius", "kelvin"]},
        "days": {"type": "integer", "minimum": 3, "maximum": 7},
        "at": {"type": "string", "format": "date-time"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "minItems": 2},
        "place": {"anyOf": [{"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}]},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "?", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "send_mail", "parameters": {"type": "object", "properties": {}}}},
    {"type": "function", "function": {"name": "ping"}},
]
ASK = [{"role": "user", "content": "What will the weather be?"}]
NAMED = {"type": "function", "function": {"name": "send_mail"}}


async def chat(messages: Any = ASK, **body: Any) -> AppResponse:
    app = completions_app(TextGenerator())
    sent = {"model": MODEL, "messages": messages, **body}
    return await call_app(app, "POST", "/gateway/front/v1/chat/completions", sent, OURS)


def called(response: AppResponse) -> list[tuple[str, Any]]:
    """Return names and arguments of the calls in the first choice of a response, streamed or not."""
    if not response.headers["content-type"].startswith("text/event-stream"):
        calls = response.json["choices"][0]["message"]["tool_calls"]
        assert all(each["type"] == "function" and each["id"].startswith("call_") for each in calls)
        return [(each["function"]["name"], json.loads(each["function"]["arguments"])) for each in calls]
    found: dict[int, list[str]] = {}
    for event in response.events[:-1]:
        for each in event["choices"][0]["delta"].get("tool_calls", []) if event["choices"] else []:
            if "id" in each:
                found[each["index"]] = [each["function"]["name"], ""]
            found[each["index"]][1] += each["function"]["arguments"]
    return [(name, json.loads(text)) for name, text in found.values()]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_is_called_with_arguments_that_fit_its_schema(stream: bool) -> None:
    response = await chat(tools=TOOLS, stream=stream, tool_choice="required")
    [(name, arguments)] = called(response)
    assert name == "get_weather"
    assert mistakes(arguments, WEATHER) == []
    assert arguments.keys() == WEATHER["properties"].keys()
    reasons = [each["choices"][0]["finish_reason"] for each in (response.events[:-1] if stream else [response.json])]
    assert reasons[-1] == "tool_calls"
    if not stream:
        assert response.json["choices"][0]["message"]["content"] is None


@pytest.mark.parametrize(
    ("messages", "choice", "expected"),
    [
        (ASK, None, "get_weather"),
        (ASK, "auto", "get_weather"),
        ([{"role": "user", "content": "please send_mail"}], "auto", "send_mail"),
        (ASK, NAMED, "send_mail"),
        ([*ASK, {"role": "tool", "tool_call_id": "1", "content": "17"}], "required", "get_weather"),
        ([*ASK, {"role": "tool", "tool_call_id": "1", "content": "17"}], "auto", None),
        (ASK, "none", None),
    ],
)
async def test_the_choice_of_a_tool_is_respected(messages: Any, choice: Any, expected: str | None) -> None:
    response = await chat(messages, tools=TOOLS, **({} if choice is None else {"tool_choice": choice}))
    if expected is None:
        assert response.json["choices"][0]["message"].keys() == {"role", "content"}
        assert response.json["choices"][0]["finish_reason"] == "stop"
    else:
        assert [name for name, _ in called(response)] == [expected]


async def test_a_tool_without_parameters_is_called_with_none() -> None:
    choice = {"type": "function", "function": {"name": "ping"}}
    assert called(await chat(tools=TOOLS, tool_choice=choice)) == [("ping", {})]


async def test_arguments_are_cut_off_at_the_limit_of_tokens() -> None:
    response = await chat(tools=TOOLS, max_tokens=4)
    choice = response.json["choices"][0]
    assert choice["finish_reason"] == "length"
    assert response.json["usage"]["completion_tokens"] == 4
    with pytest.raises(ValueError, match="Unterminated|Expecting"):
        json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"])


def text_of(response: AppResponse) -> str:
    if not response.headers["content-type"].startswith("text/event-stream"):
        return str(response.json["choices"][0]["message"]["content"])
    return "".join(each["choices"][0]["delta"].get("content", "") for each in response.events[:-1])


@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_fits_the_schema_that_the_format_names(stream: bool) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "w", "strict": True, "schema": WEATHER}}
    response = await chat(response_format=wanted, stream=stream)
    assert mistakes(json.loads(text_of(response)), WEATHER) == []


@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_can_be_any_json_object(stream: bool) -> None:
    response = await chat(response_format={"type": "json_object"}, stream=stream, n=1)
    assert isinstance(json.loads(text_of(response)), dict)


async def test_tools_and_a_format_can_be_combined() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "w", "schema": WEATHER}}
    assert called(await chat(tools=TOOLS, response_format=wanted))[0][0] == "get_weather"
    after = [*ASK, {"role": "tool", "tool_call_id": "1", "content": "17"}]
    assert json.loads(text_of(await chat(after, tools=TOOLS, response_format=wanted)))["days"] == 3


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("tools", "hammer", "expected a list of at most 128 tools"),
        ("tools", {}, "expected a list"),
        ("tools", [5], "tools[0]: expected an object with type 'function'"),
        ("tools", [{"type": "retrieval"}], "tools[0]: expected an object with type 'function'"),
        ("tools", [{"type": "function", "function": {"name": "a b"}}], "tools[0].function.name: expected up to"),
        ("tools", [TOOLS[2]] * 2, "tools[1]: there is another one called 'ping'"),
        ("tool_choice", "auto", "requires tools"),
        ("tool_choice", 5, "expected an object with type 'function'"),
        ("tool_choice", NAMED, "there is no tool called 'send_mail'"),
        ("response_format", "text", "expected an object with type text, json_object or json_schema"),
        ("response_format", {}, "expected an object with type"),
        ("response_format", {"type": "yaml"}, "expected an object with type"),
        ("response_format", {"type": "json_schema"}, "json_schema.schema: expected a JSON schema"),
        ("functions", [{"name": "f"}], "does not support it yet"),
    ],
)
async def test_a_wrong_value_is_refused(field: str, value: Any, text: str) -> None:
    response = await chat(**{field: value})
    assert (response.status, response.error["param"]) == (400, field)
    assert text in response.error["message"]


async def test_what_would_spoil_the_json_is_refused() -> None:
    for field, value in (("ignore_eos", True), ("min_tokens", 5)):
        response = await chat(response_format={"type": "json_object"}, **{field: value})
        assert (response.status, response.error["param"]) == (400, field)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "string", "pattern": "^a+$"}, "$: the emulator's text generator does not know 'pattern'"),
        ({"properties": {"a": {"not": {}}}, "required": ["a"]}, "$.a: the emulator's text generator does not know"),
        ({"type": "kitten"}, "$.type: expected one of object, array"),
        ({"$ref": "#/$defs/a"}, "$.$ref: there is no #/$defs/a"),
        ({"$ref": "https://example.com/schema"}, "$.$ref: expected a reference inside the schema"),
        ({"$ref": "#"}, "the schema has no end"),
        ({"type": "integer", "minimum": 2, "maximum": 1}, "$: no number is in this range"),
        ({"type": "string", "minLength": 5, "maxLength": 3}, "$: cannot make something with minLength 5"),
        ({"enum": []}, "$.enum: expected a list of values"),
        ({"anyOf": []}, "$: expected a list of schemas"),
        ({"properties": 3}, "$: expected properties as an object"),
        ({"required": ["a"], "additionalProperties": False}, "$.a: expected a schema, got false"),
        ({"type": "array", "items": 5, "minItems": 1}, "$[0]: expected a schema, got 5"),
        ({"type": "array", "minItems": 10**6}, "$: cannot make something with minItems"),
        ({"type": "object", "minProperties": 1}, "cannot make so many properties"),
        ({"required": [{}]}, "$: expected properties as an object, and required as a list of names"),
        ({"type": "object", "minProperties": "a"}, "$: cannot make something with minProperties 'a'"),
        ({"allOf": [{"required": False}, {"required": []}]}, "$: the emulator's text generator cannot combine two"),
        ({"allOf": [{"properties": []}, {"properties": {}}]}, "$: the emulator's text generator cannot combine two"),
        ({"type": "integer", "minimum": 10**400}, "$.minimum: expected a number of at most 1e+300"),
        ({"type": "number", "minimum": 1e300, "multipleOf": 1e-300}, "$.multipleOf: cannot make a multiple of"),
        ({"type": "number", "multipleOf": 0}, "$.multipleOf: cannot make a multiple of 0"),
    ],
)
async def test_a_schema_that_it_does_not_understand_is_refused_with_the_place(schema: Any, text: str) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "w", "schema": schema}}
    response = await chat(response_format=wanted)
    assert (response.status, response.error["code"]) == (400, "unsupported_parameter")
    assert text in response.error["message"]


def test_schemas_that_refer_to_themselves_come_to_an_end() -> None:
    node = {"$ref": "#/$defs/node"}
    properties = {"next": {"anyOf": [node, {"type": "null"}]}, "children": {"type": "array", "items": node}}
    tree = {"$defs": {"node": {"type": "object", "properties": properties, "required": ["next"]}}, **node}
    assert mistakes(value_for(tree), tree) == []
    wide = {"type": "object", "properties": {str(each): {"$ref": "#"} for each in range(50)}}
    with pytest.raises(UnsupportedSchema):
        value_for({"$ref": "#/a", "a": {"allOf": [{"$ref": "#/a"}]}})
    assert isinstance(value_for(wide), dict)


def numbers(kind: str) -> st.SearchStrategy[Any]:
    bounds = {"minimum": st.integers(-50, 0), "maximum": st.integers(0, 50), "exclusiveMinimum": st.integers(-50, -2)}
    return st.fixed_dictionaries({"type": st.just(kind)}, optional=bounds | {"multipleOf": st.integers(1, 50)})


LENGTHS: dict[str, st.SearchStrategy[Any]] = {"minLength": st.integers(0, 9), "maxLength": st.integers(9, 20)}
LEAVES = (
    numbers("integer")
    | numbers("number")
    | st.fixed_dictionaries({"type": st.just("string")}, optional=LENGTHS)
    | st.just({"type": "boolean"})
    | st.just({"type": ["null", "string"]})
    | st.builds(lambda values: {"enum": values}, st.lists(st.integers() | st.text(), min_size=1))
    | st.builds(lambda value: {"const": value}, st.integers() | st.none())
)
SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(
            lambda properties, required: {
                "type": "object",
                "properties": properties,
                "required": [name for name in properties if required or name < "m"],
                "additionalProperties": False,
            },
            st.dictionaries(st.text(max_size=5), inner, max_size=4),
            st.booleans(),
        )
        | st.builds(lambda items, least: {"type": "array", "items": items, "minItems": least}, inner, st.integers(0, 3))
        | st.builds(lambda schemas: {"anyOf": schemas}, st.lists(inner, min_size=1, max_size=3))
    ),
    max_leaves=8,
)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(SCHEMAS)
def test_what_it_makes_fits_any_schema(schema: Any) -> None:
    assert mistakes(value_for(schema), schema) == []

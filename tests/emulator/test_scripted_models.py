"""`Emulator(model=callable)`: a function decides what the model says; and how fast any model inside seems to be."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import pytest

from cwinference import Inference, errors
from cwinference.emulator import Emulator
from cwinference.emulator.gateway.models.pace import Pace
from cwinference.emulator.gateway.models.scripted import ScriptedModel
from cwinference.emulator.gateway.models.text_generator import TextGenerator
from cwinference.errors import ConfigurationError
from tests.support.asgi_requests import AppResponse, call_app
from tests.support.ready_gateways import ready_gateway

from .gateway_requests import MODEL, OURS, completions_app

openai = pytest.importorskip("openai")
ASK: Any = [{"role": "user", "content": "Hi"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


async def post(model: Any, body: Any, route: str = "chat/completions") -> AppResponse:
    return await call_app(completions_app(model), "POST", f"/gateway/front/v1/{route}", {"model": MODEL, **body}, OURS)


async def said_by(function: Any, **body: Any) -> Any:
    response = await post(ScriptedModel(function), {"messages": ASK, **body})
    assert response.status == 200, response.body
    return response.json["choices"][0]


async def test_a_function_gets_the_request_and_its_text_is_the_response() -> None:
    seen: list[Any] = []

    def model(body: Mapping[str, Any]) -> str:
        seen.append(body)
        return f"You said {body['messages'][0]['content']}."

    choice = await said_by(model, temperature=0.5, logit_bias={"1": 2})
    assert choice["message"] == {"role": "assistant", "content": "You said Hi."}
    assert choice["finish_reason"] == "stop"
    assert seen == [{"model": MODEL, "messages": ASK, "temperature": 0.5, "logit_bias": {"1": 2}}]


async def test_a_function_can_be_async_and_may_change_what_it_gets() -> None:
    async def model(body: Any) -> str:
        await asyncio.sleep(0)
        return str(body.pop("messages")[0]["content"])

    class Model:
        async def __call__(self, body: Any) -> str:
            return await model(body)

    for each in (model, Model()):
        response = await post(ScriptedModel(each), {"messages": ASK, "n": 2})
        assert [choice["message"]["content"] for choice in response.json["choices"]] == ["Hi", "Hi"]


async def test_the_pieces_of_a_list_are_the_chunks_of_a_stream() -> None:
    response = await post(ScriptedModel(lambda body: ["Hel", "", "lo"]), {"messages": ASK, "stream": True})
    deltas = [each["choices"][0]["delta"] for each in response.events[:-1]]
    assert [each["content"] for each in deltas if "content" in each] == ["", "Hel", "", "lo"]
    assert (await said_by(lambda body: ["Hel", "lo"]))["message"]["content"] == "Hello"


async def test_text_completions_are_scripted_too() -> None:
    response = await post(ScriptedModel(lambda body: body["prompt"] * 2), {"prompt": "ab"}, "completions")
    assert response.json["choices"][0]["text"] == "abab"


async def test_a_mapping_can_call_tools_and_end_otherwise() -> None:
    calls = [{"name": "a", "arguments": {"x": 1}}, {"name": "b", "arguments": "{}", "id": "mine"}]
    choice = await said_by(lambda body: {"content": "Wait.", "tool_calls": calls}, tools=[WEATHER])
    assert choice["message"]["content"] == "Wait."
    assert [each["function"] for each in choice["message"]["tool_calls"]] == [
        {"name": "a", "arguments": '{"x":1}'},
        {"name": "b", "arguments": "{}"},
    ]
    assert choice["message"]["tool_calls"][1]["id"] == "mine"
    assert choice["finish_reason"] == "tool_calls"
    assert (await said_by(lambda body: {"content": "", "finish_reason": "content_filter"}))["finish_reason"] == (
        "content_filter"
    )


@pytest.mark.parametrize(
    "result",
    [None, 5, {"text": "a"}, [1], {"tool_calls": [5]}, {"tool_calls": 5}, {"content": "a", "finish_reason": 5}, b"a"],
)
async def test_what_is_no_completion_is_an_error_that_says_so(result: Any) -> None:
    response = await post(ScriptedModel(lambda body: result), {"messages": ASK})
    assert (response.status, response.error["code"]) == (500, "model_failed")
    assert "expected a string" in response.error["message"]


async def test_what_a_function_raises_is_an_error_response(caplog: Any) -> None:
    def model(body: Any) -> str:
        raise ValueError("no\nidea")

    response = await post(ScriptedModel(model), {"messages": ASK})
    assert (response.status, response.error["type"]) == (500, "server_error")
    assert response.error["message"].endswith("raised ValueError: no idea")
    assert "the function of the model failed" in caplog.text


@pytest.mark.parametrize("stream", [False, True])
async def test_responses_have_the_pace_that_was_asked_for(stream: bool) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    model = ScriptedModel(lambda body: list("abcd"), Pace(0.5, 10), sleep=sleep)
    await post(model, {"messages": ASK, "stream": stream})
    assert slept == ([0.5, 0.1, 0.1, 0.1] if stream else [pytest.approx(0.8)])


async def test_jitter_is_the_same_for_the_same_seed() -> None:
    pace = Pace(1, 100, 0.5)
    first, again, other = (list(islice(pace.pauses(seed), 50)) for seed in (1, 1, 2))
    assert first == again != other
    assert 0.5 <= first[0] <= 1.5
    assert all(0.005 <= each <= 0.015 for each in first[1:])
    assert len(set(first)) == 50


@pytest.mark.parametrize(
    "settings",
    [{"first_token": -1}, {"first_token": float("nan")}, {"tokens_per_second": 0}, {"jitter": 1.1}, {"jitter": True}],
)
def test_a_wrong_pace_is_refused(settings: Any) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        Emulator(**settings)


def test_a_model_of_another_process_takes_no_pace() -> None:
    with pytest.raises(ConfigurationError, match="first_token, tokens_per_second, jitter: only the built-in"):
        Emulator(model="http://127.0.0.1:1", first_token=1)


@pytest.fixture(params=["built-in", "function"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of a gateway whose model calls the tool, built in or scripted."""

    def model(body: Any) -> object:
        if body.get("response_format"):
            return '{"city": "Oslo"}'
        return {"tool_calls": [{"name": "get_weather", "arguments": {"city": "Oslo"}}]}

    function: Any = {"model": model} if request.param == "function" else {}
    with ready_gateway(**function) as ready:
        yield ready.endpoint


@pytest.fixture
def front(url: str) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="CW-SECRET-emulator-admin", max_retries=0) as client:
        yield client


def test_the_openai_package_reads_tool_calls_and_streams_of_them(front: Any) -> None:
    [call] = front.chat.completions.create(model=MODEL, messages=ASK, tools=[WEATHER]).choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments).keys() == {"city"}
    with front.chat.completions.stream(model=MODEL, messages=ASK, tools=[WEATHER]) as stream:
        final = stream.get_final_completion()
    assert json.loads(final.choices[0].message.tool_calls[0].function.arguments).keys() == {"city"}
    assert final.choices[0].finish_reason == "tool_calls"


def test_the_openai_package_parses_a_structured_response(front: Any) -> None:
    pydantic = pytest.importorskip("pydantic")
    weather = pydantic.create_model("Weather", city=(str, ...))
    parsed = front.chat.completions.parse(model=MODEL, messages=ASK, response_format=weather)
    assert parsed.choices[0].message.parsed.city
    with front.chat.completions.stream(model=MODEL, messages=ASK, response_format=weather) as stream:
        assert stream.get_final_completion().choices[0].message.parsed.city


def test_our_own_client_shows_an_error_of_the_function() -> None:
    def model(body: Any) -> str:
        raise ValueError("no idea")

    with ready_gateway(model=model) as ready:
        inference = Inference(ready.endpoint, token=ready.emulator.token)
        with inference, pytest.raises(errors.Internal, match="no idea"):
            inference.chat.completions.create(model=MODEL, messages=ASK, retry=None)


async def test_the_built_in_generator_has_a_pace_too() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    body = {"messages": ASK, "stream": True, "max_tokens": 3}
    await post(TextGenerator(Pace(0.5, 10), sleep=sleep), body)
    assert slept == [0.5, 0.1, 0.1]

"""The clients of the openai package that `openai()` returns: they use the right URL, token and headers."""

import sys
from typing import Any

import pytest

from cwinference import TLS, errors, types
from cwinference.inference import AsyncInference, Inference
from tests.support.scripted_model_server import (
    DONE,
    MODEL,
    HttpRequest,
    ScriptedModelServer,
    ScriptedResponse,
    chunk_event,
    completion,
    json_response,
    stream_response,
)

openai = pytest.importorskip("openai")

UNREACHABLE = "http://127.0.0.1:9"
MESSAGES: Any = [{"role": "user", "content": "Hi"}]
ROUTINGS: list[tuple[Any, str]] = [
    (types.BodyBasedRouting(), "/v1/chat/completions"),
    (types.HeaderBasedRouting(header_name="X-Model"), "/v1/chat/completions"),
    (types.PathBasedRouting(), "/org%2Fmodel/v1/chat/completions"),
]


def respond(request: HttpRequest) -> ScriptedResponse:
    if request.body.get("stream"):
        return stream_response(chunk_event("Par"), chunk_event("is", "stop"), DONE)
    return json_response({**completion(), "created": 1})


@pytest.mark.parametrize(("routing", "path"), ROUTINGS)
def test_the_sync_client_completes_and_streams(routing: Any, path: str) -> None:
    with (
        ScriptedModelServer(respond) as server,
        Inference(server.url, token="CW-SECRET-x", routing=routing) as inference,
        inference.openai(model=MODEL) as client,
    ):
        whole = client.chat.completions.create(model=MODEL, messages=MESSAGES)
        pieces = list(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    assert whole.choices[0].message.content == "Paris"
    assert "".join(each.choices[0].delta.content or "" for each in pieces) == "Paris"
    assert [each.path for each in server.requests] == [path] * 2
    assert {each.headers["authorization"] for each in server.requests} == {"Bearer CW-SECRET-x"}
    if isinstance(routing, types.HeaderBasedRouting):
        assert server.requests[0].headers["x-model"] == MODEL


@pytest.mark.parametrize(("routing", "path"), ROUTINGS)
async def test_the_async_client_completes_and_streams(routing: Any, path: str) -> None:
    async def token() -> str:
        return "of-a-coroutine"

    with ScriptedModelServer(respond) as server:
        async with (
            AsyncInference(server.url, token=token, routing=routing) as inference,
            inference.openai(MODEL) as client,
        ):
            whole = await client.chat.completions.create(model=MODEL, messages=MESSAGES)
            stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
            pieces = [each async for each in stream]
    assert whole.choices[0].message.content == "Paris"
    assert "".join(each.choices[0].delta.content or "" for each in pieces) == "Paris"
    assert [each.path for each in server.requests] == [path] * 2
    assert {each.headers["authorization"] for each in server.requests} == {"Bearer of-a-coroutine"}


def test_explicit_options_take_precedence() -> None:
    with (
        Inference(UNREACHABLE, token="t", timeout=5) as inference,
        inference.openai(max_retries=7, timeout=3) as client,
    ):
        assert (client.max_retries, client.timeout) == (7, 3)
        assert str(client.base_url) == f"{UNREACHABLE}/v1/"


@pytest.mark.parametrize("routing", [types.PathBasedRouting(), types.HeaderBasedRouting(header_name="x-model")])
def test_a_model_is_required_where_the_routing_needs_it(routing: Any) -> None:
    with (
        Inference(UNREACHABLE, routing=routing) as inference,
        pytest.raises(errors.ConfigurationError, match="model"),
    ):
        inference.openai()


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with (
        Inference(UNREACHABLE) as inference,
        pytest.raises(errors.ConfigurationError, match=r"pip install 'cwinference\[openai\]'$"),
    ):
        inference.openai()


def redirecting_to(server: ScriptedModelServer) -> ScriptedModelServer:
    location = f"{server.url}/v1/chat/completions"
    return ScriptedModelServer(lambda _: ScriptedResponse(status=307, headers={"location": location}))


def test_the_sync_client_follows_no_redirect_to_which_the_prompt_would_go() -> None:
    with ScriptedModelServer(respond) as elsewhere, redirecting_to(elsewhere) as server:
        with (
            Inference(server.url) as inference,
            inference.openai(max_retries=0) as client,
            pytest.raises(openai.APIStatusError),
        ):
            client.chat.completions.create(model=MODEL, messages=MESSAGES)
        assert (len(server.requests), elsewhere.requests) == (1, [])


async def test_the_async_client_follows_no_redirect_to_which_the_prompt_would_go() -> None:
    with ScriptedModelServer(respond) as elsewhere, redirecting_to(elsewhere) as server:
        async with AsyncInference(server.url) as inference, inference.openai(max_retries=0) as client:
            with pytest.raises(openai.APIStatusError):
                await client.chat.completions.create(model=MODEL, messages=MESSAGES)
        assert (len(server.requests), elsewhere.requests) == (1, [])


@pytest.mark.parametrize("kind", [Inference, AsyncInference])
def test_a_proxy_that_the_package_cannot_use_is_an_error(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    inference = kind("https://gateway.example", proxy="socks5://user:canary@proxy.example")
    with pytest.raises(
        errors.ConfigurationError, match="^proxy: the openai package can use socks5:// proxies only"
    ) as e:
        inference.openai()
    assert "canary" not in str(e.value)


@pytest.mark.parametrize("kind", [Inference, AsyncInference])
def test_authorities_that_the_package_cannot_use_are_an_error(kind: Any) -> None:
    inference = kind("https://gateway.example", tls=TLS(ca=b"-----BEGIN CERTIFICATE-----\n"))
    with pytest.raises(errors.ConfigurationError, match="^tls.ca: the certificates cannot be used"):
        inference.openai()

"""What a service needs: headers and attempts of responses and errors, whole bodies, and options that are told apart."""

import collections
import copy
import json
import logging
import pickle
import types as python_types
from collections.abc import Mapping
from typing import Any

import pytest

from cwinference import Retry, errors, types
from cwinference.inference import _option_names
from tests.support import connected_client
from tests.support.client_kinds import KINDS as CLIENT_KINDS
from tests.support.client_kinds import open_client
from tests.support.inference_kinds import MESSAGES, AnyInference, connected
from tests.support.scripted_model_server import (
    DONE,
    MODEL,
    HttpRequest,
    ScriptedResponse,
    chunk_event,
    completion,
    event,
    json_response,
    stream_response,
)
from tests.support.scripted_server import Failure, Raw, ScriptedServer, http_response

TWICE = Retry(max_attempts=2, initial_backoff=0)
SENT = {
    "X-Request-Id": "r-1",
    "x-deployment": "d-7",
    "x-ratelimit-remaining-tokens": "12",
    "Set-Cookie": "session=secret-1",
    "X-Api-Key": "secret-2",
    "Authorization": "Bearer secret-3",
    "x-amz-security-token": "secret-4",
    "x-echo": "you sent CW-SECRET-of-the-tests, did you not",
}
EXPECTED = {
    "x-request-id": "r-1",
    "x-deployment": "d-7",
    "x-ratelimit-remaining-tokens": "12",
    "x-echo": "you sent CW-SECRET-***, did you not",
}


def with_headers(response: ScriptedResponse) -> ScriptedResponse:
    response.headers = {**response.headers, **SENT}
    return response


def check_headers(headers: Mapping[str, str]) -> None:
    assert {name: value for name, value in headers.items() if name.startswith("x-")} == EXPECTED
    assert "secret" not in json.dumps(headers).lower().replace("cw-secret-***", "")
    assert all(name == name.lower() for name in headers)


class Flaky:
    """Responds with 503 to the first request, then as it was told."""

    def __init__(self, response: ScriptedResponse) -> None:
        self._responses = [response, json_response({}, 503)]

    def __call__(self, _: HttpRequest) -> ScriptedResponse:
        return with_headers(self._responses.pop())


async def failure(inference: AnyInference, mode: str, **arguments: Any) -> Any:
    with pytest.raises(errors.InferenceError) as caught:
        await (inference.read(inference.stream(**arguments)) if mode == "stream" else inference.chat(**arguments))
    return caught.value


async def create(inference: AnyInference, **arguments: Any) -> Any:
    """Request a chat completion with these arguments and no others."""
    return await inference.run(lambda inference: inference.chat.completions.create(**arguments))


# --- Headers and attempts


async def test_a_completion_has_headers_and_attempts(kind: str) -> None:
    async with connected(kind, Flaky(json_response(completion())), retry=TWICE) as (inference, _):
        result = await inference.chat()
    check_headers(result.headers)
    assert result.attempts == 2
    pickled = pickle.loads(pickle.dumps(result))  # noqa: S301 - our own
    for copied in (pickled, copy.deepcopy(result), copy.copy(result)):
        assert (copied.raw, copied.text, copied.headers) == (result.raw, "Paris", result.headers)
        assert (copied.attempts, repr(copied.usage)) == (2, repr(result.usage))


async def test_repeated_headers_are_joined(kind: str) -> None:
    response = json_response(completion())
    response.headers = {**response.headers, "Via": "a", "via": "b"}
    async with connected(kind, lambda _: response) as (inference, _):
        assert (await inference.chat()).headers["via"] == "a, b"


async def test_the_headers_of_a_completion_are_a_copy(kind: str) -> None:
    async with connected(kind, lambda _: json_response(completion(), x_a="1")) as (inference, _):
        result = await inference.chat()
    result.headers.clear()
    assert result.headers["x-a"] == "1"


async def test_a_stream_has_headers_and_attempts_as_soon_as_it_is_open(kind: str) -> None:
    handler = Flaky(stream_response(chunk_event("Paris"), DONE))
    async with connected(kind, handler, retry=TWICE) as (inference, _):
        stream = inference.stream()
        assert (stream.headers, stream.attempts) == ({}, 0)
        await stream.__aenter__() if inference.is_async else stream.__enter__()
        check_headers(stream.headers)
        await inference.read(stream)
    check_headers(stream.headers)
    assert stream.attempts == 2


ERRORS: list[tuple[ScriptedResponse, type[errors.InferenceError]]] = [
    (json_response({"error": "x"}, 400), errors.InvalidArgument),
    (ScriptedResponse([b"<html>"], 404, {"content-type": "text/html"}, length=6), errors.Unimplemented),
    (json_response({}, 503), errors.Unavailable),
    (json_response({"error": {"message": "x", "code": 429}}), errors.ResourceExhausted),
    (json_response({}), errors.ProtocolError),
    (ScriptedResponse([b"?"], length=1), errors.ProtocolError),
]


@pytest.mark.parametrize(("response", "error_class"), ERRORS)
@pytest.mark.parametrize("mode", ["create", "stream"])
async def test_an_error_has_headers_and_attempts(
    kind: str, mode: str, response: ScriptedResponse, error_class: Any
) -> None:
    async with connected(kind, Flaky(response), retry=TWICE) as (inference, _):
        error = await failure(inference, mode)
    assert type(error) is error_class
    check_headers(error.headers)
    assert (error.attempts, error.method, error.http_status) == (2, "chat.completions", response.status)
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (type(copied), str(copied), copied.headers) == (error_class, str(error), error.headers)
    assert (copied.attempts, copied.http_status) == (2, response.status)


@pytest.mark.parametrize(
    ("last", "error_class"),
    [
        (event({"error": {"message": "x", "code": 503}}), errors.Unavailable),
        (b"event: error\ndata: x\n\n", errors.Unknown),
        (b'{"error": {"message": "x", "code": 500}}\n', errors.Internal),
        (b"data: {\n\n", errors.ProtocolError),
        (b"event: error\ndata: {}\n\n", errors.ProtocolError),
    ],
)
async def test_an_error_in_a_stream_has_the_headers_and_attempts_of_the_stream(
    kind: str, last: bytes, error_class: Any
) -> None:
    handler = Flaky(stream_response(chunk_event("Par"), last))
    async with connected(kind, handler, retry=TWICE) as (inference, _):
        error = await failure(inference, "stream")
    assert type(error) is error_class
    check_headers(error.headers)
    assert (error.attempts, error.method, error.http_status) == (2, "chat.completions", 200)
    assert not isinstance(error, errors.ApiError) or not error.retryable


async def test_an_error_without_a_response_has_no_headers(kind: str) -> None:
    def hang_up(_: HttpRequest) -> ScriptedResponse:
        raise EOFError

    async with connected(kind, hang_up, retry=TWICE) as (inference, _):
        error = await failure(inference, "create")
    assert (type(error), error.headers, error.attempts) == (errors.Unavailable, {}, 2)


@pytest.mark.parametrize("client_kind", CLIENT_KINDS)
async def test_errors_of_the_management_api_have_headers_on_every_transport(client_kind: str) -> None:
    sent = {name.lower(): value for name, value in SENT.items()}
    failures = [Failure("unavailable", "busy", headers=sent)] * 2
    async with connected_client.connected(client_kind, lambda _: failures.pop(), retry=TWICE) as (client, _):
        with pytest.raises(errors.Unavailable, match="busy") as caught:
            await client.gateways.get("g-1")
    check_headers(caught.value.headers)
    assert caught.value.attempts == 2
    copied = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own
    assert copied.headers == caught.value.headers


@pytest.mark.parametrize("client_kind", ["connect-sync", "connect-async", "connect-json-async", "rest-sync"])
@pytest.mark.parametrize("body", [b"?", b"\xff"])
async def test_a_response_of_the_management_api_that_cannot_be_decoded_has_headers(
    client_kind: str, body: bytes
) -> None:
    media = "application/proto" if client_kind in ("connect-sync", "connect-async") else "application/json"
    response = Raw(http_response(200, body, {"content-type": media, **SENT}))
    async with connected_client.connected(client_kind, lambda _: response) as (client, _):
        with pytest.raises(errors.ProtocolError, match="GetGateway: the response") as caught:
            await client.gateways.get("g-1")
    check_headers(caught.value.headers)
    assert caught.value.http_status == 200


@pytest.mark.parametrize("client_kind", CLIENT_KINDS)
async def test_errors_without_a_response_of_the_management_api_have_no_headers(client_kind: str) -> None:
    with ScriptedServer(client_kind.partition("-")[0], lambda _: types.GetGatewayResponse()) as server:
        endpoint = server.endpoint
    async with open_client(client_kind, endpoint) as client:
        with pytest.raises(errors.Unavailable) as caught:
            await client.gateways.list(retry=None)
    assert caught.value.headers == {}


# --- Whole bodies

ODD: dict[str, Any] = {
    "model": MODEL,
    "messages": MESSAGES,
    "timeout": 0,
    "retry": {"max": 3},
    "headers": ["a"],
    "body": {"body": None},
    "idle_timeout": -1,
    "first_token_timeout": "x",
    "extra_body": {"a": 1},
    "extra_headers": None,
    "max_token": 3,
    "self": 1,
    "": None,
    "é\u2028": [0, None],
}


async def test_a_whole_body_is_sent_as_it_is(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    given = copy.deepcopy(ODD)
    async with connected(kind, lambda _: json_response(completion())) as (inference, server):
        forms = [given, collections.OrderedDict(given), python_types.MappingProxyType(given)]
        for body in [*forms, collections.UserDict(given)]:
            assert (await create(inference, body=body, headers={"x-a": "1"}, timeout=5)).text == "Paris"
    assert [request.body for request in server.requests] == [ODD] * 4
    assert server.requests[0].headers["x-a"] == "1"
    assert given == ODD
    assert caplog.text == ""


async def test_a_whole_body_is_streamed(kind: str) -> None:
    given = copy.deepcopy(ODD)
    async with connected(kind, lambda _: stream_response(chunk_event("Paris"), DONE)) as (inference, server):
        for body in (given, {**given, "stream": True, "stream_options": {"include_usage": True}}):
            await inference.read(inference.wrapped.chat.completions.stream(body=body, idle_timeout=5))
    assert server.requests[0].body == {**ODD, "stream": True}
    assert server.requests[1].body == {**ODD, "stream": True, "stream_options": {"include_usage": True}}
    assert given == ODD


async def test_a_whole_body_is_routed_by_its_model(kind: str) -> None:
    routing = types.HeaderBasedRouting(header_name="x-model")
    body = {"model": "a/b", "prompt": [1, 2]}
    async with connected(kind, lambda _: json_response(completion()), routing=routing) as (inference, server):
        await inference.run(lambda inference: inference.completions.create(body=body))
    (request,) = server.requests
    assert (request.path, request.headers["x-model"], request.body) == ("/v1/completions", "a/b", body)


WRONG_BODIES: list[tuple[dict[str, Any], str]] = [
    ({"body": ODD, "model": MODEL}, "body is the whole request, so model cannot be given too"),
    ({"body": ODD, "temperature": 1, "top_p": 1}, "body is the whole request, so temperature, top_p cannot"),
    ({"body": ODD, "extra_body": {}}, "body is the whole request, so extra_body cannot"),
    ({"body": []}, "body: expected a mapping, got list"),
    ({"body": "{}"}, "body: expected a mapping, got str"),
    ({"body": {}}, "model is missing"),
    ({"body": {"model": MODEL}}, "messages .* is missing"),
    ({"body": {"model": MODEL, "messages": []}}, "messages must not be empty"),
    ({"body": {"model": MODEL, "messages": "Hi"}}, "messages: expected a list, got str"),
    ({"body": {"model": MODEL, "prompt": 5}}, "prompt: expected a string or a list, got int"),
    ({"body": {"model": 5, "messages": MESSAGES}}, "model: expected the name of a model"),
    ({"body": {**ODD, "stop": {1}}}, "stop: cannot be encoded as JSON"),
    ({"body": {**ODD, ("a", "b"): 1}}, "body: cannot be encoded as JSON"),
    ({"body": {**ODD, "n": float("nan")}}, "n: cannot be encoded as JSON"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG_BODIES)
async def test_a_wrong_body_is_refused_by_name(kind: str, arguments: dict[str, Any], message: str) -> None:
    async with connected(kind, lambda _: json_response(completion())) as (inference, server):
        with pytest.raises(errors.ConfigurationError, match=message):
            await inference.run(lambda inference: inference.chat.completions.create(**arguments))
        with pytest.raises(errors.ConfigurationError, match=message):
            inference.wrapped.chat.completions.stream(**arguments)
    assert server.requests == []


async def test_create_does_not_stream_and_stream_does(kind: str) -> None:
    async with connected(kind, lambda _: json_response(completion())) as (inference, server):
        with pytest.raises(errors.ConfigurationError, match=r"use stream\(...\) to stream"):
            await inference.run(lambda inference: inference.chat.completions.create(body={**ODD, "stream": True}))
        with pytest.raises(errors.ConfigurationError, match="always streams"):
            inference.wrapped.chat.completions.stream(body={**ODD, "stream": False})
    assert server.requests == []


@pytest.mark.parametrize("missing", ["model", "messages"])
async def test_a_missing_argument_is_a_type_error_that_names_it(kind: str, missing: str) -> None:
    arguments: dict[str, Any] = {"model": MODEL, "messages": MESSAGES, "temperature": 1}
    del arguments[missing]
    async with connected(kind, lambda _: json_response(completion())) as (inference, server):
        with pytest.raises(TypeError, match=f"chat.completions: {missing}= is missing; give it"):
            await inference.run(lambda inference: inference.chat.completions.create(**arguments))
        with pytest.raises(TypeError, match=f"chat.completions: {missing}= is missing; give it"):
            inference.wrapped.chat.completions.stream(**arguments)
    assert server.requests == []


# --- Options of other packages, and misspelled ones

REFUSED = [
    ("extra_body", "extra_body: give its keys as keywords, or the whole request as body="),
    ("extra_headers", "extra_headers: use headers="),
    ("extra_query", "extra_query: no query can be sent"),
]


@pytest.mark.parametrize(("name", "message"), REFUSED)
@pytest.mark.parametrize("value", [{"a": 1}, {}, None])
async def test_options_of_the_openai_package_are_refused_by_name(
    kind: str, name: str, message: str, value: Any
) -> None:
    async with connected(kind, lambda _: json_response(completion())) as (inference, server):
        for ask in (inference.chat, inference.complete):
            with pytest.raises(errors.ConfigurationError, match=message):
                await ask(**{name: value})
        with pytest.raises(errors.ConfigurationError, match=message):
            inference.stream(**{name: value})
    assert server.requests == []


async def test_a_misspelled_option_is_sent_with_one_warning(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    _option_names._warn_of_misspelling.cache_clear()
    async with connected(kind, lambda _: json_response(completion())) as (inference, server):
        for _ in range(3):
            await inference.chat(max_token=5)
    assert [request.body["max_token"] for request in server.requests] == [5, 5, 5]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("cwinference", logging.WARNING)
    assert record.getMessage() == "chat.completions: 'max_token' is sent as it is; did you mean 'max_tokens'?"


async def test_unknown_options_that_resemble_none_are_sent_without_a_word(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"vendor": {"x": 1}, "cache_salt": "s", "lora_path": None, "self": 1, "args": 2, "kwargs": 3}
    async with connected(kind, lambda _: json_response(completion())) as (inference, server):
        arguments = {"model": MODEL, "messages": MESSAGES, **options}
        await inference.run(lambda inference: inference.chat.completions.create(**arguments))
    assert server.requests[0].body == {"model": MODEL, "messages": MESSAGES, **options}
    assert caplog.text == ""


async def test_the_usage_is_none_where_none_was_reported(kind: str) -> None:
    body = completion()
    del body["usage"]
    async with connected(kind, lambda _: json_response(body)) as (inference, _):
        assert (await inference.chat()).usage is None

"""Failed completions: error responses of every shape, and which calls are retried."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cwinference import Retry, errors
from cwinference._calls.clock import Clock
from cwinference.transports.completion_errors import failed_completion
from tests.support.inference_kinds import MESSAGES, AnyInference, connected, open_inference
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

FAST = Retry(initial_backoff=0)


def raw(body: bytes, status: int, content_type: str = "application/json", **headers: str) -> ScriptedResponse:
    renamed = {name.replace("_", "-"): value for name, value in headers.items()}
    return ScriptedResponse([body], status, {"content-type": content_type, **renamed}, length=len(body))


async def failure(inference: AnyInference, **arguments: Any) -> Any:
    with pytest.raises(errors.InferenceError) as caught:
        await inference.chat(**{"retry": None, **arguments})
    return caught.value


SHAPES: list[tuple[int, Any, type[errors.ApiError], str]] = [
    (404, {"error": {"code": 404, "message": "no model x", "type": "NotFoundError"}}, errors.NotFound, "no model x"),
    (404, {"error": {"code": "model_not_found", "message": "no model x"}}, errors.NotFound, "no model x"),
    (400, {"error": {"message": "bad", "type": "invalid_request_error"}}, errors.InvalidArgument, "bad"),
    (400, {"message": "Unsupported parameter(s)", "type": "x", "code": 400}, errors.InvalidArgument, "Unsupported"),
    (401, {"error": "Unauthorized"}, errors.Unauthenticated, "Unauthorized"),
    (403, {"detail": "no role"}, errors.PermissionDenied, "no role"),
    (429, {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, errors.ResourceExhausted, "slow"),
    (503, {"error": {"message": "loading", "code": None}}, errors.Unavailable, "loading"),
    (500, {"error": {"message": "CUDA", "code": "500"}}, errors.Internal, "CUDA"),
    (500, {"error": {"message": "busy", "code": 503}}, errors.Unavailable, "busy"),
    (500, {"error": {"message": "odd", "code": 70001}}, errors.Internal, "odd"),
    (409, {"message": "gone", "code": 5}, errors.NotFound, "gone"),
    (422, {"detail": [{"loc": ["body", "model"], "msg": "field required"}]}, errors.Unknown, "field required"),
    (404, {"detail": "Not Found"}, errors.Unimplemented, "HTTP 404"),
    (400, {"error": {"odd": 1}}, errors.InvalidArgument, '{"odd": 1}'),
]


@pytest.mark.parametrize(("status", "body", "error_class", "text"), SHAPES)
async def test_error_responses_of_any_shape_keep_their_message(
    kind: str, status: int, body: Any, error_class: type[errors.ApiError], text: str
) -> None:
    async with connected(kind, lambda _: json_response(body, status)) as (inference, _):
        error = await failure(inference)
    assert type(error) is error_class
    assert text in error.message
    assert (error.http_status, error.method, error.attempts) == (status, "chat.completions", 1)


OF_PROXIES = [
    (400, b"<html>bad</html>", "text/html", errors.Internal),
    (404, b"no route", "text/plain", errors.Unimplemented),
    (405, b"", "", errors.Unknown),
    (502, b"<html>", "text/html", errors.Unavailable),
    (503, b"upstream connect error", "text/plain", errors.Unavailable),
    (401, b"[]", "application/json", errors.Unauthenticated),
    (307, b"", "", errors.Unknown),
]


@pytest.mark.parametrize(("status", "body", "media", "error_class"), OF_PROXIES)
@pytest.mark.parametrize("mode", ["plain", "stream"])
async def test_error_responses_of_proxies_are_mapped_by_their_http_status(
    kind: str, mode: str, status: int, body: bytes, media: str, error_class: type[errors.ApiError]
) -> None:
    response = raw(body, status, media, location="http://127.0.0.1:9/")
    async with connected(kind, lambda _: response) as (inference, server):
        with pytest.raises(errors.ApiError) as caught:
            await (inference.chat(retry=None) if mode == "plain" else inference.read(inference.stream(retry=None)))
    assert type(caught.value) is error_class
    assert len(server.requests) == 1


@pytest.mark.parametrize("body", [b"{", b"[1]", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"id": 1}', b'{"choices": {}}'])
async def test_a_success_without_a_completion_is_a_protocol_error(kind: str, body: bytes) -> None:
    async with connected(kind, lambda _: raw(body, 200)) as (inference, server):
        error = await failure(inference, retry=FAST)
    assert type(error) is errors.ProtocolError
    assert len(server.requests) == 1


async def test_an_error_body_with_status_200_is_an_error(kind: str) -> None:
    nested = {"error": {"message": "overloaded", "code": 503}}
    async with connected(kind, lambda _: json_response(nested)) as (inference, _):
        assert type(await failure(inference)) is errors.Unavailable
    flat = {"object": "error", "message": "m", "code": 404}
    async with connected(kind, lambda _: json_response(flat)) as (inference, _):
        assert type(await failure(inference)) is errors.NotFound


async def test_an_oversized_response_is_rejected_and_the_connection_stays_usable(kind: str) -> None:
    responses = [json_response(completion("x" * 100_000)), json_response(completion())]
    async with connected(kind, lambda _: responses.pop(), max_reply_bytes=50_000) as (inference, _):
        await inference.chat()
        assert "max_reply_bytes" in str(await failure(inference))


async def test_an_endless_response_is_rejected(kind: str) -> None:
    def endless() -> Any:
        while True:
            yield b"x" * 10_000

    async with connected(kind, lambda _: ScriptedResponse(endless()), max_reply_bytes=50_000) as (inference, server):
        assert type(await failure(inference)) is errors.ProtocolError
        assert server.was_left()


TRANSIENT = [408, 409, 425, 429, 500, 502, 503, 504, 520]
PERMANENT = [400, 401, 403, 404, 405, 413, 422, 501]


@pytest.mark.parametrize("status", TRANSIENT)
@pytest.mark.parametrize("mode", ["plain", "stream"])
async def test_transient_errors_are_retried(kind: str, status: int, mode: str) -> None:
    def respond(request: HttpRequest) -> ScriptedResponse:
        if len(server.requests) < 3:
            return json_response({"error": {"message": "later"}}, status)
        if request.body.get("stream"):
            return stream_response(chunk_event("Paris", "stop"), DONE)
        return json_response(completion())

    async with connected(kind, respond) as (inference, server):
        if mode == "plain":
            await inference.chat(retry=FAST)
        else:
            await inference.read(inference.stream(retry=FAST))
    assert len(server.requests) == 3
    assert server.requests[0].body == server.requests[2].body


@pytest.mark.parametrize("status", PERMANENT)
async def test_permanent_errors_are_not_retried(kind: str, status: int) -> None:
    async with connected(kind, lambda _: json_response({"error": {"message": "no"}}, status)) as (inference, server):
        await failure(inference, retry=FAST)
    assert len(server.requests) == 1


async def test_without_retries_a_call_is_sent_once(kind: str) -> None:
    async with connected(kind, lambda _: json_response({}, 503)) as (inference, server):
        await failure(inference, retry=None)
    assert len(server.requests) == 1


DELAYS = [
    ({"retry-after": "3"}, 3.0),
    ({"retry-after": "Wed, 21 Oct 2026 07:28:04 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 4.0),
    ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
]


@pytest.mark.parametrize(("headers", "seconds"), DELAYS)
async def test_retry_after_is_honored(kind: str, headers: dict[str, str], seconds: float) -> None:
    slept: list[float] = []

    async def sleep_async(pause: float) -> None:
        slept.append(pause)

    responses = [
        json_response(completion()),
        ScriptedResponse([b"{}"], 429, {"content-type": "application/json", **headers}, length=2),
    ]
    clock = Clock(sleep=slept.append, sleep_async=sleep_async)
    async with connected(kind, lambda _: responses.pop(), clock=clock) as (inference, _):
        await inference.chat()
    assert slept == [seconds]


@pytest.mark.parametrize(("status", "should_retry", "sent"), [(503, "false", 1), (400, "true", 2), (503, "maybe", 2)])
async def test_x_should_retry_is_honored(kind: str, status: int, should_retry: str, sent: int) -> None:
    responses = [json_response(completion()), json_response({}, status, x_should_retry=should_retry)]
    async with connected(kind, lambda _: responses.pop()) as (inference, server):
        if sent == 1:
            await failure(inference, retry=FAST)
        else:
            await inference.chat(retry=FAST)
    assert len(server.requests) == sent


async def test_a_connection_lost_before_the_response_is_retried(kind: str) -> None:
    def respond(_: HttpRequest) -> ScriptedResponse:
        if len(server.requests) < 2:
            raise EOFError
        return json_response(completion())

    async with connected(kind, respond) as (inference, server):
        await inference.chat(retry=FAST)
    assert len(server.requests) == 2


@pytest.mark.parametrize("first", [0, 1])
async def test_a_truncated_response_is_not_retried(kind: str, first: int) -> None:
    half = ScriptedResponse([b'{"choices":'], cut=True, length=1000)
    responses = [half, *[json_response(completion())] * first]
    async with connected(kind, lambda _: responses.pop()) as (inference, server):
        for _ in range(first):
            await inference.chat()
        error = await failure(inference, retry=FAST)
    assert type(error) is errors.Unavailable
    assert len(server.requests) == 1 + first


async def test_an_expired_token_is_replaced_once(kind: str) -> None:
    tokens = iter(["old", "new"])

    def respond(request: HttpRequest) -> ScriptedResponse:
        if request.headers["authorization"] == "Bearer old":
            return json_response({"error": "expired"}, 401)
        return json_response(completion())

    async with connected(kind, respond, token=lambda: next(tokens)) as (inference, _):
        assert (await inference.chat(retry=None)).text == "Paris"


async def test_a_refused_connection_is_unavailable(kind: str) -> None:
    async with connected(kind, lambda _: json_response({})) as (_, server):
        url = server.url
    async with open_inference(kind, url) as inference:
        error = await failure(inference)
    assert type(error) is errors.Unavailable
    assert (error.retryable, error.may_have_succeeded) == (True, False)


INVALID: list[tuple[dict[str, Any], str]] = [
    ({"model": ""}, "model"),
    ({"model": None}, "model"),
    ({"model": 7}, "model"),
    ({"messages": []}, "messages"),
    ({"messages": "Hi"}, "messages"),
    ({"messages": None}, "messages"),
    ({"stop": {1, 2}}, "stop"),
    ({"temperature": float("nan")}, "temperature"),
    ({"user": "\ud800"}, "user"),
    ({"stream": True}, "stream"),
    ({"timeout": 0}, "timeout"),
    ({"timeout": -1}, "timeout"),
    ({"first_token_timeout": 0}, "first_token_timeout"),
    ({"idle_timeout": "x"}, "idle_timeout"),
    ({"retry": 3}, "retry"),
    ({"headers": {"Authorization": "x"}}, "headers"),
    ({"headers": {"x-a": "1\r\nx-b: 2"}}, "headers"),
    ({"headers": {"x-a": 1}}, "headers"),
    ({"headers": {"x a": "1"}}, "headers: 'x a' is not a valid header name"),
    ({"headers": {"": "1"}}, "headers: '' is not a valid header name"),
    ({"headers": [("x-a", "1")]}, "headers: expected a dict"),
]


@pytest.mark.parametrize(("arguments", "message"), INVALID)
async def test_invalid_arguments_are_rejected_by_name_before_anything_is_sent(
    kind: str, arguments: dict[str, Any], message: str
) -> None:
    async with connected(kind, lambda _: json_response(completion())) as (inference, server):
        with pytest.raises(errors.ConfigurationError, match=message):
            await inference.chat(**arguments)
        if "stream" not in arguments:
            with pytest.raises(errors.ConfigurationError, match=message):
                inference.stream(**arguments)
    assert server.requests == []


async def test_a_missing_model_or_prompt_is_a_type_error(kind: str) -> None:
    async with connected(kind, lambda _: json_response(completion())) as (inference, _):
        with pytest.raises(TypeError, match="model"):
            await inference.run(lambda inference: inference.chat.completions.create(messages=MESSAGES))
        with pytest.raises(TypeError, match="prompt"):
            await inference.run(lambda inference: inference.completions.create(model=MODEL))


async def test_an_error_event_in_a_stream_is_raised_and_the_text_so_far_is_kept(kind: str) -> None:
    error_event = event({"error": {"message": "out of memory", "code": 500}})
    async with connected(kind, lambda _: stream_response(chunk_event("Par"), error_event, DONE)) as (inference, _):
        stream = inference.stream()
        with pytest.raises(errors.Internal, match="out of memory"):
            await inference.read(stream)
    assert stream.text == "Par"


KEYS = ["error", "message", "code", "type", "detail", "details", "choices"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)
BODIES = st.binary(max_size=20) | VALUES.map(lambda value: json.dumps(value).encode())


@given(st.integers(300, 599), BODIES, st.text())
@settings(max_examples=300, deadline=None)
def test_any_error_body_becomes_an_api_error(status: int, body: bytes, hint: str) -> None:
    headers: Any = {"retry-after": hint, "retry-after-ms": hint, "x-should-retry": hint}
    error = failed_completion(status, headers, body, "completions")
    assert isinstance(error, errors.ApiError)
    assert error.retry_after is None or error.retry_after >= 0

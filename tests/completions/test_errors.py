"""Failed answers, in every shape that servers give them, and what is repeated."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cwinference import Retry, errors
from cwinference._calls.flow import Clock
from cwinference.transports.completion_errors import failed_completion
from tests.support.inference_kinds import MESSAGES, Front, asked, open_front
from tests.support.scripted_model_server import DONE, MODEL, Asked, Reply, completion, event, piece, plain, streamed

FAST = Retry(initial_backoff=0)


def raw(body: bytes, status: int, content_type: str = "application/json", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply([body], status, {"content-type": content_type, **named}, length=len(body))


async def failure(front: Front, **arguments: Any) -> Any:
    with pytest.raises(errors.InferenceError) as caught:
        await front.chat(**{"retry": None, **arguments})
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


@pytest.mark.parametrize(("status", "body", "kind_of_error", "text"), SHAPES)
async def test_an_error_keeps_its_word_in_any_shape(
    kind: str, status: int, body: Any, kind_of_error: type[errors.ApiError], text: str
) -> None:
    async with asked(kind, lambda _: plain(body, status)) as (front, _):
        error = await failure(front)
    assert type(error) is kind_of_error
    assert text in error.message
    assert (error.http_status, error.method, error.attempts) == (status, "chat.completions", 1)


FOREIGN = [
    (400, b"<html>bad</html>", "text/html", errors.Internal),
    (404, b"no route", "text/plain", errors.Unimplemented),
    (405, b"", "", errors.Unknown),
    (502, b"<html>", "text/html", errors.Unavailable),
    (503, b"upstream connect error", "text/plain", errors.Unavailable),
    (401, b"[]", "application/json", errors.Unauthenticated),
    (307, b"", "", errors.Unknown),
]


@pytest.mark.parametrize(("status", "body", "media", "kind_of_error"), FOREIGN)
@pytest.mark.parametrize("way", ["plain", "stream"])
async def test_what_a_proxy_says_is_read_by_the_table_of_proxies(
    kind: str, way: str, status: int, body: bytes, media: str, kind_of_error: type[errors.ApiError]
) -> None:
    async with asked(kind, lambda _: raw(body, status, media, location="http://127.0.0.1:9/")) as (front, server):
        with pytest.raises(errors.ApiError) as caught:
            await (front.chat(retry=None) if way == "plain" else front.read(front.stream(retry=None)))
    assert type(caught.value) is kind_of_error
    assert len(server.asked) == 1


@pytest.mark.parametrize("body", [b"{", b"[1]", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"id": 1}', b'{"choices": {}}'])
async def test_a_success_that_is_no_completion_is_a_protocol_error(kind: str, body: bytes) -> None:
    async with asked(kind, lambda _: raw(body, 200)) as (front, server):
        error = await failure(front, retry=FAST)
    assert type(error) is errors.ProtocolError
    assert len(server.asked) == 1


async def test_an_error_with_status_200_is_an_error(kind: str) -> None:
    async with asked(kind, lambda _: plain({"error": {"message": "overloaded", "code": 503}})) as (front, _):
        assert type(await failure(front)) is errors.Unavailable
    async with asked(kind, lambda _: plain({"object": "error", "message": "m", "code": 404})) as (front, _):
        assert type(await failure(front)) is errors.NotFound


async def test_an_answer_larger_than_allowed_is_refused_and_the_next_one_is_not(kind: str) -> None:
    answers = [plain(completion("x" * 100_000)), plain(completion())]
    async with asked(kind, lambda _: answers.pop(), max_reply_bytes=50_000) as (front, _):
        await front.chat()
        assert "max_reply_bytes" in str(await failure(front))


async def test_an_endless_answer_is_refused_in_time(kind: str) -> None:
    def endless() -> Any:
        while True:
            yield b"x" * 10_000

    async with asked(kind, lambda _: Reply(endless()), max_reply_bytes=50_000) as (front, server):
        assert type(await failure(front)) is errors.ProtocolError
        assert server.hung_up.wait(5)


REPEATED = [408, 409, 425, 429, 500, 502, 503, 504, 520]
NOT_REPEATED = [400, 401, 403, 404, 405, 413, 422, 501]


@pytest.mark.parametrize("status", REPEATED)
@pytest.mark.parametrize("way", ["plain", "stream"])
async def test_an_answer_that_may_pass_is_asked_for_again(kind: str, status: int, way: str) -> None:
    def answer(got: Asked) -> Reply:
        if len(server.asked) < 3:
            return plain({"error": {"message": "later"}}, status)
        return streamed(piece("Paris", "stop"), DONE) if got.body.get("stream") else plain(completion())

    async with asked(kind, answer) as (front, server):
        if way == "plain":
            await front.chat(retry=FAST)
        else:
            await front.read(front.stream(retry=FAST))
    assert len(server.asked) == 3
    assert server.asked[0].body == server.asked[2].body


@pytest.mark.parametrize("status", NOT_REPEATED)
async def test_an_answer_that_will_not_change_is_not_asked_for_again(kind: str, status: int) -> None:
    async with asked(kind, lambda _: plain({"error": {"message": "no"}}, status)) as (front, server):
        await failure(front, retry=FAST)
    assert len(server.asked) == 1


async def test_no_retry_means_once(kind: str) -> None:
    async with asked(kind, lambda _: plain({}, 503)) as (front, server):
        await failure(front, retry=None)
    assert len(server.asked) == 1


HINTS = [
    ({"retry-after": "3"}, 3.0),
    ({"retry-after": "Wed, 21 Oct 2026 07:28:04 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 4.0),
    ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
]


@pytest.mark.parametrize(("headers", "seconds"), HINTS)
async def test_a_servers_delay_is_obeyed(kind: str, headers: dict[str, str], seconds: float) -> None:
    slept: list[float] = []

    async def sleep_async(pause: float) -> None:
        slept.append(pause)

    answers = [plain(completion()), Reply([b"{}"], 429, {"content-type": "application/json", **headers}, length=2)]
    clock = Clock(sleep=slept.append, sleep_async=sleep_async)
    async with asked(kind, lambda _: answers.pop(), clock=clock) as (front, _):
        await front.chat()
    assert slept == [seconds]


@pytest.mark.parametrize(("status", "wish", "sent"), [(503, "false", 1), (400, "true", 2), (503, "maybe", 2)])
async def test_a_servers_wish_is_obeyed(kind: str, status: int, wish: str, sent: int) -> None:
    answers = [plain(completion()), plain({}, status, x_should_retry=wish)]
    async with asked(kind, lambda _: answers.pop()) as (front, server):
        if sent == 1:
            await failure(front, retry=FAST)
        else:
            await front.chat(retry=FAST)
    assert len(server.asked) == sent


async def test_a_connection_lost_before_an_answer_is_tried_again(kind: str) -> None:
    def answer(_: Asked) -> Reply:
        if len(server.asked) < 2:
            raise EOFError
        return plain(completion())

    async with asked(kind, answer) as (front, server):
        await front.chat(retry=FAST)
    assert len(server.asked) == 2


@pytest.mark.parametrize("first", [0, 1])
async def test_an_answer_that_breaks_off_is_not_asked_for_again(kind: str, first: int) -> None:
    half = Reply([b'{"choices":'], cut=True, length=1000)
    answers = [half, *[plain(completion())] * first]
    async with asked(kind, lambda _: answers.pop()) as (front, server):
        for _ in range(first):
            await front.chat()
        error = await failure(front, retry=FAST)
    assert type(error) is errors.Unavailable
    assert len(server.asked) == 1 + first


async def test_an_expired_token_is_replaced_once(kind: str) -> None:
    tokens = iter(["old", "new"])

    def answer(got: Asked) -> Reply:
        return plain({"error": "expired"}, 401) if got.headers["authorization"] == "Bearer old" else plain(completion())

    async with asked(kind, answer, token=lambda: next(tokens)) as (front, _):
        assert (await front.chat(retry=None)).text == "Paris"


async def test_a_refused_connection_is_unavailable(kind: str) -> None:
    async with asked(kind, lambda _: plain({})) as (_, server):
        url = server.url
    async with open_front(kind, url) as front:
        error = await failure(front)
    assert type(error) is errors.Unavailable
    assert error.unprocessed


BAD: list[tuple[dict[str, Any], str]] = [
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
    ({"headers": {"x a": "1"}}, "headers: 'x a' is no name"),
    ({"headers": {"": "1"}}, "headers: '' is no name"),
    ({"headers": [("x-a", "1")]}, "headers: expected a dict"),
]


@pytest.mark.parametrize(("arguments", "named"), BAD)
async def test_bad_arguments_are_refused_by_name_before_anything_is_sent(
    kind: str, arguments: dict[str, Any], named: str
) -> None:
    async with asked(kind, lambda _: plain(completion())) as (front, server):
        with pytest.raises(errors.ConfigurationError, match=named):
            await front.chat(**arguments)
        if "stream" not in arguments:
            with pytest.raises(errors.ConfigurationError, match=named):
                front.stream(**arguments)
    assert server.asked == []


async def test_a_missing_model_or_prompt_is_a_type_error(kind: str) -> None:
    async with asked(kind, lambda _: plain(completion())) as (front, _):
        with pytest.raises(TypeError, match="model"):
            await front.do(lambda front: front.chat.completions.create(messages=MESSAGES))
        with pytest.raises(TypeError, match="prompt"):
            await front.do(lambda front: front.completions.create(model=MODEL))


async def test_an_error_inside_a_stream_is_that_error_and_the_text_before_it_is_kept(kind: str) -> None:
    told = event({"error": {"message": "out of memory", "code": 500}})
    async with asked(kind, lambda _: streamed(piece("Par"), told, DONE)) as (front, _):
        stream = front.stream()
        with pytest.raises(errors.Internal, match="out of memory"):
            await front.read(stream)
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
def test_an_error_is_read_from_any_bytes(status: int, body: bytes, hint: str) -> None:
    headers: Any = {"retry-after": hint, "retry-after-ms": hint, "x-should-retry": hint}
    error = failed_completion(status, headers, body, "completions")
    assert isinstance(error, errors.ApiError)
    assert error.retry_after is None or error.retry_after >= 0

"""When a stream without content is given up: by `idle_timeout` also before the first token."""

import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from cwinference import errors
from tests.support.inference_kinds import AnyInference, connected
from tests.support.scripted_model_server import (
    DONE,
    HttpRequest,
    RequestHandler,
    ScriptedResponse,
    chunk_event,
    completion,
    endless_keep_alives,
    endless_silence,
    endlessly,
    event,
    json_response,
    stream_response,
)

ROLE = event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
LONG = 30.0


def endless_pings() -> Iterator[bytes]:
    return endlessly(lambda: b"event: ping\ndata: {}\n\n")


def silent(*before: bytes, after: Any = endless_silence) -> RequestHandler:
    return lambda _: stream_response(*before, after=after())


BEFORE_THE_FIRST_TOKEN: dict[str, RequestHandler] = {
    "only a head": silent(),
    "only a role": silent(ROLE),
    "keep-alives": silent(after=endless_keep_alives),
    "a role and keep-alives": silent(ROLE, after=endless_keep_alives),
    "pings": silent(after=endless_pings),
    "empty chunks": silent(ROLE, ROLE, ROLE),
}


async def failure(inference: AnyInference, **arguments: Any) -> tuple[Any, float]:
    """Return the error of a stream, and after how many seconds it was raised."""
    started = time.monotonic()
    with pytest.raises(errors.InferenceError) as caught:
        await inference.read(inference.stream(**arguments))
    return caught.value, time.monotonic() - started


@pytest.mark.parametrize("handler", BEFORE_THE_FIRST_TOKEN)
async def test_idle_timeout_holds_before_the_first_token(kind: str, handler: str) -> None:
    async with connected(kind, BEFORE_THE_FIRST_TOKEN[handler], timeout=LONG) as (inference, server):
        error, seconds = await failure(inference, idle_timeout=0.2)
        assert server.was_left()
    assert type(error) is errors.StreamStalled
    assert "no first token within 0.2 s (idle_timeout)" in str(error)
    assert error.partial_text == ""
    assert 0.15 < seconds < LONG / 2
    assert len(server.requests) <= 1


async def test_idle_timeout_holds_before_the_response_begins(kind: str) -> None:
    finished = threading.Event()

    def late(_: HttpRequest) -> ScriptedResponse:
        finished.wait(LONG)
        return stream_response(DONE)

    async with connected(kind, late, timeout=LONG) as (inference, _):
        error, seconds = await failure(inference, idle_timeout=0.2)
        finished.set()
    assert type(error) is errors.StreamStalled
    assert "no first token within 0.2 s (idle_timeout)" in str(error)
    assert 0.15 < seconds < LONG / 2


async def test_first_token_timeout_may_be_longer_than_idle_timeout(kind: str) -> None:
    def late() -> Iterator[bytes]:
        yield b""  # over HTTP/2 the server sends what it has with the next piece
        time.sleep(0.3)  # longer than idle_timeout, whose timer is a real one
        yield chunk_event("Paris", "stop") + DONE

    handlers = iter([silent(after=late), silent(after=late), silent()])
    async with connected(kind, lambda request: next(handlers)(request)) as (inference, _):
        for first in (LONG, None):
            chunks = await inference.read(inference.stream(first_token_timeout=first, idle_timeout=0.2))
            assert [chunk.text for chunk in chunks] == ["Paris"]
        error, _seconds = await failure(inference, idle_timeout=0.2)
    assert "idle_timeout" in str(error)


async def test_first_token_timeout_may_be_shorter_than_idle_timeout(kind: str) -> None:
    async with connected(kind, silent()) as (inference, _):
        error, seconds = await failure(inference, first_token_timeout=0.2, idle_timeout=LONG)
    assert type(error) is errors.StreamStalled
    assert "no first token within 0.2 s (first_token_timeout)" in str(error)
    assert seconds < LONG / 2


@pytest.mark.parametrize("idle", [0.2, None])
async def test_without_first_token_timeout_only_timeout_holds_before_the_first_token(
    kind: str, idle: float | None
) -> None:
    async with connected(kind, silent()) as (inference, _):
        error, seconds = await failure(inference, first_token_timeout=None, idle_timeout=idle, timeout=0.5)
    assert type(error) is errors.DeadlineExceeded
    assert 0.45 < seconds < LONG / 2


async def test_without_any_timeout_on_content_only_timeout_holds(kind: str) -> None:
    async with connected(kind, silent(chunk_event("Par"))) as (inference, _):
        error, seconds = await failure(inference, idle_timeout=None, timeout=0.5)
    assert type(error) is errors.DeadlineExceeded
    assert 0.45 < seconds < LONG / 2


async def test_timeout_holds_if_it_is_shorter_than_idle_timeout(kind: str) -> None:
    for handler in (silent(), silent(chunk_event("Par"))):
        async with connected(kind, handler) as (inference, _):
            error, seconds = await failure(inference, timeout=0.3)
        assert type(error) is errors.DeadlineExceeded
        assert seconds < LONG / 2


async def test_a_stall_is_counted_and_frees_its_slot(kind: str) -> None:
    def respond(request: HttpRequest) -> ScriptedResponse:
        return silent()(request) if request.body.get("stream") else json_response(completion())

    async with connected(kind, respond, limit=1) as (inference, _):
        error, _ = await failure(inference, idle_timeout=0.2)
        assert type(error) is errors.StreamStalled
        assert (await inference.chat()).text == "Paris"
        stats = inference.wrapped.stats()
    assert (stats.done, stats.failed, stats.cancelled, stats.in_flight) == (1, 1, 0, 0)


async def test_a_compressed_stream_without_content_stalls_too(kind: str) -> None:
    packer = zlib.compressobj(wbits=31)

    def pieces() -> Iterator[bytes]:
        return endlessly(lambda: packer.compress(b": keep-alive\n\n") + packer.flush(zlib.Z_SYNC_FLUSH))

    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    async with connected(kind, lambda _: ScriptedResponse(pieces(), 200, headers)) as (inference, server):
        error, seconds = await failure(inference, idle_timeout=0.2)
        assert server.was_left()
    assert type(error) is errors.StreamStalled
    assert seconds < LONG / 2


@pytest.mark.parametrize("option", ["idle_timeout", "first_token_timeout"])
async def test_create_accepts_the_timeouts_of_streams(kind: str, option: str) -> None:
    async with connected(kind, lambda _: json_response(completion())) as (inference, server):
        for value in (None, 50, 50.5):
            assert (await inference.chat(**{option: value})).text == "Paris"
    assert all(option not in request.body for request in server.requests)

"""Streams that stall, break off or are abandoned: an error in time, the text so far, and a hang-up."""

import asyncio
import threading
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from cwinference import errors
from tests.support.inference_kinds import AnyInference, connected
from tests.support.scripted_model_server import (
    DONE,
    HttpRequest,
    ScriptedResponse,
    chunk_event,
    endless_keep_alives,
    endless_silence,
    endlessly,
    event,
    stream_response,
)
from tests.support.waiting import wait_until_async

ROLE = event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})


LONG = 30.0
"""Seconds that are not to pass."""


def streaming(*events: bytes, **more: Any) -> Any:
    """Return a handler that responds with a stream of these events."""
    return lambda _: stream_response(*events, **more)


async def failure(inference: AnyInference, **arguments: Any) -> tuple[Any, float]:
    """Return the error of a stream, and after how many seconds it was raised."""
    started = time.monotonic()
    with pytest.raises(errors.InferenceError) as caught:
        await inference.read(inference.stream(**arguments))
    return caught.value, time.monotonic() - started


@pytest.mark.parametrize("after", [endless_silence, endless_keep_alives])
async def test_a_stream_without_further_content_stalls_despite_keep_alives(kind: str, after: Any) -> None:
    async with connected(kind, lambda _: stream_response(chunk_event("Par"), after=after())) as (inference, server):
        error, seconds = await failure(inference, idle_timeout=0.3, first_token_timeout=LONG)
        assert server.was_left()
    assert type(error) is errors.StreamStalled
    assert isinstance(error, TimeoutError)
    assert error.partial_text == "Par"
    assert 0.25 < seconds < LONG / 2
    assert "idle_timeout" in str(error)


@pytest.mark.parametrize("after", [endless_silence, endless_keep_alives])
@pytest.mark.parametrize(("before", "idle"), [([], LONG), ([ROLE], LONG), ([], 0.3)])
async def test_a_stream_without_a_first_token_stalls(kind: str, after: Any, before: list[bytes], idle: float) -> None:
    async with connected(kind, lambda _: stream_response(*before, after=after())) as (inference, server):
        error, seconds = await failure(inference, first_token_timeout=min(idle, 0.3), idle_timeout=idle)
        assert server.was_left()
    assert type(error) is errors.StreamStalled
    assert 0.25 < seconds < LONG / 2
    assert "first_token_timeout" in str(error)


async def test_a_response_that_does_not_start_is_a_stall_and_not_retried(kind: str) -> None:
    finished = threading.Event()

    def respond(_: HttpRequest) -> ScriptedResponse:
        finished.wait(LONG)
        return stream_response(DONE)

    async with connected(kind, respond) as (inference, server):
        error, seconds = await failure(inference, first_token_timeout=0.3)
        finished.set()
        assert len(server.requests) <= 1
    assert type(error) is errors.StreamStalled
    assert seconds < LONG / 2


async def test_timeout_ends_a_stream_that_keeps_going(kind: str) -> None:
    def respond(_: HttpRequest) -> ScriptedResponse:
        return stream_response(after=endlessly(lambda: chunk_event("more ")))

    async with connected(kind, respond) as (inference, server):
        stream = inference.stream(timeout=1)
        with pytest.raises(errors.DeadlineExceeded):
            await inference.read(stream)
        assert server.was_left()
    assert stream.text.startswith("more more ")


@pytest.mark.parametrize("kind", ["sync-1", "sync-2"])
async def test_a_time_limit_that_expires_between_two_reads_is_a_stall(kind: str) -> None:
    async with connected(kind, streaming(chunk_event("more "), after=endless_silence())) as (inference, _):
        stream = inference.stream(idle_timeout=60)
        chunks = iter(stream)
        await asyncio.to_thread(next, chunks)
        stream._body.expire()
        with pytest.raises(errors.StreamStalled):
            await asyncio.to_thread(next, chunks)


async def test_time_spent_by_the_reader_does_not_count(kind: str) -> None:
    more = threading.Event()

    def rest() -> Iterator[bytes]:
        yield b""  # over HTTP/2 the server sends what it has with the next piece
        assert more.wait(LONG)
        yield chunk_event("b", "stop") + DONE

    async with connected(kind, streaming(chunk_event("a"), after=rest())) as (inference, _):
        stream = inference.stream(idle_timeout=0.4, first_token_timeout=LONG)
        texts: list[str] = []
        pause = 0.5  # a real one, longer than idle_timeout: it is the timer that must not run meanwhile
        if inference.is_async:
            async with stream:
                async for chunk in stream:
                    await asyncio.sleep(pause)
                    more.set()
                    texts.append(chunk.text)
        else:
            with stream:
                for chunk in stream:
                    threading.Event().wait(pause)
                    more.set()
                    texts.append(chunk.text)
    assert texts == ["a", "b"]


@pytest.mark.parametrize("cut", [True, False])
@pytest.mark.parametrize("last", [chunk_event("is"), chunk_event("is", "stop"), b'data: {"choices": [{"del'])
async def test_a_stream_without_its_end_mark_is_interrupted(kind: str, cut: bool, last: bytes) -> None:
    async with connected(kind, streaming(chunk_event("Par"), last, cut=cut)) as (inference, _):
        error, _ = await failure(inference)
    assert type(error) is errors.StreamInterrupted
    assert error.partial_text == ("Par" if last.startswith(b'data: {"choices": [{"del') else "Paris")


async def test_an_end_mark_without_its_blank_line_is_enough(kind: str) -> None:
    async with connected(kind, streaming(chunk_event("Paris"), b"data: [DONE]")) as (inference, _):
        chunks = await inference.read(inference.stream())
    assert [chunk.text for chunk in chunks] == ["Paris"]


async def test_the_text_of_a_stream_is_the_text_of_its_first_choice(kind: str) -> None:
    texts = [(0, "Par"), (1, "Lon"), (0, "is"), (1, "don")]
    events = [event({"choices": [{"index": index, "delta": {"content": text}}]}) for index, text in texts]
    async with connected(kind, streaming(*events, DONE)) as (inference, _):
        stream = inference.stream(n=2)
        assert [chunk.text for chunk in await inference.read(stream)] == ["Par", "Lon", "is", "don"]
    assert stream.text == "Paris"


async def test_nothing_after_the_end_mark_is_read(kind: str) -> None:
    handler = streaming(chunk_event("Paris"), DONE, b"data: {\n\n", after=endless_silence())
    async with connected(kind, handler) as (inference, server):
        chunks = await inference.read(inference.stream(idle_timeout=30))
        assert server.was_left()
    assert [chunk.text for chunk in chunks] == ["Paris"]


@pytest.mark.parametrize("data", [b"data: {\n\n", b"data: [1]\n\n", b"data: \xff\n\n", b"data: nonsense\n\n"])
async def test_an_event_that_is_not_a_json_object_is_a_protocol_error(kind: str, data: bytes) -> None:
    async with connected(kind, streaming(chunk_event("Par"), data, after=endless_silence())) as (inference, server):
        error, _ = await failure(inference)
        assert server.was_left()
    assert type(error) is errors.ProtocolError


async def test_a_response_that_is_not_a_stream_is_a_protocol_error(kind: str) -> None:
    async with connected(kind, lambda _: ScriptedResponse([b"{}"], length=2)) as (inference, _):
        error, _ = await failure(inference)
    assert type(error) is errors.ProtocolError
    assert "application/json" in str(error)


async def test_leaving_the_with_block_of_a_stream_hangs_up(kind: str) -> None:
    handler = streaming(chunk_event("a"), chunk_event("b"), after=endless_silence())
    async with connected(kind, handler) as (inference, server):
        chunks = await inference.read(inference.stream(), max_chunks=1)
        assert server.was_left()
        assert inference.wrapped.stats().in_flight == 0
    assert [chunk.text for chunk in chunks] == ["a"]


async def test_leaving_a_loop_without_a_with_block_hangs_up(kind: str) -> None:
    async with connected(kind, streaming(chunk_event("a"), after=endless_silence())) as (inference, server):
        stream = inference.stream()
        if inference.is_async:
            async for _ in stream:
                break
            await asyncio.sleep(0)
        else:
            for _ in stream:
                break
        assert await asyncio.to_thread(server.was_left)
        with pytest.raises(errors.ConfigurationError, match="closed"):
            await inference.read(stream)


async def test_a_garbage_collected_stream_hangs_up_with_a_warning(kind: str) -> None:
    async with connected(kind, streaming(chunk_event("a"), after=endless_silence())) as (inference, server):
        stream = inference.stream()
        await stream.__aenter__() if inference.is_async else stream.__enter__()
        references = [stream]
        del stream
        with pytest.warns(ResourceWarning, match="a stream was not closed"):
            references.clear()
        assert await asyncio.to_thread(server.was_left)
        assert inference.wrapped.stats().in_flight == 0


async def test_a_canceled_reader_hangs_up(kind: str) -> None:
    if kind.startswith("sync"):
        pytest.skip("threads cannot be canceled")
    async with connected(kind, streaming(chunk_event("a"), after=endless_silence())) as (inference, server):
        started = asyncio.Event()

        async def read() -> None:
            async with inference.stream() as stream:
                async for _ in stream:
                    started.set()

        reader = asyncio.create_task(read())
        await started.wait()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert await asyncio.to_thread(server.was_left)
        assert inference.wrapped.stats().in_flight == 0


async def test_an_error_in_the_reader_propagates_and_hangs_up(kind: str) -> None:
    async with connected(kind, streaming(chunk_event("a"), after=endless_silence())) as (inference, server):
        with pytest.raises(ZeroDivisionError):
            await _raise_at_the_first_chunk(inference)
        assert server.was_left()


async def _raise_at_the_first_chunk(inference: AnyInference) -> None:
    if inference.is_async:
        async with inference.stream() as stream:
            async for _ in stream:
                raise ZeroDivisionError
    with inference.stream() as stream:
        for _ in stream:
            raise ZeroDivisionError


async def test_the_connection_stays_usable_after_120_abandoned_streams(kind: str) -> None:
    if kind.endswith("1"):
        pytest.skip("HTTP/2 only: streams that stay open would exhaust a connection")

    def respond(request: HttpRequest) -> ScriptedResponse:
        after = endless_silence() if request.body.get("long") else []
        return stream_response(chunk_event("a"), *[chunk_event("b")] * 50, after=after, cut=False)

    async with connected(kind, respond) as (inference, server):
        for _ in range(120):
            await inference.read(inference.stream(long=True), max_chunks=1)
        with pytest.raises(errors.StreamInterrupted):
            await inference.read(inference.stream())
        assert server.connections <= 4  # each takes no more after 40 abandoned streams


async def test_an_endless_event_is_rejected_before_it_fills_the_memory(kind: str) -> None:
    def endless() -> Iterator[bytes]:
        yield b"data: "
        while True:
            yield bytes(16_000)

    def respond(_: HttpRequest) -> ScriptedResponse:
        return stream_response(after=endless())

    tracemalloc.start()
    async with connected(kind, respond, max_reply_bytes=4 << 20) as (inference, server):
        error, _ = await failure(inference)
        assert server.was_left()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert type(error) is errors.ProtocolError
    assert peak < 16 << 20


async def test_no_thread_remains_after_streams_have_ended(kind: str) -> None:
    async with connected(kind, streaming(chunk_event("a"), DONE)) as (inference, _):
        await inference.read(inference.stream(idle_timeout=5))
        await wait_until_async(
            lambda: not any(thread.name.startswith("cwinference") for thread in threading.enumerate())
        )


async def test_concurrent_streams_time_out_independently(kind: str) -> None:
    def respond(request: HttpRequest) -> ScriptedResponse:
        if request.body["stall"]:
            return stream_response(chunk_event("a"), after=endless_silence())
        return stream_response(chunk_event("a"), DONE)

    if kind.endswith("2"):
        pytest.skip("the server responds to the requests of a connection one after the other")
    async with connected(kind, respond) as (inference, _):
        limits: Any = [{"idle_timeout": 0.2 + number % 3 / 10, "first_token_timeout": LONG} for number in range(24)]
        streams = [inference.stream(stall=number % 2, **each) for number, each in enumerate(limits)]
        reads = [inference.read(each) for each in streams]
        outcomes = await asyncio.gather(*reads, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [list, errors.StreamStalled] * 12


@pytest.mark.parametrize(("limit", "chunks"), [(1000, 0), (3000, 2)])
async def test_an_event_may_be_as_large_as_a_response(kind: str, limit: int, chunks: int) -> None:
    respond = streaming(chunk_event("x" * 2000), chunk_event("!"), DONE)
    async with connected(kind, respond, max_reply_bytes=limit) as (inference, _):
        if chunks:
            assert len(await inference.read(inference.stream())) == chunks
        else:
            error, _ = await failure(inference)
            assert type(error) is errors.ProtocolError
            assert "an event of more than 1000 bytes" in str(error)

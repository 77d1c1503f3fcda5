"""Streams that stall, break off or are left: an error in time, the text so far, and a server that sees the hang-up."""

import asyncio
import threading
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from cwinference import errors
from tests.support.inference_kinds import Front, asked
from tests.support.scripted_model_server import DONE, Asked, Reply, comments, event, piece, silence, streamed

ROLE = event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})


def told(*pieces: bytes, **more: Any) -> Any:
    return lambda _: streamed(*pieces, **more)


async def failure(front: Front, **arguments: Any) -> tuple[Any, float]:
    """The error of a stream, and after how many seconds it came."""
    started = time.monotonic()
    with pytest.raises(errors.InferenceError) as caught:
        await front.read(front.stream(**arguments))
    return caught.value, time.monotonic() - started


@pytest.mark.parametrize("after", [silence, comments])
async def test_a_stream_that_brings_nothing_more_stalls_whatever_keeps_it_alive(kind: str, after: Any) -> None:
    async with asked(kind, lambda _: streamed(piece("Par"), after=after())) as (front, server):
        error, seconds = await failure(front, idle_timeout=0.3)
        assert server.hung_up.wait(5)
    assert type(error) is errors.StreamStalled
    assert isinstance(error, TimeoutError)
    assert error.partial_text == "Par"
    assert 0.25 < seconds < 5
    assert "idle_timeout" in str(error)


@pytest.mark.parametrize("after", [silence, comments])
@pytest.mark.parametrize(("before", "idle"), [([], 30), ([ROLE], 30), ([], 0.3)])
async def test_a_first_token_that_does_not_come_stalls(kind: str, after: Any, before: list[bytes], idle: float) -> None:
    async with asked(kind, lambda _: streamed(*before, after=after())) as (front, server):
        error, seconds = await failure(front, first_token_timeout=min(idle, 0.3), idle_timeout=idle)
        assert server.hung_up.wait(5)
    assert type(error) is errors.StreamStalled
    assert 0.25 < seconds < 5
    assert "first_token_timeout" in str(error)


async def test_an_answer_that_does_not_begin_stalls_and_is_not_asked_for_again(kind: str) -> None:
    left = threading.Event()

    def answer(_: Asked) -> Reply:
        left.wait(10)
        return streamed(DONE)

    async with asked(kind, answer) as (front, server):
        error, seconds = await failure(front, first_token_timeout=0.3)
        left.set()
        assert len(server.asked) == 1
    assert type(error) is errors.StreamStalled
    assert seconds < 5


async def test_the_whole_calls_limit_ends_a_stream_that_goes_on(kind: str) -> None:
    def words() -> Iterator[bytes]:
        while True:
            time.sleep(0.02)
            yield piece("more ")

    async with asked(kind, lambda _: streamed(after=words())) as (front, server):
        stream = front.stream(timeout=0.5)
        with pytest.raises(errors.DeadlineExceeded):
            await front.read(stream)
        assert server.hung_up.wait(5)
    assert stream.text.startswith("more more ")


@pytest.mark.parametrize("kind", ["sync-1", "sync-2"])
async def test_a_limit_that_ends_a_stream_between_two_reads_is_told_as_one(kind: str) -> None:
    async with asked(kind, lambda _: streamed(piece("more "), after=silence())) as (front, _):
        stream = front.stream(idle_timeout=60)
        chunks = iter(stream)
        await asyncio.to_thread(next, chunks)
        stream._body.expire()
        with pytest.raises(errors.StreamStalled):
            await asyncio.to_thread(next, chunks)


async def test_the_time_that_the_reader_takes_does_not_count(kind: str) -> None:
    async with asked(kind, told(piece("a"), piece("b", "stop"), DONE)) as (front, _):
        stream = front.stream(idle_timeout=0.2, first_token_timeout=0.2)
        found: list[str] = []
        if front.awaits:
            async with stream:
                async for chunk in stream:
                    await asyncio.sleep(0.3)
                    found.append(chunk.text)
        else:
            with stream:
                for chunk in stream:
                    threading.Event().wait(0.3)
                    found.append(chunk.text)
    assert found == ["a", "b"]


@pytest.mark.parametrize("cut", [True, False])
@pytest.mark.parametrize("last", [piece("is"), piece("is", "stop"), b'data: {"choices": [{"del'])
async def test_a_stream_without_its_end_mark_is_interrupted(kind: str, cut: bool, last: bytes) -> None:
    async with asked(kind, told(piece("Par"), last, cut=cut)) as (front, _):
        error, _ = await failure(front)
    assert type(error) is errors.StreamInterrupted
    assert error.partial_text == ("Par" if last.startswith(b'data: {"choices": [{"del') else "Paris")


async def test_an_end_mark_without_its_empty_line_is_enough(kind: str) -> None:
    async with asked(kind, told(piece("Paris"), b"data: [DONE]")) as (front, _):
        chunks = await front.read(front.stream())
    assert [chunk.text for chunk in chunks] == ["Paris"]


async def test_the_text_of_a_stream_is_that_of_its_first_choice(kind: str) -> None:
    words = [(0, "Par"), (1, "Lon"), (0, "is"), (1, "don")]
    pieces = [event({"choices": [{"index": index, "delta": {"content": text}}]}) for index, text in words]
    async with asked(kind, told(*pieces, DONE)) as (front, _):
        stream = front.stream(n=2)
        assert [chunk.text for chunk in await front.read(stream)] == ["Par", "Lon", "is", "don"]
    assert stream.text == "Paris"


async def test_what_follows_the_end_mark_is_not_read(kind: str) -> None:
    async with asked(kind, told(piece("Paris"), DONE, b"data: {\n\n", after=silence())) as (front, server):
        chunks = await front.read(front.stream(idle_timeout=30))
        assert server.hung_up.wait(5)
    assert [chunk.text for chunk in chunks] == ["Paris"]


@pytest.mark.parametrize("data", [b"data: {\n\n", b"data: [1]\n\n", b"data: \xff\n\n", b"data: nonsense\n\n"])
async def test_an_event_that_is_no_object_is_a_protocol_error(kind: str, data: bytes) -> None:
    async with asked(kind, told(piece("Par"), data, after=silence())) as (front, server):
        error, _ = await failure(front)
        assert server.hung_up.wait(5)
    assert type(error) is errors.ProtocolError


async def test_an_answer_that_is_no_stream_is_a_protocol_error(kind: str) -> None:
    async with asked(kind, lambda _: Reply([b"{}"], length=2)) as (front, _):
        error, _ = await failure(front)
    assert type(error) is errors.ProtocolError
    assert "application/json" in str(error)


async def test_a_stream_that_is_left_hangs_up(kind: str) -> None:
    async with asked(kind, told(piece("a"), piece("b"), after=silence())) as (front, server):
        chunks = await front.read(front.stream(), most=1)
        assert server.hung_up.wait(5)
        assert front.inference.stats().in_flight == 0
    assert [chunk.text for chunk in chunks] == ["a"]


async def test_a_loop_without_a_with_block_hangs_up_when_it_is_left(kind: str) -> None:
    async with asked(kind, told(piece("a"), after=silence())) as (front, server):
        stream = front.stream()
        if front.awaits:
            async for _ in stream:
                break
            await asyncio.sleep(0)
        else:
            for _ in stream:
                break
        assert await asyncio.to_thread(server.hung_up.wait, 5)
        with pytest.raises(errors.ConfigurationError, match="closed"):
            await front.read(stream)


async def test_a_stream_that_is_dropped_hangs_up_with_a_warning(kind: str) -> None:
    async with asked(kind, told(piece("a"), after=silence())) as (front, server):
        stream = front.stream()
        await stream.__aenter__() if front.awaits else stream.__enter__()
        dropping = [stream]
        del stream
        with pytest.warns(ResourceWarning, match="dropped"):
            dropping.clear()
        assert await asyncio.to_thread(server.hung_up.wait, 5)
        assert front.inference.stats().in_flight == 0


async def test_a_cancelled_reader_hangs_up(kind: str) -> None:
    if kind.startswith("sync"):
        pytest.skip("threads are not cancelled")
    async with asked(kind, told(piece("a"), after=silence())) as (front, server):
        came = asyncio.Event()

        async def read() -> None:
            async with front.stream() as stream:
                async for _ in stream:
                    came.set()

        reader = asyncio.create_task(read())
        await came.wait()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert await asyncio.to_thread(server.hung_up.wait, 5)
        assert front.inference.stats().in_flight == 0


async def test_an_error_of_the_reader_passes_and_hangs_up(kind: str) -> None:
    async with asked(kind, told(piece("a"), after=silence())) as (front, server):
        with pytest.raises(ZeroDivisionError):
            await _fail_at_the_first_chunk(front)
        assert server.hung_up.wait(5)


async def _fail_at_the_first_chunk(front: Front) -> None:
    if front.awaits:
        async with front.stream() as stream:
            async for _ in stream:
                raise ZeroDivisionError
    with front.stream() as stream:
        for _ in stream:
            raise ZeroDivisionError


async def test_the_connection_serves_on_after_120_streams_were_left(kind: str) -> None:
    if kind.endswith("1"):
        pytest.skip("of HTTP/2: streams that stay open would fill a connection")

    def answer(got: Asked) -> Reply:
        return streamed(piece("a"), *[piece("b")] * 50, after=silence() if got.body.get("long") else [], cut=False)

    async with asked(kind, answer) as (front, server):
        for _ in range(120):
            await front.read(front.stream(long=True), most=1)
        with pytest.raises(errors.StreamInterrupted):
            await front.read(front.stream())
        assert server.connections <= 3


async def test_an_endless_event_is_refused_before_it_fills_the_memory(kind: str) -> None:
    if kind == "sync-2":
        pytest.skip("slow in the server, and the same code as sync-1")

    def endless() -> Iterator[bytes]:
        yield b"data: "
        while True:
            yield bytes(16_000)

    tracemalloc.start()
    async with asked(kind, lambda _: streamed(after=endless())) as (front, server):
        error, _ = await failure(front)
        assert server.hung_up.wait(5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert type(error) is errors.ProtocolError
    assert peak < 40 << 20


async def test_no_thread_stays_when_streams_have_ended(kind: str) -> None:
    async with asked(kind, told(piece("a"), DONE)) as (front, _):
        await front.read(front.stream(idle_timeout=5))
        deadline = time.monotonic() + 5
        while any(thread.name.startswith("cwinference") for thread in threading.enumerate()):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)


async def test_many_streams_at_once_keep_their_clocks_apart(kind: str) -> None:
    def answer(got: Asked) -> Reply:
        return streamed(piece("a"), after=silence()) if got.body["stall"] else streamed(piece("a"), DONE)

    if kind.endswith("2"):
        pytest.skip("the server of the tests answers one request of a connection after the other")
    async with asked(kind, answer) as (front, _):
        reads = [front.read(front.stream(stall=number % 2, idle_timeout=0.2 + number % 3 / 10)) for number in range(24)]
        ends = await asyncio.gather(*reads, return_exceptions=True)
    assert [type(end) for end in ends] == [list, errors.StreamStalled] * 12

"""Connections that take no more calls are closed with their last stream, whoever ends it and however."""

import asyncio
import gc
import ssl
import sys
import threading
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import Any

import pytest

from cwinference import TLS, AsyncClient, errors
from cwinference.emulator.server import Certificate
from cwinference.inference import AsyncInference, Chunk
from cwinference.transports import _http1
from cwinference.transports._pool import EARLY_ENDS_PER_CONNECTION, Lane
from tests.support import certificates
from tests.support.client_kinds import TOKEN
from tests.support.distant_server import LONG, PROMPT, DistantServer
from tests.support.inference_kinds import MESSAGES, connected, open_inference
from tests.support.scripted_model_server import (
    DONE,
    HttpRequest,
    ScriptedModelServer,
    ScriptedResponse,
    chunk_event,
    completion,
    endless_silence,
    json_response,
    stream_response,
)
from tests.support.waiting import wait_until_async

ROOT = Path(__file__).parents[2]


class Reading:
    """A stream that is being read, and that ends as its user says."""

    def __init__(self, inference: AsyncInference, name: str = LONG) -> None:
        self.stream = inference.chat.completions.stream(model=name, messages=MESSAGES)
        self.chunks: AsyncIterator[Chunk] = aiter(self.stream)

    async def begin(self) -> "Reading":
        """Read the first chunk."""
        assert (await anext(self.chunks)).text == "a"
        return self

    async def rest(self) -> str:
        """Read to the end; return the text."""
        async for _ in self.chunks:
            pass
        return self.stream.text


async def leave(inference: AsyncInference, server: DistantServer, times: int = EARLY_ENDS_PER_CONNECTION) -> None:
    """Give so many streams up, by default as many as a connection takes."""

    async def leave_one(name: str) -> None:
        reading = await Reading(inference, name).begin()
        server.leave(name)
        await reading.stream.close()

    await asyncio.gather(*(leave_one(f"short-{number}") for number in range(times)))


@pytest.fixture
def server() -> Generator[DistantServer]:
    with DistantServer(seconds=0.0) as running:
        yield running


@pytest.fixture
async def inference(server: DistantServer) -> AsyncIterator[AsyncInference]:
    async with AsyncInference(server.url, token=TOKEN, http_version=2) as opened:
        yield opened


async def test_a_connection_without_other_calls_is_closed_at_once(
    server: DistantServer, inference: AsyncInference
) -> None:
    await leave(inference, server)
    await wait_until_async(lambda: server.open_connections == 0)
    assert len(server.given_up_on) == 1


async def test_the_last_stream_closes_the_connection(server: DistantServer, inference: AsyncInference) -> None:
    readings = [await Reading(inference).begin() for _ in range(2)]
    await leave(inference, server)
    assert server.open_connections == 1
    await readings[0].stream.close()
    server.finish()
    assert await readings[1].rest() == "ab"
    await wait_until_async(lambda: server.open_connections == 0)


async def test_a_stream_that_is_dropped_closes_it(server: DistantServer, inference: AsyncInference) -> None:
    reading = await Reading(inference).begin()
    body: Any = reading.stream._body
    await leave(inference, server)
    reading.stream._body = None
    body.abandon()
    await wait_until_async(lambda: server.open_connections == 0)


async def test_it_is_closed_though_the_pool_is_closed_meanwhile(server: DistantServer) -> None:
    async with AsyncInference(server.url, token=TOKEN, http_version=2) as inference:
        reading = await Reading(inference).begin()
        await leave(inference, server)
        other = await Reading(inference).begin()
        assert server.open_connections == 2
    for each in (other, reading):
        await each.stream.close()
    await wait_until_async(lambda: server.open_connections == 0)


async def test_it_is_closed_by_a_task_that_is_canceled_twice(server: DistantServer, inference: AsyncInference) -> None:
    begun = asyncio.Event()

    async def read() -> None:
        reading = await Reading(inference).begin()
        begun.set()
        await reading.rest()

    reader = asyncio.create_task(read())
    await begun.wait()
    await leave(inference, server)
    reader.cancel()
    await asyncio.sleep(0)
    reader.cancel()
    await asyncio.wait([reader])
    await wait_until_async(lambda: server.open_connections == 0)


async def test_the_last_stream_may_be_of_another_event_loop(server: DistantServer, inference: AsyncInference) -> None:
    begun, may_end = threading.Event(), threading.Event()

    async def read() -> str:
        reading = await Reading(inference).begin()
        begun.set()
        await asyncio.to_thread(may_end.wait, 10)
        return await reading.rest()

    other = asyncio.create_task(asyncio.to_thread(asyncio.run, read()))
    await asyncio.to_thread(begun.wait, 10)
    await leave(inference, server)
    assert server.open_connections == 1
    server.finish()
    may_end.set()
    assert await other == "ab"
    await wait_until_async(lambda: server.open_connections == 0)


async def test_the_last_stream_may_be_of_an_event_loop_that_has_ended(
    server: DistantServer, inference: AsyncInference
) -> None:
    async def begin() -> Any:
        stream = inference.chat.completions.stream(model=LONG, messages=MESSAGES)
        return await stream.__aenter__()

    abandoned = [await asyncio.to_thread(asyncio.run, begin())]
    await leave(inference, server)
    assert server.open_connections == 1
    with pytest.warns(ResourceWarning, match="a stream was not closed"):
        abandoned.clear()
    await wait_until_async(lambda: server.open_connections == 0)


def respond_properly(request: HttpRequest) -> ScriptedResponse:
    if request.body["model"] == "none":
        return json_response({"error": {"message": "no such model"}}, 404)
    if request.body.get("stream"):
        return stream_response(chunk_event("a", "stop"), DONE)
    return json_response(completion())


@pytest.mark.parametrize("kind", ["sync-2", "async-2"])
async def test_calls_that_end_properly_keep_their_connection(kind: str) -> None:
    async with connected(kind, respond_properly) as (inference, server):
        for _ in range(EARLY_ENDS_PER_CONNECTION):
            await inference.read(inference.stream())
            await inference.chat()
            for request in (inference.chat(model="none"), inference.read(inference.stream(model="none"))):
                with pytest.raises(errors.NotFound):
                    await request
        assert server.connections == 1
        assert [lane.early_ends for lane in lanes()] == [0]


@pytest.mark.parametrize("kind", ["sync-2", "async-2"])
async def test_a_response_that_is_no_stream_is_read_and_keeps_its_connection(kind: str) -> None:
    async with connected(kind, lambda _: json_response("x" * 100_000)) as (inference, server):
        for _ in range(EARLY_ENDS_PER_CONNECTION + 1):
            with pytest.raises(errors.ProtocolError, match="not an event stream"):
                await inference.read(inference.stream())
        assert server.connections == 1


async def test_a_response_that_is_kept_does_not_keep_the_connection_open(server: DistantServer) -> None:
    loop, calls = asyncio.get_running_loop(), dict[str, asyncio.Task[object]]()
    server.on_arrival = lambda name: loop.call_soon_threadsafe(calls[name].cancel)
    async with AsyncClient(TOKEN, endpoint=server.url, transport="connect", retry=None) as client:
        while not any(lane.connection.kept for lane in lanes()):
            await client.gateways.get(PROMPT)
        referred_to = lanes()  # as a traceback of a call may do
        for number in range(EARLY_ENDS_PER_CONNECTION):
            calls[str(number)] = call = asyncio.create_task(client.gateways.get(str(number)))
            await asyncio.wait([call])
        await wait_until_async(lambda: server.open_connections == 0)
        assert len(referred_to) == 1


@pytest.mark.parametrize("kind", ["sync-1", "async-1"])
async def test_over_http1_early_ends_are_not_counted(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http1, "is_direct", False)
    async with connected(kind, respond_endlessly) as (inference, _):
        for _ in range(EARLY_ENDS_PER_CONNECTION + 1):
            await inference.read(inference.stream(), 1)
        assert [lane.early_ends for lane in lanes()] == [0]


async def test_where_the_version_is_negotiated_early_ends_count_over_http2(tmp_path: Path) -> None:
    cert, key = certificates.make(tmp_path)
    with DistantServer(seconds=0.0, certificate=Certificate(cert, key)) as server:
        async with AsyncInference(server.url, token=TOKEN, tls=TLS(ca=cert)) as inference:
            await leave(inference, server, 1)  # or several connections would be made before the version is known
            await leave(inference, server, EARLY_ENDS_PER_CONNECTION - 1)
            await leave(inference, server, 1)
    assert sorted(server.given_up_on.values()) == [1, EARLY_ENDS_PER_CONNECTION]


@pytest.mark.parametrize("kind", ["sync-1", "async-1"])
async def test_where_the_version_is_negotiated_early_ends_do_not_count_over_http1(kind: str, tmp_path: Path) -> None:
    cert, key = certificates.make(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    silent_stream = ScriptedResponse(headers={"content-type": "text/event-stream"}, length=10)

    def respond(request: HttpRequest) -> ScriptedResponse:
        return silent_stream if request.body.get("stream") else json_response(completion())

    with ScriptedModelServer(respond, 1, context) as server:
        url = server.url.replace("http://127.0.0.1", "https://localhost")
        async with open_inference(kind, url, http_version=None, tls=TLS(ca=cert)) as inference:
            await inference.chat()  # only then is the version known
            for _ in range(3):
                with pytest.raises(errors.StreamStalled):
                    await inference.read(inference.stream(idle_timeout=0.05))
            assert [lane.early_ends for lane in lanes()] == [0]


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_after_a_fork_the_parent_closes_it_and_the_child_does_not(mode: str) -> None:
    """The child lives on, with copies of the parent's descriptors."""
    with DistantServer(seconds=0.0) as server:
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "ignore", "-m", "tests.support.drained_fork_program", mode, server.url,
            cwd=ROOT, stdin=PIPE, stdout=PIPE,
        )  # fmt: skip
        assert program.stdin is not None
        assert program.stdout is not None
        lines = sorted([await program.stdout.readline() for _ in range(2)])
        await wait_until_async(lambda: server.open_connections == 0)
        assert program.returncode is None
        program.stdin.close()
        assert await program.wait() == 0
    assert lines == [b"child: closed\n", b"parent: a\n"]


def respond_endlessly(_: object) -> ScriptedResponse:
    return stream_response(chunk_event("a"), after=endless_silence())


_OF_OTHERS = list[Lane[Any]]()
"""Lanes that there were before a test: what failed before it may refer to some."""


@pytest.fixture(autouse=True)
def lanes_of_others() -> Generator[None]:
    _OF_OTHERS[:] = lanes()
    yield
    _OF_OTHERS.clear()


def lanes() -> list[Lane[Any]]:
    gc.collect()
    others = {*map(id, _OF_OTHERS)}
    return [each for each in gc.get_objects() if isinstance(each, Lane) and id(each) not in others]

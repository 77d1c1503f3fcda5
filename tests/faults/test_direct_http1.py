"""Completions on an event loop without pyqwest: what servers do to connections, and what is done to them here."""

import asyncio
import fcntl
import gc
import socket
import struct
import subprocess
import sys
import termios
import threading
import tracemalloc
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cwinference import errors
from cwinference.inference import AsyncInference, AsyncStream
from cwinference.transports import _http1, _http1_exchange, _http1_response
from cwinference.transports._http1_connection import Connection, Receiver
from tests.support.client_kinds import TOKEN
from tests.support.inference_kinds import MESSAGES
from tests.support.raw_model_server import BODY, LENGTH, OK, RawServer, always, chat, connected
from tests.support.scripted_model_server import (
    DONE,
    MODEL,
    ScriptedModelServer,
    chunk_event,
    stream_response,
)
from tests.support.scripted_server import http_response
from tests.support.socket_servers import SocketServer
from tests.support.waiting import wait_until_async

ROOT = Path(__file__).parents[2]
CHUNKED = b"transfer-encoding: chunked\r\n"
MIB = 1024 * 1024

pytestmark = pytest.mark.skipif("config.getoption('--pyqwest')")


@pytest.mark.parametrize("response", [
    OK + LENGTH + b"\r\n" + BODY,
    OK + CHUNKED + b"\r\n%x\r\n" % len(BODY) + BODY + b"\r\n0\r\ntrailer: 1\r\n\r\n",
    OK + CHUNKED + b"\r\n%x  \r\n" % len(BODY) + BODY + b"\r\n0 \r\ncontent-length: 1\r\n\r\n",
    OK + b"x-long: " + b"x" * 400_000 + b"\r\n" + LENGTH + b"\r\n" + BODY,
    (OK + LENGTH + b"\r\n").replace(b"\r", b"") + BODY,
    OK.replace(b"1.1", b"1.0") + b"connection: keep-alive\r\n" + LENGTH + b"\r\n" + BODY,
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK + LENGTH + b"\r\n" + BODY,
    OK + b"upgrade: h2c\r\nconnection: upgrade\r\n" + LENGTH + b"\r\n" + BODY,
])  # fmt: skip
async def test_a_connection_is_used_again(response: bytes) -> None:
    async with connected(always(response)) as (inference, server):
        assert [await chat(inference) for _ in range(3)] == ["Paris"] * 3
        assert len(server.connections) == 1


@pytest.mark.parametrize("response", [
    OK + LENGTH + b"connection: close\r\n\r\n" + BODY,
    OK.replace(b"1.1", b"1.0") + LENGTH + b"\r\n" + BODY,
    OK + LENGTH + b"\r\n" + BODY + b"HTTP/1.1 408 Request Timeout\r\n\r\n",
    OK + LENGTH + b"\r\n" + BODY + b"\0\0",
    OK + LENGTH + CHUNKED + b"\r\n%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
])  # fmt: skip
async def test_it_is_not_used_again_if_the_server_says_so_or_sends_more(response: bytes) -> None:
    async with connected(always(response)) as (inference, server):
        assert [await chat(inference) for _ in range(3)] == ["Paris"] * 3
        assert len(server.connections) == 3


async def test_a_body_may_end_with_its_connection() -> None:
    def respond(connection: socket.socket, _: int) -> None:
        connection.sendall(OK + b"\r\n" + BODY)
        connection.shutdown(socket.SHUT_RDWR)

    async with connected(respond) as (inference, _):
        assert await chat(inference) == "Paris"


@pytest.mark.parametrize("header", [
    b"Transfer-Encoding: Chunked\r\n", b"transfer-encoding: identity\r\nx: y\r\n" + CHUNKED,
])  # fmt: skip
async def test_a_body_in_chunks_is_not_complete_without_the_last_one(header: bytes) -> None:
    def respond(connection: socket.socket, _: int) -> None:
        connection.sendall(OK + header + b"\r\n%x\r\n" % len(BODY) + BODY + b"\r\n")
        connection.shutdown(socket.SHUT_RDWR)

    async with connected(respond) as (inference, _):
        with pytest.raises(errors.Unavailable, match="within its response") as caught:
            await chat(inference)
    assert not caught.value.retryable


async def test_a_server_that_sends_no_more_and_never_reads_ends_the_exchange_at_once() -> None:
    done = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.shutdown(socket.SHUT_WR)
        done.wait(20)

    with SocketServer(serve) as server:
        async with AsyncInference(server.endpoint, token=TOKEN, retry=None) as inference:
            with pytest.raises(errors.Unavailable, match="the server closed it before its response"):
                await chat(inference, "x" * 20 * MIB)
        done.set()


async def test_a_connection_that_is_lost_before_it_is_used_ends_the_exchange() -> None:
    ours, theirs = socket.socketpair()
    _, connection = await asyncio.get_running_loop().create_connection(Connection, sock=ours)
    theirs.close()
    await wait_until_async(lambda: connection._is_lost)
    with pytest.raises(errors.Unavailable, match="the server closed it") as caught:
        await connection.send(b"GET / HTTP/1.1\r\n\r\n").begin()
    assert caught.value.retryable


@pytest.mark.parametrize(("module", "name", "end"), [
    (_http1_exchange, "usual_response", LENGTH + b"\r\n" + BODY),
    (_http1_response, "_headers", CHUNKED + b"\r\n"),
])  # fmt: skip
def test_what_interrupts_the_reading_of_a_response_is_no_fault_of_the_response(
    module: object, name: str, end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as Ctrl-C, or what the handler of another signal raises."""

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    async def main(url: str) -> None:
        async with AsyncInference(url, token=TOKEN, retry=None) as inference:
            monkeypatch.setattr(module, name, interrupted)
            await chat(inference)

    with RawServer(always(OK + end)) as server, pytest.raises(KeyboardInterrupt):
        asyncio.run(main(server.endpoint))


async def test_its_reader_hears_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Event loops do not agree on what becomes of an error in a callback."""

    def interrupted(_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(_http1_response, "_headers", interrupted)
    ours, theirs = socket.socketpair()
    with theirs:
        _, connection = await asyncio.get_running_loop().create_connection(Connection, sock=ours)
        response = connection.send(b"GET / HTTP/1.1\r\n\r\n")
        reader = asyncio.create_task(response.begin())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            response.receive(OK + b"\r\n")
        with pytest.raises(errors.Unavailable, match="interrupted"):
            await asyncio.wait_for(reader, 20)
        connection.abort()
        await asyncio.sleep(0)


async def test_a_connection_that_the_server_closes_while_it_is_idle_costs_no_request() -> None:
    """The event loop has no turn in which it could notice."""
    async with connected(always(OK + LENGTH + b"\r\n" + BODY)) as (inference, server):
        for _ in range(3):
            assert await chat(inference) == "Paris"
            server.connections[-1].shutdown(socket.SHUT_RDWR)
        assert len(server.connections) == 3
        assert len(server.heads) == 3


async def test_bytes_that_nobody_asked_for_make_an_idle_connection_useless() -> None:
    async with connected(always(OK + LENGTH + b"\r\n" + BODY)) as (inference, server):
        for _ in range(2):
            assert await chat(inference) == "Paris"
            server.connections[-1].sendall(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        assert len(server.connections) == 2


@pytest.mark.parametrize("hangs_up", [True, False])
async def test_a_refusal_counts_although_the_request_is_still_being_sent(hangs_up: bool) -> None:
    """The server reads no more than the beginning, so that the rest can never be written."""
    done = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        if not hangs_up:
            done.wait(20)

    with SocketServer(serve) as server:
        async with AsyncInference(server.endpoint, token=TOKEN, retry=None) as inference:
            for _ in range(2):
                with pytest.raises(errors.InferenceError) as caught:
                    await chat(inference, "x" * 20 * MIB)
                assert getattr(caught.value, "http_status", None) == 413
        done.set()
        assert len(server.connections) == 2


async def test_a_refusal_that_has_arrived_counts_although_a_write_fails_before_it_is_read() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        _, connection = await asyncio.get_running_loop().create_connection(Connection, sock=ours)
        response = connection.send(b"POST / HTTP/1.1\r\n\r\n")
        theirs.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        connection.connection_lost(BrokenPipeError())  # as the event loop says it
        await response.begin()
        assert (response.status, [piece async for piece in response]) == (413, [b"no"])
        connection._transport.abort()
        await asyncio.sleep(0)


async def test_a_stream_that_nobody_reads_is_not_received() -> None:
    sent = 0

    def respond(connection: socket.socket, _: int) -> None:
        nonlocal sent
        connection.sendall(OK + b"content-type: text/event-stream\r\n\r\n" + chunk_event("a"))
        connection.settimeout(1.0)  # it has to be seen that a real buffer stays full
        while sent < 64 * MIB:  # until the buffers on the way are full
            sent += connection.send(b": " + b"x" * MIB + b"\n\n")

    async with (
        connected(respond) as (inference, server),
        inference.chat.completions.stream(model=MODEL, messages=MESSAGES) as stream,
    ):
        assert (await anext(aiter(stream))).text == "a"
        await asyncio.to_thread(server._threads[-1].join)
        assert sent < 32 * MIB


async def test_a_server_that_waits_for_room_to_send_hears_at_once_of_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    left, is_paused, receive = threading.Event(), asyncio.Event(), Connection.data_received

    def data_received(connection: Connection, data: bytes) -> None:
        receive(connection, data)
        if connection._is_paused:
            is_paused.set()

    monkeypatch.setattr(Connection, "data_received", data_received)
    events = chunk_event("a") + b"data: no JSON\n\n" + b": " * 32 * MIB

    def respond(connection: socket.socket, _: int) -> None:
        try:
            connection.sendall(OK + b"content-type: text/event-stream\r\n\r\n" + events)
        except OSError:
            left.set()

    async with connected(respond) as (inference, server):
        chunks = aiter(inference.chat.completions.stream(model=MODEL, messages=MESSAGES))
        assert (await anext(chunks)).text == "a"
        await is_paused.wait()
        await wait_until_async(lambda: has_no_room(server.connections[0]))
        with pytest.raises(errors.ProtocolError):
            await anext(chunks)
        assert left.wait(20)  # without another turn of the event loop


def has_no_room(connection: socket.socket) -> bool:
    """Return whether bytes wait to be sent, and the window of the other side is closed."""
    (window,) = struct.unpack_from("I", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232), 228)
    (waiting,) = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))
    return bool(window == 0 and waiting > 0)


async def test_all_of_a_large_stream_is_received() -> None:
    count = 3000
    events = [chunk_event("x" * 2000) for _ in range(count)]
    with ScriptedModelServer(lambda _: stream_response(b"".join(events), DONE)) as server:
        async with AsyncInference(server.url, token=TOKEN, retry=None) as inference:
            for _ in range(2):
                async with inference.chat.completions.stream(model=MODEL, messages=MESSAGES) as stream:
                    assert len([chunk async for chunk in stream]) == count
            assert server.connections == 1


@pytest.mark.parametrize("cancels", [True, False])
async def test_two_tasks_that_read_one_stream_both_end(cancels: bool) -> None:
    """Each gets a part of it, as by pyqwest: nothing good, but no task waits forever."""
    more = threading.Event()

    def respond(connection: socket.socket, _: int) -> None:
        connection.sendall(OK + b"content-type: text/event-stream\r\n\r\n")
        assert more.wait(20)
        connection.sendall(chunk_event("a") + DONE)
        connection.shutdown(socket.SHUT_RDWR)

    async def read(stream: AsyncStream) -> list[str]:
        return [chunk.text async for chunk in stream]

    async with (
        connected(respond) as (inference, _),
        inference.chat.completions.stream(model=MODEL, messages=MESSAGES) as stream,
    ):
        readers = [asyncio.create_task(read(stream)) for _ in range(2)]
        await asyncio.sleep(0)
        if cancels:
            readers[1].cancel()
        more.set()
        outcomes = await asyncio.wait_for(asyncio.gather(*readers, return_exceptions=True), 20)
    assert cancels or ["a"] in outcomes


async def test_a_canceled_call_closes_its_connection_at_once() -> None:
    left = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.recv(1000)
        while connection.recv(1000):
            pass
        left.set()

    with SocketServer(serve) as server:
        async with AsyncInference(server.endpoint, token=TOKEN, retry=None) as inference:
            call = asyncio.create_task(chat(inference))
            await wait_until_async(lambda: bool(server.connections))
            await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert left.wait(20)


async def test_a_stream_goes_on_while_its_client_is_closed_and_closes_its_connection() -> None:
    more = threading.Event()

    def rest() -> Iterator[bytes]:
        assert more.wait(20)
        yield chunk_event("b") + DONE

    with ScriptedModelServer(lambda _: stream_response(chunk_event("a"), after=rest())) as server:
        inference = AsyncInference(server.url, token=TOKEN, retry=None)
        async with inference.chat.completions.stream(model=MODEL, messages=MESSAGES) as stream:
            chunks = aiter(stream)
            assert (await anext(chunks)).text == "a"
            await inference.close()
            more.set()
            assert [chunk.text async for chunk in chunks] == ["b"]
        assert await asyncio.to_thread(is_closed, server._server.connections[0])


def is_closed(connection: socket.socket) -> bool:
    """Return whether a client closes a connection soon, on which the server's own thread may wait as well."""
    try:
        connection.settimeout(20)
        return not connection.recv(1)
    except OSError:
        return True


async def test_idle_connections_are_closed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http1, "IDLE_SECONDS", 0.05)
    async with connected(always(OK + LENGTH + b"\r\n" + BODY)) as (inference, server):
        await asyncio.gather(*(chat(inference) for _ in range(3)))
        for each in server._threads[1:]:  # their connections are
            await asyncio.to_thread(each.join)
        assert await chat(inference) == "Paris"


@pytest.mark.parametrize("closes", [True, False])
def test_event_loops_have_connections_of_their_own_which_end_with_them(closes: bool) -> None:
    """Without a warning, though the client is not closed."""

    async def main(inference: AsyncInference) -> None:
        for _ in range(2):
            assert await chat(inference) == "Paris"
        if closes:
            await inference.close()

    with RawServer(always(OK + LENGTH + b"\r\n" + BODY)) as server:
        inference = AsyncInference(server.endpoint, token=TOKEN, retry=None)
        for number in range(1 if closes else 3):
            asyncio.run(main(inference))
            gc.collect()
            assert len(server.connections) == number + 1
            assert is_closed(server.connections[-1])


@pytest.mark.filterwarnings("error")
def test_a_stream_that_is_open_at_the_end_of_its_event_loop_is_hung_up() -> None:
    """Without a warning of its transport, though it is closed later, on another event loop."""
    with RawServer(always(OK + b"content-type: text/event-stream\r\n\r\n" + chunk_event("a"))) as server:
        inference = AsyncInference(server.endpoint, token=TOKEN, retry=None)
        stream = inference.chat.completions.stream(model=MODEL, messages=MESSAGES)
        asyncio.run(stream.__aenter__())
        assert is_closed(server.connections[0])
        asyncio.run(stream.close())
        gc.collect()


def test_a_client_may_be_closed_on_another_event_loop() -> None:
    with RawServer(always(OK + LENGTH + b"\r\n" + BODY)) as server, event_loop() as loop:
        inference = AsyncInference(server.endpoint, token=TOKEN, retry=None)
        assert asyncio.run_coroutine_threadsafe(chat(inference), loop).result(20) == "Paris"
        asyncio.run(inference.close())
        assert is_closed(server.connections[0])


@contextmanager
def event_loop() -> Generator[asyncio.AbstractEventLoop]:
    """Run an event loop on a thread."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        yield loop
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def test_a_path_is_sent_as_urls_have_it_and_a_host_with_its_port() -> None:
    with RawServer(always(OK + LENGTH + b"\r\n" + BODY)) as server:
        url = f"{server.endpoint}/a b/é%20/{{x}}"
        async with AsyncInference(url, token=TOKEN, retry=None) as inference:
            assert await chat(inference) == "Paris"
    verb, path, headers = server.heads[0]
    assert (verb, path) == ("POST", "/a%20b/%C3%A9%20/%7Bx%7D/v1/chat/completions")
    assert headers["host"] == f"127.0.0.1:{server.port}"
    assert headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(("path", "sent"), [
    ("/a/./b", "/a/b"), ("/a/../b", "/b"), ("/../a/%2E%2e/b", "/b"),
    ("/a\\b", "/a/b"), ("/a//b", "/a//b"), ("/.a/b..", "/.a/b.."),
])  # fmt: skip
async def test_a_path_has_no_segments_of_dots(path: str, sent: str) -> None:
    """As pyqwest sends it, so that both kinds of clients ask for the same."""
    async with connected(always(OK + LENGTH + b"\r\n" + BODY)) as (_, server):
        async with AsyncInference(server.endpoint + path, token=TOKEN, retry=None) as inference:
            await chat(inference)
        assert server.heads[0][1] == f"{sent}/v1/chat/completions"


@pytest.mark.parametrize("value", ["a\r\nx-more: 1", "a\nb", "a\0", "é", "\ud800"])
def test_a_header_cannot_add_another_one(value: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="'x-odd' contains characters") as caught:
        _http1._encoded(["POST / HTTP/1.1\r\n", f"x-odd: {value}\r\n", "\r\n"])
    assert value not in str(caught.value)


async def test_headers_that_are_no_text_are_empty() -> None:
    odd = b"HTTP/1.1 503 No\r\nx-latin: caf\xe9\r\nx-utf: caf\xc3\xa9\r\ncontent-length: 0\r\n\r\n"
    async with connected(always(odd)) as (inference, _):
        with pytest.raises(errors.Unavailable) as caught:
            await chat(inference)
    assert caught.value.headers["x-latin"] == ""
    assert caught.value.http_status == 503


def test_a_child_that_is_forked_during_a_call_leaves_the_connection_alone() -> None:
    with RawServer(always(http_response(200, BODY, {"content-type": "application/json"}))) as server:
        command = [sys.executable, "-W", "ignore", "-m", "tests.support.direct_fork_program", server.endpoint]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.splitlines() == ["before: Paris", "child: ConfigurationError", "after: Paris"]
        assert len(server.connections) == 1


async def test_a_server_that_closes_after_a_response_without_a_word_costs_no_request() -> None:
    def respond(connection: socket.socket, number: int) -> None:
        connection.sendall(OK + LENGTH + b"\r\n" + BODY)
        if number % 3 == 0:
            connection.shutdown(socket.SHUT_RDWR)
            closed.release()

    closed = threading.Semaphore(0)
    with RawServer(respond) as server:
        async with AsyncInference(server.endpoint, token=TOKEN, retry=None) as inference:
            for _ in range(4):
                assert [await chat(inference) for _ in range(3)] == ["Paris"] * 3
                closed.acquire(timeout=20)  # while the event loop is not told
        assert len(server.connections) == 4


async def test_a_body_in_tiny_chunks_takes_little_more_memory_than_its_bytes() -> None:
    body = BODY[:-1] + b" " * 1_000_000 + b"}"
    pieces = [body[start : start + 2] for start in range(0, len(body), 2)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)

    async with connected(always(OK + CHUNKED + b"\r\n" + chunks + b"0\r\n\r\n")) as (inference, _):
        tracemalloc.start()
        assert await chat(inference) == "Paris"
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 20 * MIB


async def test_an_interrupt_while_a_request_is_sent_closes_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else may get the connection, on which a response may still come."""
    send, interrupt = Connection.send_for, threading.Event()

    def interrupted(connection: Connection, receiver: Receiver, request: bytes) -> None:
        if interrupt.is_set():
            interrupt.clear()
            raise RuntimeError
        send(connection, receiver, request)

    monkeypatch.setattr(Connection, "send_for", interrupted)
    async with connected(always(OK + LENGTH + b"\r\n" + BODY)) as (inference, server):
        assert await chat(inference) == "Paris"
        interrupt.set()
        with pytest.raises(RuntimeError):
            await chat(inference)
        assert await chat(inference) == "Paris"
        assert len(server.connections) <= 2


async def test_what_a_canceled_call_has_received_is_not_kept_by_its_connection() -> None:
    body = BODY[:-1] + b" " * 100_000 + b"}"
    tasks = list[asyncio.Task[str]]()

    def respond(connection: socket.socket, number: int) -> None:
        connection.sendall(OK + b"content-length: %d\r\n\r\n" % len(body) + body)

    def end(exchange: _http1_exchange.Exchange, failure: Exception | None) -> None:
        ended(exchange, failure)
        for task in tasks:
            task.cancel()

    ended = _http1_exchange.Exchange._end
    async with connected(respond) as (inference, _):
        assert await chat(inference) == "Paris"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_http1_exchange.Exchange, "_end", end)
            tasks.append(asyncio.create_task(chat(inference)))
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]
        kept = [each for each in gc.get_objects() if isinstance(each, _http1_exchange.Exchange)]
        assert kept
        assert all(each._usual is None and not each._chunks for each in kept)

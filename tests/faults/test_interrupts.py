"""Ctrl-C ends a waiting call at once, on every transport, and leaves the client usable."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest

from cwinference import AsyncClient, Client, errors
from cwinference.inference import AsyncInference, Inference
from cwinference.inference._limiter import Limiter
from tests.support.client_kinds import KINDS
from tests.support.fork_program import new_client
from tests.support.inference_kinds import MESSAGES
from tests.support.interrupted_calls import FirstCallWaits, wait_until_blocked
from tests.support.scripted_model_server import (
    MODEL,
    HttpRequest,
    ScriptedModelServer,
    ScriptedResponse,
    chunk_event,
    completion,
    endless_silence,
    json_response,
    stream_response,
)
from tests.support.scripted_server import ScriptedServer
from tests.support.socket_servers import SocketServer, silence
from tests.support.waiting import wait_until

SOON = 20.0
"""Seconds, on a machine that has much else to do."""
LONG = 100.0
"""Seconds after which calls and streams would end anyway."""
STREAM: dict[str, Any] = {"model": MODEL, "messages": MESSAGES}


@pytest.fixture(autouse=True)
def ctrl_c_interrupts() -> Generator[None]:
    """Install Python's handler of SIGINT, which a process that was started in the background does not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@contextmanager
def interrupted(event: threading.Event) -> Generator[None]:
    """Interrupt the block after the event, once this thread is blocked, and expect the KeyboardInterrupt soon."""

    def interrupt() -> None:
        if event.wait(LONG):
            wait_until_blocked(threading.main_thread().ident)
            os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=interrupt)
    sender.start()
    with pytest.raises(KeyboardInterrupt):
        yield
    ended = time.monotonic()
    sender.join()
    assert time.monotonic() - ended < SOON


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "json" not in kind])
def test_ctrl_c_ends_a_call_and_the_client_stays_usable(kind: str) -> None:
    first_call = FirstCallWaits()
    with ScriptedServer(kind.partition("-")[0], first_call) as server:
        client = new_client(kind, server.endpoint)
        started = time.monotonic()
        with interrupted(first_call.received):
            call(client)
        assert time.monotonic() - started < SOON
        first_call.go.set()
        assert call(client, close=True) == "front"


def call(client: Client | AsyncClient, *, close: bool = False) -> str:
    if isinstance(client, Client):
        name = client.gateways.get("x", timeout=LONG).spec.name
        if close:
            client.close()
        return name
    return asyncio.run(call_async(client, close))


async def call_async(client: AsyncClient, close: bool) -> str:
    name = (await client.gateways.get("x", timeout=LONG)).spec.name
    if close:
        await client.close()
    return name


def test_ctrl_c_ends_the_wait_for_a_token() -> None:
    waiting = threading.Event()

    def token() -> str:
        waiting.set()
        threading.Event().wait(LONG)
        return "token"

    with Client(token, endpoint="http://127.0.0.1:9") as client, interrupted(waiting):
        client.gateways.get("x")


@pytest.mark.parametrize("version", [1, 2])
def test_ctrl_c_ends_a_completion_and_releases_its_slot(version: int) -> None:
    first_call = FirstCallWaits()

    def respond(_: HttpRequest) -> ScriptedResponse:
        first_call.wait()
        return json_response(completion())

    with ScriptedModelServer(respond, version) as server, open_inference(server) as inference:
        with interrupted(first_call.received):
            inference.chat.completions.create(timeout=LONG, **STREAM)
        assert inference.stats().in_flight == 0
        first_call.go.set()
        assert inference.chat.completions.create(timeout=LONG, **STREAM).text == "Paris"


@pytest.mark.parametrize("first", [LONG, None])
@pytest.mark.parametrize("version", [1, 2])
def test_ctrl_c_ends_a_stream_that_has_not_started(version: int, first: float | None) -> None:
    first_call = FirstCallWaits()

    def respond(_: HttpRequest) -> ScriptedResponse:
        first_call.wait()
        return stream_response(chunk_event("a"), after=endless_silence())

    with ScriptedModelServer(respond, version) as server, open_inference(server) as inference:
        with interrupted(first_call.received):
            inference.chat.completions.stream(first_token_timeout=first, timeout=LONG, **STREAM).__enter__()
        assert inference.stats().in_flight == 0
        first_call.go.set()
        assert server.was_left()


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("read", ["sync", "async"])
def test_ctrl_c_ends_a_stream_and_hangs_up(version: int, read: str) -> None:
    started = threading.Event()
    with ScriptedModelServer(lambda _: stream_response(chunk_event("a"), after=endless_silence()), version) as server:
        with interrupted(started):
            if read == "async":
                asyncio.run(read_async(server, started.set))
            else:
                read_sync(server, started.set)
        assert server.was_left()


def read_sync(server: ScriptedModelServer, on_chunk: Callable[[], None]) -> None:
    with open_inference(server) as inference, inference.chat.completions.stream(idle_timeout=LONG, **STREAM) as stream:
        for _ in stream:
            on_chunk()


async def read_async(server: ScriptedModelServer, on_chunk: Callable[[], None]) -> None:
    async with (
        AsyncInference(server.url, token="token", **server.settings) as inference,
        inference.chat.completions.stream(idle_timeout=LONG, **STREAM) as stream,
    ):
        async for _ in stream:
            on_chunk()


def test_ctrl_c_while_queued_takes_no_slot() -> None:
    limiter, ready = Limiter(1), threading.Event()
    limiter.enter(None)
    ready.set()
    with interrupted(ready):
        limiter.enter(LONG)
    assert limiter.queued == 0
    limiter.leave()
    assert limiter.in_flight == 0


def test_an_exception_from_another_signal_handler_ends_a_call() -> None:
    """Raise SystemExit in the handler, as services do in that of SIGTERM."""
    first_call = FirstCallWaits()

    def exit_process(*_: object) -> None:
        raise SystemExit(3)

    def send_signal() -> None:
        first_call.received.wait(LONG)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, exit_process)
    try:
        with ScriptedServer("connect", first_call) as server:
            client = new_client("connect-sync", server.endpoint)
            threading.Thread(target=send_signal).start()
            with pytest.raises(SystemExit):
                call(client)
            first_call.go.set()
            assert call(client, close=True) == "front"
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("transport", ["connect", "rest"])
def test_no_helper_thread_remains(transport: Any) -> None:
    with (
        SocketServer(silence) as server,
        Client("token", endpoint=server.endpoint, transport=transport) as client,
        pytest.raises(errors.DeadlineExceeded),
    ):
        client.gateways.get("x", timeout=0.1)
    wait_until(lambda: not any(each.name.startswith("cwinference") for each in threading.enumerate()))


@contextmanager
def open_inference(server: ScriptedModelServer) -> Generator[Inference]:
    with Inference(server.url, token="token", **server.settings) as inference:
        yield inference

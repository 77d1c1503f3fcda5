"""Ctrl-C ends whatever call is waiting, at once and on every transport, and leaves the client usable."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest

from cwinference import AsyncClient, Client, errors, types
from cwinference.inference import AsyncInference, Inference
from cwinference.inference._limiter import Limiter
from tests.support.client_kinds import KINDS
from tests.support.fork_program import new_client
from tests.support.inference_kinds import MESSAGES
from tests.support.scripted_model_server import MODEL, Asked, ModelServer, Reply, completion, piece, plain, streamed
from tests.support.scripted_model_server import silence as never
from tests.support.scripted_server import Peer, Received
from tests.support.socket_servers import SocketServer, silence

SOON = 1.0
STREAM: dict[str, Any] = {"model": MODEL, "messages": MESSAGES}


@pytest.fixture(autouse=True)
def ctrl_c_interrupts() -> Generator[None]:
    """As in a terminal; a process that was started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@contextmanager
def interrupted(event: threading.Event) -> Generator[None]:
    """A KeyboardInterrupt comes out of the block: after the event, and once this thread waits for something."""

    def interrupt() -> None:
        if event.wait(10):
            until_it_waits(threading.main_thread().ident)
            os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=interrupt)
    sender.start()
    with pytest.raises(KeyboardInterrupt):
        yield
    ended = time.monotonic()
    sender.join()
    assert time.monotonic() - ended < SOON


def until_it_waits(thread: int | None) -> None:
    """Until a thread is seen twice at the same step of its program."""
    before = None
    for _ in range(1000):
        frame = sys._current_frames()[thread or 0]
        now = frame.f_code, frame.f_lasti
        if now == before:
            return
        before = now
        time.sleep(0.01)


class Hesitant:
    """Gives the first question no answer until it is let go."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.go = threading.Event()

    def wait(self) -> None:
        if not self.asked.is_set():
            self.asked.set()
            self.go.wait(10)

    def __call__(self, received: Received) -> types.GetGatewayResponse:
        self.wait()
        return types.GetGatewayResponse(gateway=types.Gateway(spec=types.GatewaySpec(name="front")))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "json" not in kind])
def test_a_call_ends_with_ctrl_c_and_the_client_works_on(kind: str) -> None:
    hesitant = Hesitant()
    with Peer(kind.partition("-")[0], hesitant) as peer:
        client = new_client(kind, peer.endpoint)
        started = time.monotonic()
        with interrupted(hesitant.asked):
            ask(client)
        assert time.monotonic() - started < SOON
        hesitant.go.set()
        assert ask(client, close=True) == "front"


def ask(client: Client | AsyncClient, *, close: bool = False) -> str:
    if isinstance(client, Client):
        name = client.gateways.get("x", timeout=5).spec.name
        if close:
            client.close()
        return name
    return asyncio.run(ask_async(client, close))


async def ask_async(client: AsyncClient, close: bool) -> str:
    name = (await client.gateways.get("x", timeout=5)).spec.name
    if close:
        await client.close()
    return name


def test_pauses_and_tokens_end_with_ctrl_c() -> None:
    waits = threading.Event()

    def token() -> str:
        waits.set()
        threading.Event().wait(5)
        return "token"

    with Client(token, endpoint="http://127.0.0.1:9") as client, interrupted(waits):
        client.gateways.get("x")


@pytest.mark.parametrize("version", [1, 2])
def test_a_completion_ends_with_ctrl_c_and_its_place_is_free(version: int) -> None:
    hesitant = Hesitant()

    def answer(_: Asked) -> Reply:
        hesitant.wait()
        return plain(completion())

    with ModelServer(answer, version) as server, inference(server) as front:
        with interrupted(hesitant.asked):
            front.chat.completions.create(timeout=5, **STREAM)
        assert front.stats().in_flight == 0
        hesitant.go.set()
        assert front.chat.completions.create(timeout=5, **STREAM).text == "Paris"


@pytest.mark.parametrize("first", [5.0, None])
@pytest.mark.parametrize("version", [1, 2])
def test_a_stream_that_has_not_begun_ends_with_ctrl_c(version: int, first: float | None) -> None:
    hesitant = Hesitant()

    def answer(_: Asked) -> Reply:
        hesitant.wait()
        return streamed(piece("a"), after=never())

    with ModelServer(answer, version) as server, inference(server) as front:
        with interrupted(hesitant.asked):
            front.chat.completions.stream(first_token_timeout=first, timeout=5, **STREAM).__enter__()
        assert front.stats().in_flight == 0
        hesitant.go.set()
        assert server.hung_up.wait(5)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("read", ["sync", "async"])
def test_a_stream_ends_with_ctrl_c_and_the_server_sees_it(version: int, read: str) -> None:
    came = threading.Event()
    with ModelServer(lambda _: streamed(piece("a"), after=never()), version) as server:
        with interrupted(came):
            if read == "async":
                asyncio.run(read_async(server, came.set))
            else:
                read_blocking(server, came.set)
        assert server.hung_up.wait(5)


def read_blocking(server: ModelServer, tell: Callable[[], None]) -> None:
    with inference(server) as front, front.chat.completions.stream(idle_timeout=5, **STREAM) as stream:
        for _ in stream:
            tell()


async def read_async(server: ModelServer, tell: Callable[[], None]) -> None:
    async with (
        AsyncInference(server.url, token="token", **server.settings) as front,
        front.chat.completions.stream(idle_timeout=5, **STREAM) as stream,
    ):
        async for _ in stream:
            tell()


def test_who_leaves_the_queue_with_ctrl_c_takes_no_place() -> None:
    gate, lined_up = Limiter(1), threading.Event()
    gate.enter(None)
    lined_up.set()
    with interrupted(lined_up):
        gate.enter(5)
    assert gate.queued == 0
    gate.leave()
    assert gate.in_flight == 0


def test_a_handler_of_another_signal_ends_a_call_too() -> None:
    """As the handler of SIGTERM in a service does."""
    hesitant = Hesitant()

    def leave(*_: object) -> None:
        raise SystemExit(3)

    def terminate() -> None:
        hesitant.asked.wait(5)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, leave)
    try:
        with Peer("connect", hesitant) as peer:
            client = new_client("connect-sync", peer.endpoint)
            threading.Thread(target=terminate).start()
            with pytest.raises(SystemExit):
                ask(client)
            hesitant.go.set()
            assert ask(client, close=True) == "front"
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("transport", ["connect", "rest"])
def test_no_helper_stays(transport: Any) -> None:
    with (
        SocketServer(silence) as server,
        Client("token", endpoint=server.endpoint, transport=transport) as client,
        pytest.raises(errors.DeadlineExceeded),
    ):
        client.gateways.get("x", timeout=0.1)
    end = time.monotonic() + 5
    while any(each.name.startswith("cwinference") for each in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.01)


@contextmanager
def inference(server: ModelServer) -> Generator[Inference]:
    with Inference(server.url, token="token", **server.settings) as front:
        yield front

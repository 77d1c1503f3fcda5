"""What a signal handler raises on the main thread reaches the caller as it is: it is no failed attempt of a call.

Task queues end tasks like that, by an exception of their own, and alarms often raise TimeoutError or ConnectionError.
"""

import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from cwinference import TLS, AsyncClient, Client, auth
from cwinference.inference import AsyncInference, Inference
from tests.support import scripted_model_server as scripted
from tests.support.client_kinds import KINDS
from tests.support.fork_program import new_client
from tests.support.inference_kinds import MESSAGES
from tests.support.interrupted_calls import FirstCallWaits, raised_by_a_handler
from tests.support.samples import response_to
from tests.support.scripted_model_server import HttpRequest, ScriptedModelServer, ScriptedResponse
from tests.support.scripted_server import ScriptedServer
from tests.support.socket_servers import SocketServer

BODY: dict[str, Any] = {"model": scripted.MODEL, "messages": MESSAGES}


class SoftTimeLimitExceeded(Exception):
    """An exception of a task queue."""


ERRORS = [SoftTimeLimitExceeded("soft"), TimeoutError("alarm"), ConnectionError("alarm"), RuntimeError("alarm")]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if "json" not in kind])
def test_it_ends_a_call_that_is_sent_once(kind: str, error: Exception) -> None:
    first_call = FirstCallWaits()
    with ScriptedServer(kind.partition("-")[0], first_call) as server:
        client = new_client(kind, server.endpoint)
        with raised_by_a_handler(error, first_call.received):
            asyncio.run(get_and_close(client)) if isinstance(client, AsyncClient) else client.gateways.get("x")
        if isinstance(client, Client):
            client.close()
        first_call.go.set()
        assert len(server.received) == 1


async def get_and_close(client: AsyncClient) -> None:
    async with client:
        await client.gateways.get("x")


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("version", [1, 2])
def test_it_ends_a_completion_that_is_sent_once(version: int, streamed: bool, error: Exception) -> None:
    first_call, received = FirstCallWaits(), list[HttpRequest]()

    def respond(request: HttpRequest) -> ScriptedResponse:
        received.append(request)
        first_call.wait()
        return scripted.json_response(scripted.completion())

    with ScriptedModelServer(respond, version) as server, Inference(server.url, token="t", **server.settings) as models:
        with raised_by_a_handler(error, first_call.received):
            if streamed:
                models.chat.completions.stream(first_token_timeout=5, **BODY).__enter__()
            else:
                models.chat.completions.create(**BODY)
        assert models.stats().in_flight == 0
        first_call.go.set()
        assert len(received) == 1


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("is_async", [False, True])
def test_it_ends_a_stream_that_has_begun(is_async: bool, error: Exception) -> None:
    started = threading.Event()
    with ScriptedModelServer(
        lambda _: scripted.stream_response(scripted.chunk_event("a"), after=scripted.endless_silence())
    ) as server:
        with raised_by_a_handler(error, started):
            asyncio.run(read_async(server, started)) if is_async else read(server, started)
        assert server.hung_up.wait(5)


def read(server: ScriptedModelServer, started: threading.Event) -> None:
    with (
        Inference(server.url, token="t", **server.settings) as models,
        models.chat.completions.stream(idle_timeout=5, **BODY) as stream,
    ):
        for _ in stream:
            started.set()


async def read_async(server: ScriptedModelServer, started: threading.Event) -> None:
    async with (
        AsyncInference(server.url, token="t", **server.settings) as models,
        models.chat.completions.stream(idle_timeout=5, **BODY) as stream,
    ):
        async for _ in stream:
            started.set()


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_it_ends_the_reading_of_an_error(error: Exception) -> None:
    begun = threading.Event()

    def begin(connection: Any) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 500 no\r\ncontent-length: 9\r\n\r\n")
        begun.set()
        connection.recv(1)

    with (
        SocketServer(begin) as server,
        Client("t", endpoint=server.endpoint, transport="rest") as client,
        raised_by_a_handler(error, begun),
    ):
        client.gateways.get("x")


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_it_ends_the_wait_for_a_token_command(error: Exception) -> None:
    asked = threading.Event()
    asked.set()
    sleeps = auth.from_command([sys.executable, "-c", "import time; time.sleep(5)"])
    with Client(sleeps, endpoint="http://127.0.0.1:9") as client, raised_by_a_handler(error, asked):
        client.gateways.get("x")


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("kind", ["token", "certificate"])
def test_it_ends_the_wait_for_the_writer_of_a_pipe(kind: str, error: Exception, tmp_path: Path) -> None:
    pipe, asked = tmp_path / "pipe", threading.Event()
    os.mkfifo(pipe)
    asked.set()
    with raised_by_a_handler(error, asked):
        if kind == "certificate":
            Client("t", endpoint="http://127.0.0.1:9", tls=TLS(ca=pipe))
        with Client(auth.from_file(pipe), endpoint="http://127.0.0.1:9") as client:
            client.gateways.get("x")


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_it_ends_a_call_whose_hook_is_running(error: Exception) -> None:
    hooked, never = threading.Event(), threading.Event()

    def on_call(*_: object) -> None:
        hooked.set()
        never.wait(5)

    with (
        ScriptedServer("grpc", lambda received: response_to(received.method)) as server,
        Client("t", endpoint=server.endpoint, on_call=on_call) as client,
        raised_by_a_handler(error, hooked),
    ):
        client.gateways.get("x")

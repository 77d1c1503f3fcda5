"""An async batch is called back for its responses over plain HTTP/1.1: what goes wrong ends as it does elsewhere."""

import asyncio
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cwinference import Retry, errors
from cwinference.inference import AsyncInference
from cwinference.inference._begun import Begun, Sender
from tests.support.batch_files import batch_request, echo, echoed_texts, read_lines, read_texts
from tests.support.client_kinds import TOKEN
from tests.support.inference_kinds import MESSAGES
from tests.support.raw_model_server import BODY, LENGTH, OK, RawServer
from tests.support.scripted_model_server import (
    MODEL,
    HttpRequest,
    ScriptedModelServer,
    ScriptedResponse,
    json_response,
)
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.skipif("config.getoption('--pyqwest')")

GOOD = OK + LENGTH + b"\r\n" + BODY
QUICK = Retry(initial_backoff=0.001, max_backoff=0.001)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return for each request so far whether it was begun without a task that waits for it."""
    found = list[bool]()
    begin: Callable[..., Begun[Any] | None] = Sender.begin

    def noted(sender: Sender[Any], operation: Any) -> Begun[Any] | None:
        one = begin(sender, operation)
        found.append(one is not None)
        return one

    monkeypatch.setattr(Sender, "begin", noted)
    return found


def scripted(*responses: bytes | None) -> Callable[[socket.socket, int], object]:
    """Return what responds to the first requests with these, and well to all others; None closes the connection."""

    def respond(connection: socket.socket, number: int) -> None:
        response = responses[number - 1] if number <= len(responses) else GOOD
        connection.sendall(response or b"")
        if response is None or b"content-length" not in response:
            connection.shutdown(socket.SHUT_RDWR)

    return respond


async def batch_of(count: int, url: str, out: Path, **settings: Any) -> tuple[Any, Any]:
    settings = {"retry": QUICK, **settings}
    async with AsyncInference(url, token=TOKEN, **settings) as inference:
        requests = map(batch_request, range(count))
        return await inference.batch(requests, out=out, concurrency=1, progress=False), inference.stats()


async def test_only_the_first_request_on_a_connection_needs_a_task(begun: list[bool], tmp_path: Path) -> None:
    with ScriptedModelServer(echo) as server:
        result, stats = await batch_of(20, server.url, tmp_path / "out.jsonl")
    assert begun == [False, *[True] * 19]
    assert (result.completed, result.usage.total_tokens) == (20, 100)
    assert (stats.done, stats.in_flight, stats.queued, stats.tokens) == (20, 0, 0, 100)
    assert read_texts(tmp_path / "out.jsonl") == echoed_texts(*range(20))


@pytest.mark.parametrize("failure", [
    None,
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n",
], ids=["lost", "503", "429"])  # fmt: skip
async def test_what_can_be_retried_is_retried(begun: list[bool], failure: bytes | None, tmp_path: Path) -> None:
    with RawServer(scripted(GOOD, GOOD, failure)) as server:
        result, stats = await batch_of(5, server.endpoint, tmp_path / "out.jsonl")
    assert begun[:3] == [False, True, True]
    assert (result.completed, result.failed, len(server.heads)) == (5, 0, 6)
    assert (stats.done, stats.failed, stats.retried, stats.in_flight) == (5, 0, 1, 0)


@pytest.mark.parametrize(("failure", "code"), [
    (OK + b"content-length: 1000\r\n\r\n{", "unavailable"),
    (OK + b"content-length: 2\r\n\r\n{}", "ProtocolError"),
    (b"no HTTP, content-length\r\n\r\n", "ProtocolError"),
    (OK + b"content-length: 99999999\r\n\r\n", "ProtocolError"),
    (b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", "internal"),
], ids=["cut", "no-completion", "no-http", "large", "400"])  # fmt: skip
async def test_what_cannot_be_retried_fails_its_request_alone(failure: bytes, code: str, tmp_path: Path) -> None:
    def respond(connection: socket.socket, number: int) -> None:
        connection.sendall(failure if number == 3 else GOOD)
        if number == 3 and b"1000" in failure:
            connection.shutdown(socket.SHUT_RDWR)

    with RawServer(respond) as server:
        result, stats = await batch_of(5, server.endpoint, tmp_path / "out.jsonl", max_reply_bytes=1_000_000)
    assert (result.completed, result.failed, len(server.heads)) == (4, 1, 5)
    assert (stats.done, stats.failed, stats.in_flight) == (4, 1, 0)
    (line,) = read_lines(result.failures)
    assert (line["custom_id"], line["error"]["code"]) == ("id-2", code)


async def test_a_response_that_does_not_come_in_time_fails_its_request(begun: list[bool], tmp_path: Path) -> None:
    release = threading.Event()

    def respond(connection: socket.socket, number: int) -> None:
        if number == 3:
            release.wait(20)
        connection.sendall(GOOD)

    with RawServer(respond) as server:
        result, stats = await batch_of(5, server.endpoint, tmp_path / "out.jsonl", timeout=0.2, retry=None)
        release.set()
    assert begun[:3] == [False, True, True]
    assert (result.completed, result.failed, stats.in_flight) == (4, 1, 0)
    assert "no response within 0.2 s" in result.failures.read_text()


async def test_a_cancellation_hangs_up_and_frees_the_slots(begun: list[bool], tmp_path: Path) -> None:
    silent, hung_up = threading.Event(), threading.Event()

    def respond(connection: socket.socket, number: int) -> None:
        if number < 3:
            connection.sendall(GOOD)
            return
        silent.set()
        if not connection.recv(1):
            hung_up.set()

    with RawServer(respond) as server:
        async with AsyncInference(server.endpoint, token=TOKEN, limit=1) as inference:
            requests = map(batch_request, range(9))
            batch = asyncio.create_task(inference.batch(requests, out=tmp_path / "out.jsonl", concurrency=1))
            await wait_until_async(silent.is_set)
            batch.cancel()
            with pytest.raises(asyncio.CancelledError):
                await batch
            await wait_until_async(hung_up.is_set)
            stats = inference.stats()
    assert begun == [False, True, True]
    assert (stats.done, stats.cancelled, stats.failed, stats.in_flight) == (2, 1, 0, 0)
    assert len(read_lines(tmp_path / "out.jsonl")) == 2


async def test_others_get_slots_between_the_requests_of_a_batch(tmp_path: Path) -> None:
    started = threading.Event()

    def respond(request: HttpRequest) -> ScriptedResponse:
        started.set()
        return echo(request)

    with ScriptedModelServer(respond) as server:
        async with AsyncInference(server.url, token=TOKEN, limit=1) as inference:
            requests = map(batch_request, range(2000))
            batch = asyncio.create_task(
                inference.batch(requests, out=tmp_path / "out.jsonl", concurrency=1, progress=False)
            )
            await wait_until_async(started.is_set)
            assert (await inference.chat.completions.create(model=MODEL, messages=MESSAGES)).text
            assert not batch.done()
            assert (await batch).completed == 2000


async def test_a_token_that_is_refused_is_replaced(begun: list[bool], tmp_path: Path) -> None:
    tokens = iter(["old", "new"])

    def respond(request: HttpRequest) -> ScriptedResponse:
        if len(server.requests) >= 3 and request.headers["authorization"] == "Bearer old":
            return json_response({"error": {"message": "expired"}}, 401)
        return echo(request)

    with ScriptedModelServer(respond) as server:
        async with AsyncInference(server.url, token=lambda: next(tokens)) as inference:
            requests = map(batch_request, range(6))
            result = await inference.batch(requests, out=tmp_path / "out.jsonl", concurrency=1)
        sent = [each.headers["authorization"].removeprefix("Bearer ") for each in server.requests]
    assert result.completed == 6
    assert sent == ["old", "old", "old", "new", "new", "new", "new"]
    assert begun == [False, *[True] * 5]


async def test_a_client_that_is_closed_ends_the_batch(tmp_path: Path) -> None:
    started, go_on = threading.Event(), threading.Event()

    def respond(connection: socket.socket, number: int) -> None:
        if number == 3:
            started.set()
            go_on.wait(20)
        connection.sendall(GOOD)

    with RawServer(respond) as server:
        inference = AsyncInference(server.endpoint, token=TOKEN)
        requests = map(batch_request, range(9))
        batch = asyncio.create_task(inference.batch(requests, out=tmp_path / "out.jsonl", concurrency=1))
        await wait_until_async(started.is_set)
        await inference.close()
        go_on.set()
        with pytest.raises(errors.ConfigurationError, match="closed"):
            await batch
    assert len(read_lines(tmp_path / "out.jsonl")) == 3


async def test_a_fault_of_ours_ends_the_batch_and_is_raised(
    begun: list[bool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with ScriptedModelServer(echo) as server:
        async with AsyncInference(server.url, token=TOKEN) as inference:
            await inference.chat.completions.create(model=MODEL, messages=MESSAGES)
            monkeypatch.setattr(Begun, "result", broken)
            with pytest.raises(ZeroDivisionError):
                await inference.batch(map(batch_request, range(9)), out=tmp_path / "out.jsonl", concurrency=1)
    assert begun == [True]


async def test_a_success_that_turns_out_to_be_an_error_is_not_sent_again(begun: list[bool], tmp_path: Path) -> None:
    """The model has run; and the token was accepted, whatever the body says."""

    def respond(request: HttpRequest) -> ScriptedResponse:
        if len(server.requests) == 3:
            return json_response({"error": {"code": 401, "message": "expired"}})
        return echo(request)

    tokens = iter(["old", "new"])
    with ScriptedModelServer(respond) as server:
        async with AsyncInference(server.url, token=lambda: next(tokens)) as inference:
            with pytest.raises(errors.Unauthenticated):
                await inference.batch(map(batch_request, range(6)), out=tmp_path / "out.jsonl", concurrency=1)
        assert len(server.requests) == 3
    assert begun == [False, True, True]

"""What `on_call`, the log and `stats()` say of completions and streams, however they end; and what `close` closes."""

import asyncio
import logging
import threading
import warnings
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google.protobuf.message import Message

from cwinference import AsyncClient, Client, Clock, Retry, errors, types
from tests.support import connected_client
from tests.support.client_kinds import KINDS as CLIENT_KINDS
from tests.support.client_kinds import TOKEN
from tests.support.fake_clock import FakeClock
from tests.support.inference_kinds import AnyInference, connected
from tests.support.scripted_model_server import (
    DONE,
    MODEL,
    HttpRequest,
    RequestHandler,
    ScriptedModelServer,
    ScriptedResponse,
    chunk_event,
    completion,
    endless_silence,
    event,
    json_response,
    stream_response,
)
from tests.support.scripted_server import Failure, ReceivedRequest, ScriptedServer

TWICE = Retry(max_attempts=2, initial_backoff=0)
BUSY = {"error": {"message": "busy", "code": 503}}


class Calls(list[tuple[str, str, int]]):
    """What `on_call` was given: method, code and attempts of each call; `seconds` are their durations."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def __call__(self, method: str, code: str, attempts: int, seconds: float) -> None:
        self.append((method, code, attempts))
        self.seconds.append(seconds)


def streaming(*events: bytes, after: Callable[[], Iterable[bytes]] = tuple, cut: bool = False) -> RequestHandler:
    return lambda _: stream_response(*events, after=after(), cut=cut)


# --- Streams: how they end


async def read(inference: AnyInference, stream: Any) -> None:
    """Read a stream to its end."""
    await inference.read(stream)


async def leave(inference: AnyInference, stream: Any) -> None:
    """Leave a stream after its first chunk."""
    await inference.read(stream, max_chunks=1)


async def leave_without_block(inference: AnyInference, stream: Any) -> None:
    """Leave the loop over a stream that was not opened by a block."""
    if inference.is_async:
        async for _ in stream:
            break
        for _turn in range(3):  # the loop closes the generator in a task of its own
            await asyncio.sleep(0)
    else:
        for _ in stream:
            break


async def open_and_close(inference: AnyInference, stream: Any) -> None:
    """Open a stream, and close it unread."""
    if inference.is_async:
        async with stream:
            pass
    else:
        with stream:
            pass


async def forget(inference: AnyInference, stream: Any) -> None:
    """Open a stream and lose it."""
    opened = [stream]
    await stream.__aenter__() if inference.is_async else stream.__enter__()
    del stream
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        opened.clear()


async def fail_inside(inference: AnyInference, stream: Any) -> None:
    """Raise an error while a stream is read."""
    if inference.is_async:
        async with stream:
            async for _ in stream:
                raise ZeroDivisionError
    with stream:
        for _ in stream:
            raise ZeroDivisionError


async def cancel(inference: AnyInference, stream: Any) -> None:
    """Cancel the task that reads a stream; a thread is left by its own error."""
    if not inference.is_async:
        await fail_inside(inference, stream)
    started = asyncio.Event()

    async def run() -> None:
        async with stream:
            async for _ in stream:
                started.set()

    task = asyncio.create_task(run())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def read_twice(inference: AnyInference, stream: Any) -> None:
    """Read a stream, and try it again."""
    await inference.read(stream)
    with pytest.raises(errors.ConfigurationError, match="closed"):
        await inference.read(stream)


OPEN = streaming(chunk_event("a"), after=endless_silence)
Ending = tuple[RequestHandler, Callable[[AnyInference, Any], Any], dict[str, Any], str, int]
ENDINGS: dict[str, Ending] = {
    "done": (streaming(chunk_event("a"), DONE), read, {}, "ok", 1),
    "done twice": (streaming(chunk_event("a"), DONE), read_twice, {}, "ok", 1),
    "left": (OPEN, leave, {}, "canceled", 1),
    "left without a block": (OPEN, leave_without_block, {}, "canceled", 1),
    "closed unread": (OPEN, open_and_close, {}, "canceled", 1),
    "collected": (OPEN, forget, {}, "canceled", 1),
    "an error of its reader": (OPEN, fail_inside, {}, "canceled", 1),
    "canceled": (OPEN, cancel, {}, "canceled", 1),
    "an error event": (streaming(chunk_event("a"), event(BUSY)), read, {}, "unavailable", 1),
    "an unframed error": (streaming(chunk_event("a"), b'{"error": "x"}\n'), read, {}, "unknown", 1),
    "interrupted": (streaming(chunk_event("a")), read, {}, "unavailable", 1),
    "cut off": (streaming(chunk_event("a"), cut=True), read, {}, "unavailable", 1),
    "no JSON": (streaming(chunk_event("a"), b"data: {\n\n"), read, {}, "protocol_error", 1),
    "stalled": (OPEN, read, {"idle_timeout": 0.2, "first_token_timeout": 30}, "deadline_exceeded", 1),
    "timed out": (OPEN, read, {"timeout": 0.3}, "deadline_exceeded", 1),
    "no first token": (streaming(after=endless_silence), read, {"idle_timeout": 0.2}, "deadline_exceeded", 1),
    "refused": (lambda _: json_response({"error": "x"}, 400), read, {}, "invalid_argument", 1),
    "unavailable": (lambda _: json_response({}, 503), read, {"retry": TWICE}, "unavailable", 2),
    "an error in place": (lambda _: json_response(BUSY), read, {"retry": TWICE}, "unavailable", 1),
    "no stream": (lambda _: json_response(completion()), read, {"retry": TWICE}, "protocol_error", 1),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_stream_is_reported_once_at_its_end_with_its_code(
    kind: str, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    handler, use, arguments, code, attempts = ENDINGS[ending]
    calls = Calls()
    caplog.set_level(logging.DEBUG, "cwinference")
    async with connected(kind, handler, on_call=calls) as (inference, _):
        try:
            await use(inference, inference.stream(**arguments))
        except (errors.InferenceError, ZeroDivisionError):
            assert use in (read, fail_inside, cancel)
        stats = inference.wrapped.stats()
    assert calls == [("chat.completions", code, attempts)]
    assert (stats.done, stats.cancelled) == (int(code == "ok"), int(code == "canceled"))
    assert stats.failed == int(code not in ("ok", "canceled"))
    assert stats.in_flight == 0
    logged = [each for each in caplog.messages if f"{code} after {attempts} attempts" in each]
    assert len(logged) == 1


async def test_a_stream_that_was_never_opened_is_not_reported(kind: str) -> None:
    calls = Calls()
    async with connected(kind, OPEN, on_call=calls) as (inference, server):
        stream = inference.stream()
        await stream.close() if inference.is_async else stream.close()
    assert (calls, server.requests) == ([], [])


async def test_an_open_stream_is_not_reported_yet(kind: str) -> None:
    calls = Calls()
    async with connected(kind, OPEN, on_call=calls) as (inference, _):
        stream = inference.stream()
        await stream.__aenter__() if inference.is_async else stream.__enter__()
        assert calls == []
        assert inference.wrapped.stats().in_flight == 1
        await stream.close() if inference.is_async else stream.close()
    assert len(calls) == 1


async def test_the_reported_duration_is_that_of_the_whole_stream(kind: str) -> None:
    time, calls, is_open = FakeClock(), Calls(), threading.Event()

    def pieces() -> Iterator[bytes]:
        yield chunk_event("a")
        yield b""  # over HTTP/2 the server sends a piece with the next one
        is_open.wait(60)
        time.now += 28.0
        yield DONE

    def respond(_: HttpRequest) -> ScriptedResponse:
        return stream_response(after=pieces())

    async with connected(kind, respond, on_call=calls, clock=time.clock) as (inference, _):
        stream = inference.stream(timeout=None, idle_timeout=None)
        await stream.__aenter__() if inference.is_async else stream.__enter__()
        is_open.set()
        await inference.read(stream)
    assert calls == [("chat.completions", "ok", 1)]
    assert calls.seconds == [28.0]


async def test_the_reported_duration_includes_what_the_caller_did_with_the_chunks(kind: str) -> None:
    time, calls = FakeClock(), Calls()
    async with connected(kind, streaming(chunk_event("a"), DONE), on_call=calls, clock=time.clock) as (inference, _):
        stream = inference.stream(timeout=None)
        await stream.__aenter__() if inference.is_async else stream.__enter__()
        time.now += 100.0
        await inference.read(stream)
    assert calls.seconds == [100.0]


async def test_an_on_call_that_fails_harms_no_stream(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    async with connected(kind, streaming(chunk_event("a"), DONE), on_call=fail) as (inference, _):
        chunks = await inference.read(inference.stream())
    assert len(chunks) == 1
    assert "on_call failed" in caplog.text


# --- Whole completions

WHOLE: list[tuple[RequestHandler, str, int]] = [
    (lambda _: json_response(completion()), "ok", 1),
    (lambda _: json_response(BUSY), "unavailable", 1),
    (lambda _: json_response({**completion(), **BUSY}), "unavailable", 1),
    (lambda _: json_response({"error": {"message": "x", "code": 400}}), "invalid_argument", 1),
    (lambda _: json_response({}), "protocol_error", 1),
    (lambda _: json_response([]), "protocol_error", 1),
    (lambda _: ScriptedResponse([b"x"], length=1), "protocol_error", 1),
    (lambda _: json_response({}, 503), "unavailable", 2),
    (lambda _: json_response({"error": "no"}, 404), "not_found", 1),
]


@pytest.mark.parametrize(("handler", "code", "attempts"), WHOLE)
async def test_a_completion_is_reported_with_the_code_that_it_came_to(
    kind: str, handler: RequestHandler, code: str, attempts: int, caplog: pytest.LogCaptureFixture
) -> None:
    calls = Calls()
    caplog.set_level(logging.DEBUG, "cwinference")
    async with connected(kind, handler, on_call=calls, retry=TWICE) as (inference, _):
        for ask in (inference.chat, inference.complete):
            try:
                await ask()
            except errors.InferenceError:
                assert code != "ok"
        stats = inference.wrapped.stats()
    assert calls == [("chat.completions", code, attempts), ("completions", code, attempts)]
    assert sum(f"{code} after {attempts} attempts" in each for each in caplog.messages) == 2
    assert (stats.done, stats.failed) == ((2, 0) if code == "ok" else (0, 2))


@pytest.mark.parametrize(
    ("body", "code"), [({"data": []}, "ok"), (BUSY, "unavailable"), ({"data": {}}, "protocol_error")]
)
async def test_a_list_of_models_is_reported_with_the_code_that_it_came_to(kind: str, body: Any, code: str) -> None:
    calls = Calls()
    async with connected(kind, lambda _: json_response(body), on_call=calls) as (inference, _):
        try:
            await inference.run(lambda inference: inference.models.list())
        except errors.InferenceError:
            assert code != "ok"
    assert calls == [("models.list", code, 1)]


async def test_a_completion_that_ran_twice_and_is_none_says_so(kind: str) -> None:
    responses = [json_response({}), json_response({}, 503)]
    async with connected(kind, lambda _: responses.pop(), retry=TWICE) as (inference, _):
        with pytest.raises(errors.ProtocolError) as caught:
            await inference.chat()
    assert caught.value.attempts == 2


# --- Calls of the management API


@pytest.mark.parametrize("client_kind", CLIENT_KINDS)
async def test_a_call_whose_response_lacks_the_resource_is_not_reported_as_ok(client_kind: str) -> None:
    calls = Calls()
    responses: list[Message | Failure] = [types.GetGatewayResponse(), Failure("unavailable")]
    settings: Any = {"on_call": calls, "retry": TWICE}
    async with connected_client.connected(client_kind, lambda _: responses.pop(), **settings) as (client, _):
        with pytest.raises(errors.ProtocolError, match="the response has no gateway") as caught:
            await client.gateways.get("g-1")
    assert calls == [("GetGateway", "protocol_error", 2)]
    assert caught.value.attempts == 2


@pytest.mark.parametrize("client_kind", CLIENT_KINDS)
async def test_the_attempts_are_right_without_a_hook_too(client_kind: str) -> None:
    responses: list[Message | Failure] = [types.GetGatewayResponse(), Failure("unavailable")]
    async with connected_client.connected(client_kind, lambda _: responses.pop(), retry=TWICE) as (client, _):
        with pytest.raises(errors.ProtocolError) as caught:
            await client.gateways.get("g-1")
    assert caught.value.attempts == 2


# --- Counters: canceled is not failed


class Interrupt(BaseException):
    """Something like Ctrl-C."""


async def test_a_call_that_is_given_up_before_a_retry_is_canceled(kind: str) -> None:
    pausing = asyncio.Event()

    def interrupt(_: float) -> None:
        raise Interrupt

    async def pause(_: float) -> None:
        pausing.set()
        await asyncio.Event().wait()

    calls, clock = Calls(), Clock(sleep=interrupt, sleep_async=pause)
    async with connected(kind, lambda _: json_response({}, 503), on_call=calls, clock=clock) as (inference, _):
        if inference.is_async:
            task = asyncio.create_task(inference.chat())
            await pausing.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            with pytest.raises(Interrupt):
                await inference.chat()
        stats = inference.wrapped.stats()
    assert (stats.done, stats.failed, stats.cancelled, stats.retried) == (0, 0, 1, 0)
    assert calls == [("chat.completions", "canceled", 1)]


@pytest.mark.parametrize("kind", ["async-1", "async-2"])
@pytest.mark.parametrize("mode", ["create", "stream", "queued"])
async def test_a_canceled_task_is_counted_as_canceled(kind: str, mode: str) -> None:
    arrived, finished, calls = threading.Event(), threading.Event(), Calls()

    def respond(_: HttpRequest) -> ScriptedResponse:
        arrived.set()
        finished.wait(60)
        return json_response(completion())

    limit = 1 if mode == "queued" else 10
    async with connected(kind, respond, on_call=calls, limit=limit) as (inference, _):
        first = asyncio.create_task(inference.chat() if mode != "stream" else inference.read(inference.stream()))
        assert await asyncio.to_thread(arrived.wait, 60)
        tasks = [first]
        if mode == "queued":
            tasks.append(asyncio.create_task(inference.chat()))
            await asyncio.sleep(0)
            assert inference.wrapped.stats().queued == 1
        for task in reversed(tasks):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        stats = inference.wrapped.stats()
        finished.set()
    assert (stats.done, stats.failed, stats.cancelled) == (0, 0, len(tasks))
    assert (stats.in_flight, stats.queued) == (0, 0)
    assert [code for _, code, _ in calls] == ["canceled"] * len(tasks)


async def test_done_failed_and_canceled_add_up_to_all_calls(kind: str) -> None:
    def respond(request: HttpRequest) -> ScriptedResponse:
        number = request.body["number"]
        if request.body.get("stream"):
            return OPEN(request) if number % 2 else stream_response(chunk_event("a"), DONE)
        return json_response(completion()) if number % 2 else json_response({"error": "x"}, 400)

    async with connected(kind, respond) as (inference, _):
        for number in range(10):
            await inference.read(inference.stream(number=number), max_chunks=1 if number % 2 else None)
            try:
                await inference.chat(number=number)
            except errors.InvalidArgument:
                assert number % 2 == 0
        stats = inference.wrapped.stats()
    assert (stats.done, stats.failed, stats.cancelled) == (10, 5, 5)


# --- The gateway of a client: hooks, and closing


@asynccontextmanager
async def gateway_client(
    mode: str, respond_as_api: Callable[[ReceivedRequest], Message | Failure] | None = None, **settings: Any
) -> AsyncGenerator[tuple[Any, ScriptedServer, ScriptedModelServer]]:
    """Open a client, its management API with one gateway, and the gateway's model server."""

    def respond(_: ReceivedRequest) -> Message:
        spec = types.GatewaySpec(
            id="g-1", core_weave_auth=types.CoreWeaveAuth(), body_based_routing=types.BodyBasedRouting()
        )
        status = types.GatewayStatus(status=types.Status.STATUS_READY, endpoints=[server.url])
        return types.GetGatewayResponse(gateway=types.Gateway(spec=spec, status=status))

    def respond_as_model(request: HttpRequest) -> ScriptedResponse:
        if request.body and request.body.get("stream"):
            return stream_response(chunk_event("a"), DONE)
        return json_response({**completion(), "data": []})

    with ScriptedServer("rest", respond_as_api or respond) as api, ScriptedModelServer(respond_as_model) as server:
        settings = {"endpoint": api.endpoint, "transport": "rest", **settings}
        if mode == "async":
            async with AsyncClient(TOKEN, **settings) as client:
                yield client, api, server
        else:
            with Client(TOKEN, **settings) as sync_client:
                yield sync_client, api, server


MODES = ["sync", "async"]


@pytest.mark.parametrize("mode", MODES)
async def test_the_hook_of_a_client_is_given_the_completions_of_its_gateways(mode: str) -> None:
    calls = Calls()
    async with gateway_client(mode, on_call=calls) as (client, _, _server):
        inference = AnyInference(client.inference("g-1"))
        await inference.chat()
        await inference.read(inference.stream())
    assert calls == [("GetGateway", "ok", 1), ("chat.completions", "ok", 1), ("chat.completions", "ok", 1)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ask", ["create", "stream"])
async def test_a_completion_whose_gateway_cannot_be_read_is_reported_too(mode: str, ask: str) -> None:
    calls = Calls()
    async with gateway_client(mode, lambda _: Failure("not_found", "none"), on_call=calls) as (client, _, _server):
        inference = AnyInference(client.inference("g-1"))
        with pytest.raises(errors.NotFound):
            await (inference.chat() if ask == "create" else inference.read(inference.stream()))
    assert calls == [("GetGateway", "not_found", 1), ("chat.completions", "not_found", 0)]


async def expect_closed(inference: AnyInference) -> None:
    """Check that nothing can be requested any more."""
    with pytest.raises(errors.ConfigurationError, match="closed"):
        await inference.chat()
    with pytest.raises(errors.ConfigurationError, match="closed"):
        await inference.complete()
    with pytest.raises(errors.ConfigurationError, match="closed"):
        await inference.read(inference.stream())
    with pytest.raises(errors.ConfigurationError, match="closed"):
        await inference.run(lambda inference: inference.models.list())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("was_used", [True, False])
async def test_an_inference_of_a_client_is_closed_after_its_block(mode: str, was_used: bool) -> None:
    async with gateway_client(mode) as (client, api, server):
        other = AnyInference(client.inference("g-1"))
        await other.chat()
        if mode == "async":
            async with client.inference("g-1") as opened:
                inference = AnyInference(opened)
                await inference.chat() if was_used else None
        else:
            with client.inference("g-1") as opened:
                inference = AnyInference(opened)
                await inference.chat() if was_used else None
        sent = len(server.requests), len(api.received)
        await expect_closed(inference)
        await inference.close()
        assert (len(server.requests), len(api.received)) == sent
        assert (await other.chat()).text == "Paris"
        assert len(await other.read(other.stream())) == 1
        assert (await AnyInference(client.inference("g-1")).chat()).text == "Paris"
        assert AnyInference(client.inference("g-1", http_version=1)).wrapped.stats().done == 0


@pytest.mark.parametrize("mode", MODES)
async def test_a_closed_inference_writes_no_batch(mode: str, tmp_path: Any) -> None:
    async with gateway_client(mode) as (client, _, server):
        inference = AnyInference(client.inference("g-1"))
        await inference.chat()
        await inference.close()
        requests = [{"model": MODEL, "prompt": "a"}]
        with pytest.raises(errors.ConfigurationError, match="closed"):
            await inference.run(lambda inference: inference.batch(requests, out=tmp_path / "out.jsonl"))
        assert len(server.requests) == 1


async def test_an_inference_of_its_own_is_closed_after_its_block(kind: str) -> None:
    async with connected(kind, lambda _: json_response(completion())) as (inference, server):
        await inference.chat()
        await inference.close()
        await expect_closed(inference)
    assert len(server.requests) == 1


@pytest.mark.parametrize("mode", MODES)
async def test_a_stream_that_is_open_when_its_inference_is_closed_can_be_read(mode: str) -> None:
    """The connections are the client's, and are closed with it."""
    async with gateway_client(mode) as (client, _, _server):
        inference = AnyInference(client.inference("g-1"))
        stream = inference.stream()
        await stream.__aenter__() if inference.is_async else stream.__enter__()
        await inference.close()
        assert len(await inference.read(stream)) == 1

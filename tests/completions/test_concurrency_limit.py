"""Many requests at once: `limit` of them are in flight, the others are queued, and no slot is lost."""

import asyncio
import threading

import pytest

from cwinference import errors
from tests.support.in_flight import InFlight
from tests.support.inference_kinds import connected
from tests.support.scripted_model_server import (
    DONE,
    HttpRequest,
    ScriptedResponse,
    chunk_event,
    completion,
    endless_silence,
    json_response,
    stream_response,
)
from tests.support.waiting import wait_until_async


@pytest.fixture(params=["sync-1", "async-1"])
def kind(request: pytest.FixtureRequest) -> str:
    """Return a kind over HTTP/1.1: over HTTP/2, the server handles the requests of a connection one after the other."""
    return str(request.param)


async def test_at_most_limit_requests_are_in_flight(kind: str) -> None:
    in_flight = InFlight(4)

    def respond(_: HttpRequest) -> ScriptedResponse:
        in_flight.wait_for_others()
        return json_response(completion())

    async with connected(kind, respond, limit=4) as (inference, _):
        await asyncio.gather(*(inference.chat() for _ in range(40)))
        stats = inference.wrapped.stats()
    assert in_flight.most == 4
    assert (stats.done, stats.in_flight, stats.queued, stats.tokens) == (40, 0, 0, 200)


async def test_a_stream_keeps_its_slot_until_it_is_closed(kind: str) -> None:
    def respond(request: HttpRequest) -> ScriptedResponse:
        if request.body.get("stream"):
            return stream_response(chunk_event("a"), after=endless_silence())
        return json_response(completion())

    async with connected(kind, respond, limit=1) as (inference, _):
        stream = inference.stream()
        await stream.__aenter__() if inference.is_async else stream.__enter__()
        assert inference.wrapped.stats().in_flight == 1
        with pytest.raises(errors.DeadlineExceeded, match="limit="):
            await inference.chat(timeout=0.05)
        await stream.close() if inference.is_async else stream.close()
        await inference.chat()
        assert inference.wrapped.stats().in_flight == 0


@pytest.mark.parametrize("status", [200, 400, 503])
async def test_failures_release_their_slots(kind: str, status: int) -> None:
    def respond(request: HttpRequest) -> ScriptedResponse:
        if status != 200:
            return json_response({}, status)
        return stream_response(DONE) if request.body.get("stream") else ScriptedResponse([b"{"], length=1)

    async with connected(kind, respond, limit=2, retry=None) as (inference, _):
        for _ in range(5):
            with pytest.raises(errors.InferenceError):
                await inference.chat()
            if status != 200:
                with pytest.raises(errors.InferenceError):
                    await inference.read(inference.stream())
        stats = inference.wrapped.stats()
    assert (stats.in_flight, stats.queued) == (0, 0)
    assert stats.failed == (5 if status == 200 else 10)


async def test_canceled_calls_release_their_slots() -> None:
    are_canceled = threading.Event()

    def respond(_: HttpRequest) -> ScriptedResponse:
        are_canceled.wait(60)
        return json_response(completion())

    async with connected("async-1", respond, limit=3) as (inference, server):
        calls = [asyncio.ensure_future(inference.chat()) for _ in range(10)]
        await wait_until_async(lambda: len(server.requests) == 3)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        are_canceled.set()
        assert (await inference.chat()).text == "Paris"
        stats = inference.wrapped.stats()
    assert (stats.in_flight, stats.queued) == (0, 0)

"""Many requests at once: so many in flight, the others queued, and no place lost."""

import asyncio
import threading

import pytest

from cwinference import errors
from tests.support.inference_kinds import asked
from tests.support.scripted_model_server import DONE, Asked, Reply, completion, piece, plain, silence, streamed


@pytest.fixture(params=["sync-1", "async-1"])
def kind(request: pytest.FixtureRequest) -> str:
    """The server of the tests answers one request of an HTTP/2 connection after the other."""
    return str(request.param)


async def test_no_more_than_the_limit_are_in_flight(kind: str) -> None:
    now = most = 0
    lock = threading.Lock()

    def answer(_: Asked) -> Reply:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.02)
        with lock:
            now -= 1
        return plain(completion())

    async with asked(kind, answer, limit=4) as (front, _):
        await asyncio.gather(*(front.chat() for _ in range(40)))
        stats = front.inference.stats()
    assert most == 4
    assert (stats.done, stats.in_flight, stats.queued, stats.tokens) == (40, 0, 0, 200)


async def test_a_stream_keeps_its_place_until_it_is_closed(kind: str) -> None:
    def answer(got: Asked) -> Reply:
        return streamed(piece("a"), after=silence()) if got.body.get("stream") else plain(completion())

    async with asked(kind, answer, limit=1) as (front, _):
        stream = front.stream()
        await stream.__aenter__() if front.awaits else stream.__enter__()
        assert front.inference.stats().in_flight == 1
        with pytest.raises(errors.DeadlineExceeded, match="limit="):
            await front.chat(timeout=0.05)
        await stream.close() if front.awaits else stream.close()
        await front.chat()
        assert front.inference.stats().in_flight == 0


@pytest.mark.parametrize("status", [200, 400, 503])
async def test_no_place_is_lost_by_failures(kind: str, status: int) -> None:
    def answer(got: Asked) -> Reply:
        if status != 200:
            return plain({}, status)
        return streamed(DONE) if got.body.get("stream") else Reply([b"{"], length=1)

    async with asked(kind, answer, limit=2, retry=None) as (front, _):
        for _ in range(5):
            with pytest.raises(errors.InferenceError):
                await front.chat()
            if status != 200:
                with pytest.raises(errors.InferenceError):
                    await front.read(front.stream())
        stats = front.inference.stats()
    assert (stats.in_flight, stats.queued) == (0, 0)
    assert stats.failed == (5 if status == 200 else 10)


async def test_cancelled_calls_give_their_places_back() -> None:
    def answer(_: Asked) -> Reply:
        threading.Event().wait(0.2)
        return plain(completion())

    async with asked("async-1", answer, limit=3) as (front, server):
        calls = [asyncio.ensure_future(front.chat()) for _ in range(10)]
        while len(server.asked) < 3:
            await asyncio.to_thread(threading.Event().wait, 0.005)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert (await front.chat()).text == "Paris"
        stats = front.inference.stats()
    assert (stats.in_flight, stats.queued) == (0, 0)

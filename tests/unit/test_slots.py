"""The slots of a worker on a cluster: others decide how many they are, and when all pause."""

import asyncio
import time

from cwinference import errors
from cwinference.ray._slots import Slots


async def test_requests_wait_until_there_are_slots() -> None:
    slots = Slots()
    waiting = [asyncio.create_task(slots.enter_async(None)) for _ in range(3)]
    await asyncio.sleep(0)
    assert (slots.in_flight, slots.queued) == (0, 3)

    slots.resize(2)
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0)
    assert (slots.in_flight, slots.queued) == (2, 1)

    slots.resize(1)
    slots.leave()
    assert (slots.in_flight, slots.queued) == (1, 1)
    slots.leave()
    await asyncio.gather(*waiting)


async def test_a_refusal_pauses_all_and_is_reported_and_other_failures_are_not() -> None:
    slots, told, sent = Slots(2), list[float](), time.monotonic() - 3.0
    ages: list[float] = []

    def take(pause: float, age: float) -> None:
        told.append(pause)
        ages.append(age)

    slots.on_refusal = take
    slots.note_failure(errors.InvalidArgument("no", http_status=400), sent)
    slots.note_failure(errors.ResourceExhausted("slow down", http_status=429), sent)
    assert slots.enter_at_once()
    slots.note_failure(errors.ResourceExhausted("slow down", http_status=429, retry_after=0.05), sent)

    assert told == [0.0, 0.05]
    assert all(3.0 <= age < 4.0 for age in ages)
    assert not slots.enter_at_once()
    assert await slots.enter_async(7.0) is not None
    assert slots.in_flight == 2


def test_how_long_responses_took_is_reported_if_somebody_wants_to_know() -> None:
    slots, told = Slots(1), list[tuple[float, float]]()
    slots.note(0.5, 7.0)
    slots.on_response = lambda began, seconds: told.append((began, seconds))
    slots.note(0.25, 8.0)

    assert told == [(8.0, 0.25)]

"""The slots of a worker on a cluster: others decide how many they are, and when all pause."""

import asyncio

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


async def test_a_refusal_pauses_all_and_is_told_and_other_failures_are_not() -> None:
    slots, told = Slots(2), list[float]()
    slots.on_refusal = told.append
    slots.note_failure(errors.InvalidArgument("no", http_status=400), 0.0)
    slots.note_failure(errors.ResourceExhausted("slow down", http_status=429), 0.0)
    assert slots.enter_at_once()
    slots.note_failure(errors.ResourceExhausted("slow down", http_status=429, retry_after=0.05), 0.0)

    assert told == [0.0, 0.05]
    assert not slots.enter_at_once()
    assert await slots.enter_async(7.0) is not None
    assert slots.in_flight == 2

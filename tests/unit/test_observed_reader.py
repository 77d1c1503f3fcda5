"""The reader of a stream that is observed: what it says of the time of each chunk."""

from typing import Any

from cwinference._calls.deadline import Deadline
from cwinference.inference._observed_reader import ObservedStreamReader
from cwinference.inference._stats import Counters
from tests.support.fake_clock import FakeClock
from tests.support.scripted_model_server import DONE, chunk_event, event


class Watcher:
    """An observation that notes what it is told of a stream."""

    def __init__(self) -> None:
        self.chunks: list[tuple[str, float, float]] = []
        self.ended: list[Any] = []

    def chunk(self, chunk: Any, elapsed: float, waited: float) -> None:
        self.chunks.append((chunk.text, elapsed, waited))

    def stream_ended(self, usage: Any, error: BaseException | None) -> None:
        self.ended.append((usage, error))


def read(clock: FakeClock, reader: ObservedStreamReader, received: bytes, seconds: float) -> None:
    """Read something that comes after so many seconds, and take a second to use each chunk of it."""
    reader.begin()
    clock.now += seconds
    for _ in reader.receive(received):
        clock.now += 1


def test_the_time_of_a_chunk_is_what_reads_waited_for_it() -> None:
    clock, watcher = FakeClock(), Watcher()
    reader = ObservedStreamReader("chat.completions", 60, 60, clock.clock)
    observation: Any = watcher
    reader.observe(observation)
    reader.start(Deadline(None, clock.clock.monotonic, clock.now - 2), 0.0, lambda code: None)

    read(clock, reader, chunk_event("a"), 3)
    read(clock, reader, b": nothing yet\n\n", 4)
    read(clock, reader, chunk_event("b") + chunk_event("c"), 5)
    read(clock, reader, event({"choices": [], "usage": {"prompt_tokens": 1}}) + DONE, 6)
    reader.end(Counters(), None)

    # (text, since the call began, waited): two seconds until the response, and a second for each chunk that was used
    assert watcher.chunks == [("a", 5, 3), ("b", 15, 9), ("c", 15, 0), ("", 23, 6)]
    assert watcher.ended == [({"prompt_tokens": 1}, None)]


def test_a_reader_that_nobody_observes_is_one_as_any_other() -> None:
    clock = FakeClock()
    reader = ObservedStreamReader("chat.completions", 60, 60, clock.clock)
    reader.start(Deadline(None, clock.clock.monotonic), 0.0, lambda code: None)

    reader.begin()
    assert [chunk.text for chunk in reader.receive(chunk_event("a") + DONE)] == ["a"]
    reader.end(Counters(), None)
    assert reader.done

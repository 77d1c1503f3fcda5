"""The timeouts of a stream, on a clock of the tests."""

from typing import Any

import pytest

from cwinference import errors
from cwinference._arguments import UNSET
from cwinference._calls.deadline import Deadline
from cwinference.inference._stats import Counters
from cwinference.inference._stream_reader import StreamReader
from tests.support.fake_clock import FakeClock
from tests.support.scripted_model_server import DONE, chunk_event, event

ROLE = event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
KEEP_ALIVE = b": keep-alive\n\n"
PING = b"event: ping\ndata: {}\n\n"


class Reading:
    """A stream that is read: `wait` lets time pass in a read that returns something."""

    def __init__(
        self,
        first_token_timeout: Any = UNSET,
        idle_timeout: float | None = 60.0,
        timeout: float | None = None,
        waited: float = 0.0,
    ) -> None:
        self.time = FakeClock()
        self.reports: list[str] = []
        self.reader = StreamReader("chat.completions", first_token_timeout, idle_timeout, self.time.clock)
        deadline = Deadline(timeout, self.time.clock.monotonic)
        self.time.now += waited
        self.reader.start(deadline, waited, self.reports.append)

    def wait(self, seconds: float, received: bytes | None) -> float | None:
        """Read something that takes some seconds; return how many it might have taken."""
        limit = self.reader.begin()
        self.time.now += seconds
        list(self.reader.receive(received))
        return limit

    def time_out(self) -> errors.InferenceError:
        """Wait for as long as the next read may take; return the error that follows."""
        limit = self.reader.begin()
        assert limit is not None
        self.time.now += limit
        return self.reader.interrupted(errors.DeadlineExceeded("no response"))


# The timeouts that are given, the one that is expected before the first content, and the option that sets it
FIRST: list[tuple[Any, float | None, float | None, str]] = [
    (UNSET, 60.0, 60.0, "idle_timeout"),
    (UNSET, 5.0, 5.0, "idle_timeout"),
    (UNSET, None, None, ""),
    (None, 5.0, None, ""),
    (None, None, None, ""),
    (3.0, 5.0, 3.0, "first_token_timeout"),
    (30.0, 5.0, 30.0, "first_token_timeout"),
    (3.0, None, 3.0, "first_token_timeout"),
]


@pytest.mark.parametrize(("first", "idle", "expected", "option"), FIRST)
def test_idle_timeout_holds_before_the_first_content_unless_first_token_timeout_says_otherwise(
    first: Any, idle: float | None, expected: float | None, option: str
) -> None:
    reading = Reading(first, idle)
    assert reading.reader.begin() == expected
    assert reading.reader.first_token_timeout == expected
    if expected is not None:
        error = reading.time_out()
        assert type(error) is errors.StreamStalled
        assert f"no first token within {expected:g} s ({option})" in str(error)


@pytest.mark.parametrize(("first", "idle", "expected", "option"), FIRST)
def test_after_the_first_content_only_idle_timeout_holds(
    first: Any, idle: float | None, expected: float | None, option: str
) -> None:
    reading = Reading(first, idle)
    reading.wait(1.0, chunk_event("a"))
    assert reading.reader.begin() == idle
    if idle is not None:
        error = reading.time_out()
        assert type(error) is errors.StreamStalled
        assert f"nothing more within {idle:g} s (idle_timeout)" in str(error)
        assert error.partial_text == "a"


@pytest.mark.parametrize("received", [ROLE, KEEP_ALIVE, PING, b"", b"data: {"])
def test_what_is_no_content_does_not_reset_a_timeout(received: bytes) -> None:
    reading = Reading(idle_timeout=5.0)
    reading.wait(2.0, received)
    assert reading.reader.begin() == 3.0
    reading = Reading(idle_timeout=5.0)
    reading.wait(4.0, chunk_event("a"))
    reading.wait(2.0, received)
    assert reading.reader.begin() == 3.0


def test_the_wait_for_the_head_of_the_response_counts() -> None:
    reading = Reading(idle_timeout=5.0, waited=2.0)
    assert reading.reader.begin() == 3.0
    reading.wait(3.0, KEEP_ALIVE)
    with pytest.raises(errors.StreamStalled, match="no first token within 5 s"):
        reading.reader.begin()


def test_every_content_starts_the_timeout_again() -> None:
    reading = Reading(idle_timeout=5.0)
    for _ in range(10):
        assert reading.wait(4.0, chunk_event("a")) == 5.0


def test_the_time_of_the_caller_does_not_count_except_for_the_whole_call() -> None:
    reading = Reading(idle_timeout=5.0, timeout=100.0)
    reading.wait(1.0, chunk_event("a"))
    reading.time.now += 97.0
    assert reading.reader.begin() == 2.0
    error = reading.time_out()
    assert type(error) is errors.DeadlineExceeded
    assert "timed out after 100 s, before the stream ended" in str(error)


def test_the_nearest_limit_counts() -> None:
    reading = Reading(first_token_timeout=None, idle_timeout=5.0, timeout=30.0)
    assert reading.reader.begin() == 30.0
    reading = Reading(idle_timeout=5.0, timeout=3.0)
    assert reading.reader.begin() == 3.0
    assert type(reading.time_out()) is errors.DeadlineExceeded


def test_the_end_is_reported_with_the_code_that_it_came_to() -> None:
    endings: list[tuple[bytes, BaseException | None, str]] = [
        (DONE, None, "ok"),
        (DONE, errors.StreamInterrupted("x"), "ok"),
        (b"", None, "canceled"),
        (b"", GeneratorExit(), "canceled"),
        (b"", KeyboardInterrupt(), "canceled"),
        (b"", errors.Internal("x"), "internal"),
        (b"", errors.ProtocolError("x"), "protocol_error"),
        (b"", errors.StreamInterrupted("x"), "unavailable"),
        (b"", errors.StreamStalled("x"), "deadline_exceeded"),
        (b"", ValueError("x"), "error"),
    ]
    for received, error, code in endings:
        reading, counters = Reading(), Counters()
        reading.wait(1.0, chunk_event("a") + received)
        reading.reader.end(counters, error)
        assert reading.reports == [code]
        counts = (counters.done, counters.cancelled, counters.failed)
        assert counts == (code == "ok", code == "canceled", code not in ("ok", "canceled"))

"""The head of a cluster that no longer responds is noticed once, before Ray ends the process."""

import logging
import threading
import time

import pytest

from cwinference.ray._head_watch import HeadWatch


def test_a_head_that_does_not_respond_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    released, polled = threading.Event(), threading.Event()

    def poll() -> None:
        if polled.is_set():
            released.wait(30)
        polled.set()

    with caplog.at_level(logging.WARNING, "cwinference.batch"), HeadWatch(poll, 0.01, 0.05):
        deadline = time.monotonic() + 30
        while not caplog.messages and time.monotonic() < deadline:
            time.sleep(0.01)
        released.set()
    assert ["the head of the Ray cluster has not responded" in each for each in caplog.messages] == [True]


def test_a_head_that_responds_or_fails_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    polls: list[int] = []

    def poll() -> None:
        polls.append(1)
        if len(polls) == 2:
            raise ConnectionError("no")

    with caplog.at_level(logging.WARNING, "cwinference.batch"), HeadWatch(poll, 0.001, 30):
        deadline = time.monotonic() + 30
        while len(polls) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(polls) >= 4
    assert caplog.messages == []

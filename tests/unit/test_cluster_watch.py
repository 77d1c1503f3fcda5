"""The head of a cluster that no longer responds is noticed once, before Ray ends the process."""

import logging
import threading

import pytest

from cwinference.ray._head_watch import HeadWatch
from tests.support.waiting import wait_until


def test_a_head_that_does_not_respond_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    released, polled = threading.Event(), threading.Event()

    def poll() -> None:
        if polled.is_set():
            released.wait(30)
        polled.set()

    with caplog.at_level(logging.WARNING, "cwinference.batch"), HeadWatch(poll, 0.01, 0.05):
        wait_until(lambda: bool(caplog.messages))
        released.set()
    assert ["the head of the Ray cluster has not responded" in each for each in caplog.messages] == [True]


def test_a_head_that_responds_or_fails_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    polls, went_on = list[int](), threading.Event()

    def poll() -> None:
        polls.append(1)
        if len(polls) == 2:
            raise ConnectionError("no")
        if len(polls) == 4:
            went_on.set()

    with caplog.at_level(logging.WARNING, "cwinference.batch"), HeadWatch(poll, 0.001, 30):
        assert went_on.wait(30)
    assert caplog.messages == []

"""Calls that wait for a server, to be interrupted by signals on the main thread."""

import os
import signal
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from cwinference import types

from .scripted_server import ReceivedRequest


def wait_until_blocked(thread: int | None) -> None:
    """Wait until a thread is seen twice at the same instruction.

    The pause is a real one, because nothing reports that a thread is blocked below Python.
    """
    before = None
    for _ in range(1000):
        frame = sys._current_frames()[thread or 0]
        instruction = frame.f_code, frame.f_lasti
        if instruction == before:
            return
        before = instruction
        time.sleep(0.01)


class FirstCallWaits:
    """A responder that does not respond to the first call until `go` is set."""

    def __init__(self) -> None:
        self.received = threading.Event()
        self.go = threading.Event()

    def wait(self) -> None:
        if not self.received.is_set():
            self.received.set()
            self.go.wait(100)

    def __call__(self, received: ReceivedRequest) -> types.GetGatewayResponse:
        self.wait()
        return types.GetGatewayResponse(gateway=types.Gateway(spec=types.GatewaySpec(name="front")))


@contextmanager
def raised_by_a_handler(error: Exception, event: threading.Event) -> Generator[None]:
    """Raise the error in a signal handler after the event, once this thread is blocked; expect it as it is."""

    def handle(*_: object) -> None:
        raise error

    entered = threading.Event()  # this thread also blocks for a moment while it starts the other one

    def send() -> None:
        if entered.wait(10) and event.wait(10):
            wait_until_blocked(threading.main_thread().ident)
            os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handle)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        entered.set()
        with pytest.raises(type(error)) as caught:
            yield
        sender.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert caught.value is error
    assert error.__cause__ is None

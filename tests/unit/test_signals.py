"""Errors that a signal handler raised are told from errors of the code that it interrupted."""

import signal
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import pytest

from cwinference._signals import from_signal_handler


class Handlers:
    """Handlers in the forms that Python accepts."""

    def method(self, number: int, frame: Any) -> None:
        raise TimeoutError

    def __call__(self, *arguments: Any) -> None:
        deep()

    @staticmethod
    def named(reason: str, number: int, frame: Any) -> None:
        raise ConnectionError(reason)


class Raising(Protocol):
    def __call__(self) -> object: ...


def deep() -> None:
    raise OSError("raised by what a handler calls")


def error_of(work: Raising) -> Exception:
    try:
        work()
    except Exception as error:
        return error
    raise AssertionError("it raised nothing")


@pytest.mark.parametrize(
    "handler",
    [Handlers().method, Handlers(), partial(Handlers.named, "late"), lambda *_: deep()],
    ids=["method", "object", "partial", "lambda"],
)
def test_an_error_of_a_handler_is_recognized(handler: Callable[..., None]) -> None:
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        assert from_signal_handler(error_of(lambda: signal.raise_signal(signal.SIGUSR1)))
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_other_errors_are_not() -> None:
    assert not from_signal_handler(error_of(deep))
    assert not from_signal_handler(error_of(lambda: int("x")))
    assert not from_signal_handler(TimeoutError())

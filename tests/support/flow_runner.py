"""Flows run without a client: each attempt gets the next of some prepared responses, and the clock is a fake."""

from collections.abc import Generator, Iterable, Iterator
from typing import Any, TypeVar

from google.protobuf.message import Message

from cwinference import Retry
from cwinference._calls.attempts import Context
from cwinference._calls.flow import Flow, GetToken, Send, Sleep
from cwinference._secrets import Secret
from cwinference.auth import Metadata, TokenCredentials
from cwinference.retry import Budget

from .fake_clock import FakeClock

T = TypeVar("T")


class FlowRunner:
    """Runs a flow with prepared responses, and records what it did."""

    def __init__(
        self, responses: Iterable[Message | Exception | float], tokens: Iterable[Metadata | Exception | float] = ()
    ) -> None:
        self._responses = iter(responses)
        self._tokens = iter(tokens)
        self.clock = FakeClock()
        self.sent: list[Send] = []

    @property
    def slept(self) -> list[float]:
        return self.clock.slept

    def run(self, flow: Generator[Any, Any, T]) -> T:
        """Return the flow's result. Exceptions among the responses are thrown into it; numbers let seconds pass."""
        try:
            step = next(flow)
            while True:
                try:
                    result = self._result(step)
                except Exception as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(result)
        except StopIteration as done:
            value: T = done.value
            return value

    def _result(self, step: object) -> object:
        if isinstance(step, Sleep):
            self.clock.sleep(step.seconds)
            return None
        if isinstance(step, GetToken):
            return _raised(_after_delays(self._tokens, self.clock))
        assert isinstance(step, Send)
        self.sent.append(step)
        return _raised(_after_delays(self._responses, self.clock))


def context(runner: FlowRunner, **changed: Any) -> Context:
    """Return what a client's calls share, with the clock of the runner."""
    defaults: dict[str, Any] = {
        "timeout": 30.0,
        "retry": Retry(),
        "credentials": TokenCredentials("token"),
        "budget": Budget(),
        "clock": runner.clock.clock,
        "on_call": None,
        "session": None,
    }
    return Context(**{**defaults, **changed})


def _after_delays(results: Iterator[Any], clock: FakeClock) -> Any:
    while isinstance(result := next(results), int | float):
        clock.now += result
    return result


def _raised(result: T | Exception) -> T:
    if isinstance(result, Exception):
        raise result
    return result


def poll(timeout: float) -> Flow[Any]:
    """Read a resource: return the next response."""
    nothing: Any = None
    return (yield Send(nothing, Secret(()), timeout, nothing))

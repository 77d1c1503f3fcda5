"""Flows performed by hand: each attempt gets the next answer of a list, and time is a fake."""

from collections.abc import Generator, Iterable, Iterator
from typing import Any, TypeVar

from google.protobuf.message import Message

from cwinference import Retry
from cwinference._calls.attempts import Context
from cwinference._calls.flow import AskToken, Flow, Send, Sleep
from cwinference.auth import Credentials, Metadata
from cwinference.retry import Budget

from .fake_clock import FakeClock

T = TypeVar("T")


class Performance:
    """What a flow did, and what it was answered."""

    def __init__(self, answers: Iterable[Message | Exception | float], tokens: Iterable[Metadata | float] = ()) -> None:
        self._answers = iter(answers)
        self._tokens = iter(tokens)
        self.clock = FakeClock()
        self.sent: list[Send] = []

    @property
    def slept(self) -> list[float]:
        return self.clock.slept

    def of(self, flow: Generator[Any, Any, T]) -> T:
        """The flow's result; an exception among the answers is thrown into it, a number lets time pass first."""
        try:
            step = next(flow)
            while True:
                try:
                    answer = self._answer(step)
                except Exception as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result

    def _answer(self, step: object) -> object:
        if isinstance(step, Sleep):
            self.clock.sleep(step.seconds)
            return None
        if isinstance(step, AskToken):
            return _after_delays(self._tokens, self.clock)
        assert isinstance(step, Send)
        self.sent.append(step)
        return _raised(_after_delays(self._answers, self.clock))


def context(performance: Performance, **changed: Any) -> Context:
    """What a client's calls share, on the performance's clock."""
    defaults: dict[str, Any] = {
        "timeout": 30.0,
        "retry": Retry(),
        "credentials": Credentials("token"),
        "budget": Budget(),
        "clock": performance.clock.clock,
        "on_call": None,
    }
    return Context(**{**defaults, **changed})


def _after_delays(answers: Iterator[Any], clock: FakeClock) -> Any:
    while isinstance(answer := next(answers), int | float):
        clock.now += answer
    return answer


def _raised(answer: Message | Exception) -> Message:
    if isinstance(answer, Exception):
        raise answer
    return answer


def look(limit: float) -> Flow[Any]:
    """A read that does nothing but take the next answer."""
    call: Any = None
    return (yield Send(call, (), limit))

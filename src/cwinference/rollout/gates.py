"""Gates: what decides after each step of a rollout whether it goes on.

A gate is a function of a `Step` that returns "pass", "fail" (the rollout is reverted) or "wait" (it is asked again
after another soak). On `AsyncClient` it may be async; a plain one is called on a thread, since it may block.
"""

import json
import math
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, cast

from .. import errors
from .._arguments import check_at_least, check_count, check_timeout, shown
from .._text import one_line, reason_of
from ..status import State
from ._step import Gate, Step, Verdict

if TYPE_CHECKING:
    from ..inference import AsyncInference, Inference

_MODEL_SERVER_HEADER = "x-emulator-deployment"
"""The header by which an emulator says which deployment a response is from."""


def ready() -> Callable[[Step], Verdict]:
    """Return the gate that is used by default: it passes when both deployments are READY.

    It fails when the new one is in ERROR or FAILED, and waits for everything else.
    """
    return _ready


def _ready(step: Step) -> Verdict:
    new, old = State.of(step.new), State.of(step.old)
    if new in (State.ERROR, State.FAILED):
        return "fail"
    return "pass" if new is old is State.READY else "wait"


def command(arguments: Sequence[str], *, timeout: float | None = 60.0) -> Callable[[Step], Verdict]:
    """Return a gate that runs a program: exit code 0 passes, 1 fails, 2 waits.

    The program is run without a shell and a terminal. It gets the step as a line of JSON on its standard input:
    `rollout`, `step`, `of`, `percent`, and for `new` and `old` `id`, `name`, `weight`, `state`. What it prints to
    standard error is shown as usual; its standard output goes nowhere.

    Args:
        arguments: the program and its arguments.
        timeout: seconds that it may take (60), after which it is killed; None for no limit.

    Raises:
        ConfigurationError: an argument is wrong, or there is no such program. The gate raises it too, which pauses the
            rollout: for a program that cannot be started, takes too long, or exits with another code.
    """
    if isinstance(arguments, str) or not isinstance(arguments, Sequence) or not arguments:
        raise errors.ConfigurationError(
            f"arguments: expected a list of a program and its arguments, got {shown(arguments)}"
        )
    for each in arguments:
        if not isinstance(each, str) or "\0" in each:
            raise errors.ConfigurationError(f"arguments: expected strings, got {shown(each)}")
    limit = check_timeout(timeout)
    if shutil.which(arguments[0]) is None:  # a gate is first asked when some of the traffic has moved
        raise errors.ConfigurationError(
            f"arguments: there is no program {shown(arguments[0])} that can be run; give a path, or make it executable"
        )
    return lambda step: _run([*arguments], limit, step)


_VERDICTS: Mapping[int, Verdict] = {0: "pass", 1: "fail", 2: "wait"}


def _run(arguments: Sequence[str], timeout: float | None, step: Step) -> Verdict:
    name = f"gate {arguments[0]!r}"
    try:
        process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        raise errors.ConfigurationError(f"{name}: {reason_of(error)}") from None
    with process:
        try:
            process.communicate(_described(step), timeout)
        except subprocess.TimeoutExpired:
            _kill(process)
            raise errors.ConfigurationError(f"{name}: did not finish within {timeout or 0:g} s") from None
        except BaseException:
            _kill(process)
            raise
    verdict = _VERDICTS.get(process.returncode)
    if verdict is None:
        raise errors.ConfigurationError(
            f"{name}: exited with {process.returncode}; expected 0 (pass), 1 (fail) or 2 (wait)"
        )
    return verdict


def _kill(process: "subprocess.Popen[bytes]") -> None:
    import os

    with suppress(ProcessLookupError, PermissionError):  # the last of its group has ended
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _described(step: Step) -> bytes:
    sides = {
        name: {"id": each.spec.id, "name": each.spec.name, "weight": weight, "state": State.of(each).name}
        for name, each, weight in (("new", step.new, step.new_weight), ("old", step.old, step.old_weight))
    }
    fields = {"rollout": step.rollout, "step": step.number, "of": step.of, "percent": step.percent, **sides}
    return json.dumps(fields).encode() + b"\n"


class _Samples:
    """What was seen of the completions in one step."""

    def __init__(self, limits: "_Limits") -> None:
        self._limits = limits
        self._step: tuple[str, int] | None = None
        self._first_tokens: list[float] = []
        self._failed = 0

    def of(self, step: Step, inference: Any, requests: Sequence[Mapping[str, Any]]) -> "Iterator[_Sample]":
        """Emit a sample to take for each request, after what was seen in another step is forgotten."""
        if self._step != (step.rollout, step.number):
            self._step, self._first_tokens, self._failed = (step.rollout, step.number), [], 0
        for request in requests:
            yield _Sample(self, step.new.spec.id, _opened(inference, request))

    def add(self, seconds: float | None) -> None:
        """Take in a completion; `seconds` to its first token, None if it failed."""
        if seconds is None:
            self._failed += 1
        else:
            self._first_tokens.append(seconds)

    def verdict(self) -> Verdict:
        """Return what follows from them; never a pass with too few of them."""
        total = len(self._first_tokens) + self._failed
        if total < self._limits.min_samples:
            return "wait"
        if self._failed > self._limits.max_error_rate * total:
            return "fail"
        slowest = self._limits.max_first_token
        return "fail" if slowest is not None and _percentile_95(self._first_tokens) > slowest else "pass"


class _Sample:
    """One completion, while it lasts. A failure that says something about the deployment ends it quietly.

    One that certainly is from another deployment does not count. One of which that is not known does.
    """

    def __init__(self, samples: _Samples, deployment: str, stream: Any) -> None:
        self.stream = stream
        self._samples = samples
        self._deployment = deployment
        self._first_token: float | None = None
        self._began = monotonic()

    def see_token(self) -> None:
        """Note that something has arrived."""
        if self._first_token is None:
            self._first_token = monotonic() - self._began

    def __enter__(self) -> Self:
        self._began = monotonic()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is not None and (not isinstance(error, _FAILURES) or isinstance(error, errors.Unauthenticated)):
            return False
        headers = getattr(error, "headers", None) or self.stream.headers
        if headers.get(_MODEL_SERVER_HEADER, self._deployment) == self._deployment:
            self._samples.add(self._first_token if error is None else None)
        return error is not None


@dataclass(frozen=True)
class _Limits:
    min_samples: int
    max_error_rate: float
    max_first_token: float | None


def _percentile_95(values: Sequence[float]) -> float:
    return sorted(values)[math.ceil(0.95 * len(values)) - 1] if values else 0.0


def probe(
    inference: "Inference | AsyncInference",
    requests: Iterable[Mapping[str, Any]],
    *,
    min_samples: int = 20,
    max_error_rate: float = 0.01,
    max_first_token: float | None = None,
) -> Gate:
    """Return a gate that requests completions as users do, and judges by failures and by the time to the first token.

    Each time it is asked it streams one completion for each of the requests, one after the other, with no retries. It
    waits until enough of them were seen in this step, and never passes with fewer. The service does not say which
    deployment a completion is from, so all of the model's count, in the mix that users get; an emulator does say, and
    then only those of the new deployment count, and those of which nothing is known.

    Args:
        inference: where to request them: `client.inference(gateway)`; an `AsyncInference` for an `AsyncClient`.
        requests: the arguments of each request: `{"model": ..., "messages": [...]}`, or with `prompt` in place of
            `messages`.
        min_samples: how many completions a verdict needs (20).
        max_error_rate: which part of them may fail, from 0 to 1 (0.01).
        max_first_token: seconds within which 95 % of the completions must begin; None: their time does not count.

    Raises:
        ConfigurationError: an argument is wrong. The gate raises it too, for a request that cannot be sent.
        Unauthenticated: the gate raises it, because a token that is refused says nothing about a deployment.
    """
    asked = _checked(requests)
    rate = check_at_least(0, max_error_rate, "max_error_rate")
    if rate > 1:
        raise errors.ConfigurationError(f"max_error_rate: expected a number from 0 to 1, got {shown(max_error_rate)}")
    limits = _Limits(check_count(min_samples, "min_samples"), rate, check_timeout(max_first_token, "max_first_token"))
    samples, server = _Samples(limits), _untyped(inference)

    def gate(step: Step) -> Verdict:
        for sample in samples.of(step, server, asked):
            with sample, sample.stream as stream:
                for _ in stream:
                    sample.see_token()
        return samples.verdict()

    async def async_gate(step: Step) -> Verdict:
        for sample in samples.of(step, server, asked):
            with sample:
                async with sample.stream as stream:
                    async for _ in stream:
                        sample.see_token()
        return samples.verdict()

    return async_gate if hasattr(type(inference), "__aenter__") else gate


_FAILURES = (errors.ApiError, errors.ProtocolError, errors.StreamInterrupted, errors.StreamStalled)


def _untyped(inference: object) -> Any:
    for name in ("chat", "completions"):
        if not hasattr(inference, name):
            raise errors.ConfigurationError(
                f"inference: expected what client.inference(gateway) returns, got {one_line(shown(inference))}"
            )
    return inference


def _checked(requests: object) -> Sequence[Mapping[str, Any]]:
    given = requests  # type checkers narrow the other one
    if isinstance(requests, str | Mapping) or not isinstance(requests, Iterable):
        raise _no_request(given)
    found = [*cast(Iterable[object], requests)]
    if not found:
        raise errors.ConfigurationError("requests: expected at least one")
    return [_checked_request(each) for each in found]


def _checked_request(request: object) -> Mapping[str, Any]:
    given = request
    if not isinstance(request, Mapping) or not {"messages", "prompt"} & request.keys():
        raise _no_request(given)
    return dict(cast(Mapping[str, Any], request))


def _no_request(found: object) -> errors.ConfigurationError:
    return errors.ConfigurationError(
        f"requests: expected mappings with model and messages (or prompt), got {one_line(shown(found))}"
    )


def _opened(inference: Any, request: Mapping[str, Any]) -> Any:
    resource = inference.chat.completions if "messages" in request else inference.completions
    return resource.stream(**{"retry": None, **request})

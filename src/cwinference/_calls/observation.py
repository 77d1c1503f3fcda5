"""What may watch calls from their beginning to their end, attempt by attempt. By default nothing does.

Only the flow of `attempts.py` knows of it, never the fast path of the drivers: an observed client takes the flow.
"""

from typing import Any, Protocol

from .._wire.methods import Method
from ..auth import Metadata
from ..config import Endpoint
from ..errors import ConfigurationError


class Observation(Protocol):
    """Watches one call. None of its methods raises, but for what a signal handler raises."""

    def enter(self) -> Any:
        """Note that a part of the call begins here; return what `leave` needs."""
        ...

    def leave(self, entered: Any) -> None:
        """Note that the part is over, or that nothing more will be done in it."""
        ...

    def send(self, call: Any, metadata: Metadata) -> Metadata:
        """Note that an attempt begins; return the headers that it is sent with: those given, and perhaps more."""
        ...

    def attempted(self, code: str, error: BaseException | None = None) -> None:
        """Note how an attempt ended: "ok", or the code of an error."""
        ...

    def received(self, result: Any) -> None:
        """Note what the caller gets of a successful response."""
        ...

    def end(self, code: str, attempts: int, seconds: float, error: BaseException | None = None) -> None:
        """Note how the call ended, after how many attempts, and how many seconds after it began."""
        ...


class StreamObservation(Observation, Protocol):
    """Watches one call whose response may be a stream."""

    def chunk(self, chunk: Any, elapsed: float, waited: float) -> None:
        """Note a chunk: the seconds since the call began, and those spent waiting for it since the one before."""
        ...

    def stream_ended(self, usage: Any, error: BaseException | None) -> None:
        """Note how a stream ended, before `end`: its `usage`, a JSON object or None, and its error."""
        ...


class Observer:
    """Watches the calls of clients. Neither method raises; None stands for a call that is not watched."""

    is_on = True
    """Whether calls are watched. While it is False, they are not."""

    def rpc(self, method: Method, endpoint: Endpoint, protocol: str) -> Observation | None:
        """Begin to watch a call of the management API. `protocol` is "grpc", "connect" or "rest"."""
        raise NotImplementedError

    def completion(
        self, path: str, body: Any, endpoint: Endpoint | None, *, is_streamed: bool
    ) -> StreamObservation | None:
        """Begin to watch a call of a model server, by its path below `/v1`. Its endpoint may not be known yet."""
        raise NotImplementedError


class Observing:
    """What users give to a client so that its calls are watched."""

    _observer: Observer


_every_client: Observer | None = None


def observe_every_client(observer: Observer | None) -> None:
    """Set what watches the calls of all clients that are created from now on, unless they are given another."""
    global _every_client
    _every_client = observer


def observer_of(given: object) -> Observer | None:
    """Return what watches the calls of a client: what it is given, else what watches all. Raises ConfigurationError."""
    if given is None:
        return _every_client
    if not isinstance(given, Observing):
        raise ConfigurationError(f"telemetry: expected a Telemetry or None, got {type(given).__name__}")
    return given._observer  # pyright: ignore[reportPrivateUsage]

"""Logic written once for both clients: a flow is a generator that yields the steps it wants done.

A flow never blocks and never awaits. It yields a step, is sent the step's result (or has its error thrown in), and
returns its own result. `drivers.py` contains the two small loops that perform steps, a sync and an async one.
"""

from collections.abc import Awaitable, Callable, Generator, Iterable
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from ..auth import Credentials, Metadata
from ..errors import ApiError
from ..retry import Retry
from .observation import Observation, Observer

T = TypeVar("T")
ItemT = TypeVar("ItemT")


class Call(Generic[T]):
    """Something to be sent, an RPC or a completion: what drivers and retries need to know of it."""

    __slots__ = ()

    name: str
    """What errors, logs and metrics call it: `GetGateway`, `chat.completions`."""
    timeout: float | None
    """Seconds for the whole call; None for no limit; UNSET for the client's default."""
    retry: Retry | None
    """How it is retried; None for not at all; UNSET for the client's default."""
    result: Callable[[Any], T]
    """Returns what the caller wants of the response."""
    context: Any = None
    """The `Context` of the server to which it goes next, if there are several; None for that of the client."""
    hedges: int = 0
    """How many attempts were made at the same time as another one, in addition to it."""
    lost: BaseException | None = None
    """How the one of the latest two such attempts ended whose response is not the call's."""

    def step(self, metadata: Metadata, timeout: float | None, session: "Session") -> "Step":
        """Return the step that makes one attempt."""
        return Send(self, metadata, timeout, session)

    def move(self, error: ApiError) -> bool:
        """Turn to another server after an error, if there is one; return whether it can be sent the call at once."""
        return False

    def delay(self, error: ApiError) -> float | None:
        """Return the seconds of the pause that the server it goes to next has asked for; None if it has not."""
        return error.retry_after

    def may_retry(self, error: ApiError) -> bool:
        """Return whether it may be sent again after this error."""
        raise NotImplementedError

    def explain(self, error: ApiError) -> "Flow[None]":
        """Add to the final error what is known and helps. For most calls that is nothing."""
        yield from ()

    def give_up(self) -> None:
        """Note that the caller left before a retry. For most calls that needs no note."""

    def observe(self, observer: Observer, session: Any) -> Observation | None:
        """Begin to observe it, if the observer cares for calls of its kind. `session` is what will send it."""
        return None


class Session(Protocol):
    """Sends attempts of calls. A sync one returns the response, an async one a coroutine of it."""

    def send(self, call: Any, metadata: Metadata, timeout: float | None) -> Any:
        """Send one attempt. Raises ApiError or ProtocolError."""
        ...


class Send(NamedTuple):
    """Send one attempt of a call. The result is the response."""

    call: Call[Any]
    metadata: Metadata
    timeout: float | None
    session: Session


class GetToken(NamedTuple):
    """Get the token's header: the cached one, or a new one in place of the one that the server refused."""

    credentials: Credentials
    refused: Metadata | None
    timeout: float | None


class Sleep(NamedTuple):
    """Let time pass."""

    seconds: float


class RunFunction(NamedTuple):
    """Do work that exists as a blocking and as an async function. The result is what the chosen one returns."""

    run_sync: Callable[[], Any]
    run_async: Callable[[], Awaitable[Any]]


class Emit(NamedTuple, Generic[ItemT]):
    """Give items to the code that iterates over the flow."""

    items: Iterable[ItemT]


Step: TypeAlias = Send | GetToken | Sleep | RunFunction
Flow: TypeAlias = Generator[Step, Any, T]
Pages: TypeAlias = Generator[Step | Emit[ItemT], Any, None]
Operation: TypeAlias = Call[T] | Flow[T]
"""What a declaration of a method returns: one call, or the flow of several steps."""

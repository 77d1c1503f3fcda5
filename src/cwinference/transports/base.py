"""What a transport is: it sends one attempt of a unary method and raises our errors. It retries nothing."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from google.protobuf.message import Message

from .._wire.methods import Method
from ..auth import Metadata
from ..errors import ConfigurationError


class ResponseMetadata:
    """What comes with a response, also with a failed one. Headers have names in lower case, in the order received."""

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []
        self.trailers: list[tuple[str, str]] = []
        self.json: bytes | None = None
        """The body of a response over REST."""


class UnaryCall(Protocol):
    """A call, as a transport sees it."""

    method: Method
    request: Message
    unknown_fields: list[str] | None
    """If it is a list, the names of fields in a JSON response that the response's type does not know are added."""
    response_metadata: ResponseMetadata | None
    """If it is given, the headers and trailers of the response are put there."""


class Transport(Protocol):
    """Sends attempts on the calling thread; may be used by many threads at once."""

    def send(self, call: UnaryCall, metadata: Metadata, timeout: float | None) -> Message:
        """Send one attempt and return the response. `timeout` in seconds; None for no limit.

        Raises ApiError or ProtocolError.
        """
        ...

    def close(self) -> None:
        """Release all connections."""
        ...


class AsyncTransport(Protocol):
    """The same for event loops; may be used by several loops, each of which gets connections of its own."""

    def send(self, call: UnaryCall, metadata: Metadata, timeout: float | None) -> Coroutine[Any, Any, Message]:
        """Send one attempt and return the response; as `Transport.send`."""
        ...

    async def close(self) -> None:
        """Release all connections."""
        ...


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop. Raises ConfigurationError if there is none, as under trio."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "AsyncClient needs a running asyncio event loop; elsewhere, as under trio, use Client on a thread"
        ) from None


_CLOCK_DIFFERENCE = 0.05
"""Seconds by which a server's idea of a deadline may be ahead of ours."""


def has_timed_out(timeout: float | None, seconds: float) -> bool:
    """Return whether a call that the server canceled after `seconds` had reached its timeout.

    Servers end both a timeout and a cancel of their own with CANCELLED, so only our clock can tell them apart.
    """
    return timeout is not None and seconds >= timeout - _CLOCK_DIFFERENCE

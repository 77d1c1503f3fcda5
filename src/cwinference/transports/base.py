"""The seam between the facade and the libraries that speak to the network.

A transport sends one attempt of any unary method that is described to it and raises our errors; it repeats nothing.
gRPC, Connect and REST are a module each, imported only when chosen.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from google.protobuf.message import Message

from .._wire.methods import Method
from ..auth import Metadata
from ..config import Settings
from ..errors import ConfigurationError

UNUSABLE_TLS = "tls: the certificates or the key cannot be used"
"""What is said of PEM blocks that no connection can be made with."""

_TLS_ADVICE = {
    "; no TLS is spoken there: is the endpoint http://?": ("WRONG_VERSION_NUMBER", "InvalidContentType"),
    "; trust its authority by tls=TLS(ca=...)": (
        "UnknownIssuer",
        "BadSignature",  # an authority of this name is trusted, but has another key
        "UnsupportedSignatureAlgorithm",  # likewise, of another kind
        "self signed",
        "unable to get local issuer",
    ),
}


def tls_advice(text: str) -> str:
    """What to do about a handshake that failed; empty where that is not known."""
    return next((advice for advice, signs in _TLS_ADVICE.items() if any(sign in text for sign in signs)), "")


class ResponseMetadata:
    """What came with an answer beside its message, for a caller who asks: names in lower case, in the order sent."""

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []
        self.trailers: list[tuple[str, str]] = []


class Transport(Protocol):
    """Sends attempts on the calling thread; may be used by many threads at once."""

    def send(
        self,
        method: Method,
        request: Message,
        metadata: Metadata,
        timeout: float | None,
        lost: list[str] | None = None,
        seen: ResponseMetadata | None = None,
    ) -> Message:
        """Send one attempt and give the reply.

        `timeout` is in seconds, None for no limit. Names of fields in a JSON answer that the reply's type does not know
        are added to `lost`; `seen` is told the headers and trailers, of errors too. Raises `ApiError` or
        `ProtocolError`.
        """
        ...

    def close(self) -> None:
        """Release all connections."""
        ...


class AsyncTransport(Protocol):
    """The same for event loops; may be used by several loops, each of which gets connections of its own."""

    def send(
        self,
        method: Method,
        request: Message,
        metadata: Metadata,
        timeout: float | None,
        lost: list[str] | None = None,
        seen: ResponseMetadata | None = None,
    ) -> Coroutine[Any, Any, Message]:
        """Send one attempt and give the reply; as `Transport.send`."""
        ...

    async def close(self) -> None:
        """Release all connections."""
        ...


def open_sync(settings: Settings) -> Transport:
    """Return the chosen transport for `Client`. Only its own library is imported, and nothing connects yet."""
    if settings.transport == "grpc":
        from .grpc import GrpcTransport

        return GrpcTransport(settings)
    if settings.transport == "connect":
        from .connect import ConnectTransport

        return ConnectTransport(settings)
    from .rest import RestTransport

    return RestTransport(settings)


def open_async(settings: Settings) -> AsyncTransport:
    """Return the chosen transport for `AsyncClient`; as `open_sync`."""
    if settings.transport == "grpc":
        from .grpc import AsyncGrpcTransport

        return AsyncGrpcTransport(settings)
    if settings.transport == "connect":
        from .connect import AsyncConnectTransport

        return AsyncConnectTransport(settings)
    from .rest import AsyncRestTransport

    return AsyncRestTransport(settings)


def running_loop() -> asyncio.AbstractEventLoop:
    """The running event loop; a ConfigurationError where there is none, as under trio."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "AsyncClient needs a running asyncio event loop; elsewhere, as under trio, use Client on a thread"
        ) from None


_CLOCKS_APART = 0.05
"""Seconds by which a server's idea of a deadline may be ahead of ours."""


def is_over(timeout: float | None, seconds: float) -> bool:
    """Whether a call given up after `seconds` was so for its time limit, which servers do not tell from a cancel."""
    return timeout is not None and seconds >= timeout - _CLOCKS_APART

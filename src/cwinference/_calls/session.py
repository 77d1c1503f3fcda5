"""The connections of a client, shared by all its copies: opened at the first call, closed once."""

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from .._locks import lock_of
from ..auth import Metadata
from ..config import Settings
from ..errors import ConfigurationError
from ..transports.base import AsyncTransport, Transport
from .rpc import Rpc

TransportT = TypeVar("TransportT", Transport, AsyncTransport)


class Attachment(Protocol):
    """Connections that are closed together with those of a client."""

    def take_all(self) -> list[Any]:
        """Return what is open, to be closed by the caller; nothing can be opened any more."""
        ...


AttachmentT = TypeVar("AttachmentT", bound=Attachment)


def closed() -> ConfigurationError:
    """Return the error of a call on a closed client."""
    return ConfigurationError("the client is closed; create a new one")


class ClientSession(Generic[TransportT]):
    """The transport of a client, and a second one for calls that may travel only as JSON."""

    def __init__(self, settings: Settings, open_transport: Callable[[Settings], TransportT]) -> None:
        self.settings = settings
        self._open_transport: Callable[[Settings], TransportT] = open_transport
        self._main: TransportT | None = None
        self._json: TransportT | None = None
        self._attachment: Any = None
        self._closed = False
        self._lock = lock_of(self)

    def __str__(self) -> str:
        state = ", closed" if self._closed else ""
        return f"{self.settings.endpoint.url}, transport={self.settings.transport}{state}"

    def sibling(self, settings: Settings) -> "ClientSession[TransportT]":
        """Return a session with other settings, for the same kind of client, which the caller has to close."""
        return ClientSession(settings, self._open_transport)

    def check_open(self) -> None:
        """Raise ConfigurationError if the client is closed."""
        if self._closed:
            raise closed()

    def send(self, call: Rpc[Any], metadata: Metadata, timeout: float | None) -> Any:
        """Send one attempt by the client's transport, or by REST if the call has to travel as JSON."""
        transport = self._json if call.as_json else self._main
        if transport is None:
            transport = self._open(call.as_json)
        return transport.send(call, metadata, timeout)

    def take_all(self) -> list[Any]:
        """Return the open transports, to be closed by the caller; no call can be made any more."""
        with self._lock:
            self._closed = True
            found: list[Any] = [each for each in (self._main, self._json) if each is not None]
            self._main = self._json = None
            found = found[:1] if len(found) == 2 and found[0] is found[1] else found
            return found if self._attachment is None else [*found, *self._attachment.take_all()]

    def attachment(self, make: Callable[[Settings], AttachmentT]) -> AttachmentT:
        """Return the connections of completions, which use the same settings; made once, and closed with the client."""
        with self._lock:
            if self._closed:
                raise closed()
            if self._attachment is None:
                self._attachment = make(self.settings.for_rest())
            attachment: AttachmentT = self._attachment
            return attachment

    def _open(self, as_json: bool) -> TransportT:
        with self._lock:
            if self._closed:
                raise closed()
            if self.settings.transport == "rest":
                self._main = self._json = self._main or self._open_transport(self.settings)
                return self._main
            if as_json:
                self._json = self._json or self._open_transport(self.settings.for_rest())
                return self._json
            self._main = self._main or self._open_transport(self.settings)
            return self._main

"""The connections of a client, shared by all its copies: opened at the first call, closed once."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from .._locks import lock_of
from ..config import Settings
from ..errors import ConfigurationError
from .rpc import Call

TransportT = TypeVar("TransportT")
T = TypeVar("T")

_CLOSED = "the client is closed; make a new one"


class Session(Generic[TransportT]):
    """The transport of a client, and the one beside it for calls that may travel only as JSON."""

    def __init__(self, settings: Settings, open_transport: Callable[[Settings], TransportT]) -> None:
        self.settings = settings
        self._open_transport = open_transport
        self._main: TransportT | None = None
        self._json: TransportT | None = None
        self._beside: Any = None
        self._closed = False
        self._lock = lock_of(self)

    def __str__(self) -> str:
        state = ", closed" if self._closed else ""
        return f"{self.settings.endpoint.url}, transport={self.settings.transport}{state}"

    def transport_for(self, call: Call[Any]) -> TransportT:
        """The client's transport, or REST when the call has to travel as JSON; opened when first needed."""
        transport = self._json if call.as_json else self._main
        return transport if transport is not None else self._open(call.as_json)

    def take_all(self) -> list[TransportT]:
        """Give the open transports up, to be closed; no call can be made any more."""
        with self._lock:
            self._closed = True
            found = [each for each in (self._main, self._json) if each is not None]
            self._main = self._json = None
            found = found[:1] if len(found) == 2 and found[0] is found[1] else found
            return found if self._beside is None else [*found, *self._beside.take_all()]

    def beside(self, make: Callable[[Settings], T]) -> T:
        """What uses the same settings beside the API, such as the connections of completions; made once, and closed
        with the rest by its own `take_all`."""
        with self._lock:
            if self._closed:
                raise ConfigurationError(_CLOSED)
            if self._beside is None:
                self._beside = make(self.settings.for_rest())
            return cast(T, self._beside)

    def _open(self, as_json: bool) -> TransportT:
        with self._lock:
            if self._closed:
                raise ConfigurationError(_CLOSED)
            if self.settings.transport == "rest":
                self._main = self._json = self._main or self._open_transport(self.settings)
                return self._main
            if as_json:
                self._json = self._json or self._open_transport(self.settings.for_rest())
                return self._json
            self._main = self._main or self._open_transport(self.settings)
            return self._main

"""The connections of completions: a transport for each server."""

from collections.abc import Callable
from dataclasses import replace
from typing import Generic, TypeVar

from .._calls.session import closed
from .._locks import lock_of
from ..config import Endpoint, Settings
from ..transports.completions import AsyncCompletionTransport, SyncCompletionTransport

TransportT = TypeVar("TransportT", SyncCompletionTransport, AsyncCompletionTransport)


class Connections(Generic[TransportT]):
    """A transport for each server, opened at the first request and shared by all requests to it."""

    def __init__(self, settings: Settings, open_transport: Callable[[Settings], TransportT]) -> None:
        self.settings = settings
        self._open_transport: Callable[[Settings], TransportT] = open_transport
        self._transports: dict[str, TransportT] = {}
        self._last: tuple[Endpoint, TransportT] | None = None
        self._closed = False
        self._lock = lock_of(self)

    def to(self, endpoint: Endpoint) -> TransportT:
        """Return the transport for a server."""
        last = self._last
        if last is not None and last[0] is endpoint:
            return last[1]
        key = f"{endpoint.scheme}://{endpoint.authority}"
        with self._lock:
            if self._closed:
                raise closed()
            if key not in self._transports:
                self._transports[key] = self._open_transport(replace(self.settings, endpoint=endpoint))
            self._last = endpoint, self._transports[key]
            return self._transports[key]

    def take_all(self) -> list[TransportT]:
        """Return the open transports, to be closed by the caller; no request can be made any more."""
        with self._lock:
            self._closed = True
            self._last = None
            transports = list(self._transports.values())
            self._transports.clear()
            return transports

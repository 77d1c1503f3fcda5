"""The connections of completions: a transport for each server."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from .._arguments import check_count, check_http_version
from .._calls.session import closed
from .._locks import lock_of
from ..config import TLS, Endpoint, HttpVersion, Settings, read_certificates, read_proxies, with_usable_proxy
from ..transports.completions import AsyncCompletionTransport, SyncCompletionTransport

TransportT = TypeVar("TransportT", SyncCompletionTransport, AsyncCompletionTransport)

_MOST_RECENT = 64


class Connections(Generic[TransportT]):
    """A transport for each server, opened at the first request and shared by all requests to it."""

    def __init__(self, settings: Settings, open_transport: Callable[[Settings], TransportT]) -> None:
        self.settings = settings
        self._open_transport: Callable[[Settings], TransportT] = open_transport
        self._transports: dict[str, TransportT] = {}
        self._recent: dict[int, tuple[Endpoint, TransportT]] = {}
        """By the identities of the endpoints, which are found faster than their values."""
        self._more: WeakSet[Any] = WeakSet()
        self._closed = False
        self._lock = lock_of(self)

    def to(self, endpoint: Endpoint) -> TransportT:
        """Return the transport for a server."""
        recent = self._recent.get(id(endpoint))
        if recent is not None and recent[0] is endpoint:
            return recent[1]
        key = f"{endpoint.scheme}://{endpoint.authority}"
        with self._lock:
            if self._closed:
                raise closed()
            if key not in self._transports:
                self._transports[key] = self._open_transport(self.settings._replace(endpoint=endpoint))
            if len(self._recent) >= _MOST_RECENT:
                self._recent.clear()
            self._recent[id(endpoint)] = endpoint, self._transports[key]
            return self._transports[key]

    def check_open(self) -> None:
        """Raise ConfigurationError if they are closed."""
        if self._closed:
            raise closed()

    def close_too(self, more: Any) -> None:
        """Close something else, which has a `close` too, with the transports."""
        with self._lock:
            if self._closed:
                raise closed()
            self._more.add(more)

    def take_all(self) -> list[Any]:
        """Return what is open, to be closed by the caller; no request can be made any more."""
        with self._lock:
            self._closed = True
            self._recent.clear()
            found = [*self._transports.values(), *self._more]
            self._transports.clear()
            self._more.clear()
            return found


def settings_for(
    endpoint: Endpoint, tls: TLS | None, proxy: str | None, http_version: HttpVersion | None, max_reply_bytes: int
) -> Settings:
    """Return the settings for a server without a client. Raises ConfigurationError."""
    settings = Settings(
        endpoint=endpoint,
        transport="rest",
        codec="json",
        http_version=check_http_version(http_version),
        certificates=read_certificates(tls),
        proxies=read_proxies(proxy),
        max_reply_bytes=check_count(max_reply_bytes, "max_reply_bytes"),
    )
    return with_usable_proxy(settings)

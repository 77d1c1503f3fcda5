"""What `Inference` and `AsyncInference` have in common: settings, a front and what is asked of it."""

from dataclasses import replace
from typing import Any, ClassVar, Generic, Self, TypedDict, Unpack

from .. import types
from .._calls.attempts import Context, OnCall
from .._calls.rpc import UNSET
from .._calls.flow import Clock
from .._calls.operation import Mode
from .._calls.session import Session
from ..auth import Anonymous, Credentials, TokenSource, hidden
from ..config import (
    MAX_REPLY_BYTES,
    TLS,
    HttpVersion,
    Settings,
    check_count,
    check_proxy,
    check_timeout,
    read_certificates,
)
from ..errors import ConfigurationError
from ..retry import Budget, Retry, check_retry
from ._gateway_server import GatewayServer
from ._limiter import Limiter, Stats
from ._model_server import Front
from ._resources import Chat, Completions, Models
from ._routing import Route, Routing, route_to
from ._session import Connections

TIMEOUT = 600.0
"""Seconds that a completion may take, unless the caller says otherwise."""
LIMIT = 1000
"""How many requests are in flight at once, unless the caller says otherwise."""

SETTINGS = """
    `front.chat.completions` and `front.completions` have `create` and `stream`, `front.models` has `list`, and
    `front.batch` asks many at once.

    `client.inference(gateway)` makes one with everything in place. On its own it needs no management client. Nothing
    connects before the first request.

    Args:
        base_url: where the server is, such as the first of a gateway's endpoints; with or without `/v1` at its end.
        token: the token, or a source of it as in `Client`. None: no token is sent.
        routing: the gateway's `types.BodyBasedRouting`, `types.HeaderBasedRouting` or `types.PathBasedRouting`;
            None: the body alone names the model.
        timeout: seconds for a whole call: queueing, token, all attempts and pauses, reading (600). None for no limit.
        retry: how often what failed before its answer began is repeated; None repeats nothing.
        limit: how many requests are in flight at once (1,000); more wait in a queue, first come, first served.
        tls: certificate authorities and client certificate.
        proxy: URL of an HTTP proxy; never used for loopback.
        http_version: 1 or 2 forces it. None: by ALPN over https, 1 over http.
        max_reply_bytes: largest answer accepted, in bytes (64 MiB); a larger one raises ProtocolError.
        allow_plaintext: allow http:// beyond loopback, which sends the token unencrypted.
        on_call: called after each call as `on_call(method, code, attempts, seconds)`, for metrics.
        clock: time and chance, for tests.

    Raises:
        ConfigurationError: a setting is missing or wrong.
"""


class GatewayOptions(TypedDict, total=False):
    """What `client.inference(gateway, ...)` takes; the names mean what they mean in `Inference`."""

    token: TokenSource | None
    endpoint: str | None
    timeout: float | None
    retry: Retry | None
    limit: int
    http_version: HttpVersion | None
    allow_plaintext: bool


class BaseInference(Generic[Mode]):
    """Completions of deployed models: what both kinds are made of."""

    _open_engine: ClassVar[type[Any]]
    """Makes the connections to one server."""

    def __init__(
        self,
        base_url: str,
        *,
        token: TokenSource | None = None,
        routing: Routing | None = None,
        timeout: float | None = TIMEOUT,
        retry: Retry | None = Retry(),  # noqa: B008 - frozen
        limit: int = LIMIT,
        tls: TLS | None = None,
        proxy: str | None = None,
        http_version: HttpVersion | None = None,
        max_reply_bytes: int = MAX_REPLY_BYTES,
        allow_plaintext: bool = False,
        on_call: OnCall | None = None,
        clock: Clock | None = None,
    ) -> None:
        token = hidden(token)
        route = route_to(base_url, routing, plaintext=allow_plaintext)
        settings = _settings(route, tls, proxy, http_version, max_reply_bytes)
        context = _context(token, timeout, retry, on_call, clock)
        self._owner = True
        self._use(Front(context, Limiter(limit), route), Connections(settings, self._open_engine), None)

    @classmethod
    def of(cls, driver: Mode, gateway: types.Gateway | str, **options: Unpack[GatewayOptions]) -> Self:
        """That of a client's gateway; `client.inference(gateway)` calls it."""
        found = object.__new__(cls)
        connections = driver.session.beside(lambda settings: Connections(settings, cls._open_engine))
        found._owner = "http_version" in options
        if found._owner:
            connections = Connections(_at_version(connections.settings, options), cls._open_engine)
        found._use(_gateway_front(gateway, driver.context, **options), connections, driver.session)
        return found

    def _driver_of(self, front: Front, connections: Connections[Any], management: Session[Any] | None) -> Mode:
        raise NotImplementedError

    def _use(self, front: Front, connections: Connections[Any], management: Session[Any] | None) -> None:
        driver = self._driver_of(front, connections, management)
        front.driver = driver
        self._front = front
        self._connections = connections
        self._driver: Mode = driver
        self.chat: Chat[Mode] = Chat(driver, front)
        self.completions: Completions[Mode] = Completions(driver, front)
        self.models: Models[Mode] = Models(driver, front)

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"{name}({self._front})" if hasattr(self, "_front") else f"<{name}, not made>"

    def base_url(self, model: str | None = None) -> str:
        """The URL for OpenAI-compatible clients, up to and with `/v1`; `model` matters where the path has it."""
        return self._front.route.base_url(model)

    def stats(self) -> Stats:
        """How many requests are in flight and queued, and what became of the others."""
        return self._front.stats()


def _settings(
    route: Route, tls: TLS | None, proxy: str | None, http_version: HttpVersion | None, max_reply_bytes: int
) -> Settings:
    return Settings(
        endpoint=route.endpoint,
        transport="rest",
        codec="json",
        http_version=_check_version(http_version),
        certificates=read_certificates(tls),
        proxy=check_proxy(proxy),
        max_reply_bytes=check_count(max_reply_bytes, "max_reply_bytes"),
    )


def _context(
    token: TokenSource | None, timeout: float | None, retry: Retry | None, on_call: OnCall | None, clock: Clock | None
) -> Context:
    return Context(
        timeout=check_timeout(timeout),
        retry=check_retry(retry),
        credentials=Anonymous() if token is None else Credentials(token),
        budget=Budget(),
        clock=clock or Clock(),
        on_call=on_call,
    )


def _gateway_front(
    gateway: types.Gateway | str,
    management: Context,
    *,
    token: TokenSource | None = None,
    endpoint: str | None = None,
    timeout: float | None = TIMEOUT,
    retry: Retry | None = UNSET,
    limit: int = LIMIT,
    http_version: HttpVersion | None = None,
    allow_plaintext: bool = False,
    **unknown: object,
) -> Front:
    if unknown:
        known = ", ".join(GatewayOptions.__annotations__)
        raise TypeError(f"client.inference: unexpected keyword argument {next(iter(unknown))!r}; it takes {known}")
    retry = management.retry if retry is UNSET else check_retry(retry)
    return GatewayServer(
        gateway,
        replace(management, timeout=check_timeout(timeout), retry=retry),
        management,
        Limiter(limit),
        token=token,
        endpoint=endpoint,
        plaintext=allow_plaintext,
    )


def _at_version(settings: Settings, options: GatewayOptions) -> Settings:
    return replace(settings, http_version=_check_version(options.get("http_version")))


def _check_version(http_version: HttpVersion | None) -> HttpVersion | None:
    if http_version not in (None, 1, 2):
        raise ConfigurationError(f"http_version: expected None, 1 or 2, got {http_version!r}")
    return http_version

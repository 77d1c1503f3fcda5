"""`Inference` and `AsyncInference`: completions of a gateway, or of any server with an OpenAI-compatible API."""

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast

from .. import types
from .._arguments import UNSET, check_count, check_http_version, check_timeout
from .._calls.attempts import Context, OnCall
from .._calls.clock import Clock
from .._calls.closing import AsyncClosing, Closing
from .._calls.drivers import AsyncDriver, SyncDriver
from .._calls.flow import Flow, Run
from .._calls.observation import observer_of
from .._calls.operation import Mode, Resource, group, operation
from .._calls.session import ClientSession
from .._calls.signatures import checks_keywords
from .._gevent import check_gevent
from .._secrets import forgets_locals
from ..auth import Anonymous, TokenCredentials, TokenSource
from ..config import (
    MAX_REPLY_BYTES,
    TLS,
    HttpVersion,
    Settings,
    read_certificates,
    read_proxies,
    with_usable_proxy,
)
from ..errors import ConfigurationError
from ..retry import Budget, Retry, check_retry
from ..transports.completions import AsyncCompletionTransport, SyncCompletionTransport
from ._connections import Connections
from ._gateway_server import GatewayCredentials, GatewayServer
from ._limiter import Limiter
from ._model_server import ModelServer
from ._openai import openai_client
from ._request import CompletionRequest
from ._resources import Chat, Completions, Models
from ._routing import Route, Routing, route_to
from ._session import AsyncInferenceSession, BaseInferenceSession, SyncInferenceSession
from ._stats import Counters, Stats
from .batch.batch import CONCURRENCY, Batch
from .batch.outcomes import BatchResult
from .batch.runner import run_on_loop, run_on_threads
from .batch.source import Requests

if TYPE_CHECKING:
    import openai

    from .._telemetry.telemetry import Telemetry

TIMEOUT = 600.0
"""Seconds that a completion may take by default."""
LIMIT = 1000
"""How many requests are in flight at most by default."""


class BaseInference(Resource[Mode]):
    """What both kinds have in common: settings, a model server, and what is requested of it."""

    chat: Chat[Mode] = group(Chat)
    """Chats: `chat.completions`."""
    completions: Completions[Mode] = group(Completions)
    """Completions of plain prompts."""
    models: Models[Mode] = group(Models)
    """The models that can be requested."""

    @checks_keywords("Inference")
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
        telemetry: "Telemetry | None" = None,
        clock: Clock | None = None,
    ) -> None:
        """Create one for a URL; `client.inference(gateway)` creates one for a gateway.

        Nothing connects before the first request.

        Close it, or use it in a `with` block (`async with` for `AsyncInference`), to release its connections.

        Args:
            base_url: URL of the server, such as the first of a gateway's endpoints; with or without `/v1` at its end.
            token: the token, or a source of it as in `Client`. None: no token is sent.
            routing: the gateway's `types.BodyBasedRouting`, `types.HeaderBasedRouting` or `types.PathBasedRouting`.
                None: only the body names the model.
            timeout: seconds for a whole call: queueing, token, all attempts and pauses, reading (600). None for no
                limit.
            retry: how failures before the response are retried; None turns retries off.
            limit: how many requests are in flight at most (1,000); further ones wait in a queue, in order.
            tls: certificate authorities and client certificate, as a `TLS`. None: the usual authorities.
            proxy: URL of a proxy (http://, https:// or socks5://), which wins over the environment's, NO_PROXY
                included; never used for loopback. None: what HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY say now.
            http_version: 1 or 2 forces it. None: by ALPN over https, 1 over http.
            max_reply_bytes: size of the largest response accepted, in bytes (64 MiB); a larger one raises
                ProtocolError.
            allow_plaintext: allow http:// beyond loopback, which sends the token unencrypted.
            on_call: called after each call as `on_call(method, code, attempts, seconds)`, for metrics.
            telemetry: what reports calls to OpenTelemetry, as a `Telemetry`. None: nothing does, unless the program was
                started by `opentelemetry-instrument`.
            clock: time and randomness, for tests.

        Raises:
            ConfigurationError: a setting is missing or wrong.
        """
        check_gevent()
        route = route_to(base_url, routing, allow_plaintext=allow_plaintext)
        connections = self._new_connections(_settings(route, tls, proxy, http_version, max_reply_bytes))
        limiter, counters = Limiter(limit), Counters()
        session = self._new_session(connections, limiter, counters)
        context = Context(
            timeout=check_timeout(timeout),
            retry=check_retry(retry),
            credentials=Anonymous() if token is None else TokenCredentials(token),
            budget=Budget(),
            clock=clock or Clock(),
            on_call=on_call,
            session=session,
            observer=observer_of(telemetry),
        )
        self._start(ModelServer(context, limiter, counters, route), session, connections, owns_connections=True)

    @classmethod
    def _of_gateway(
        cls,
        session: ClientSession[Any],
        management: Context,
        gateway: types.Gateway | str,
        *,
        token: TokenSource | None,
        endpoint: str | None,
        timeout: float | None,
        retry: Retry | None,
        limit: int,
        http_version: HttpVersion | None,
        allow_plaintext: bool,
    ) -> Self:
        """Return that of a client's gateway; `client.inference(gateway)` calls it, and documents the arguments."""
        inference = object.__new__(cls)
        connections: Connections[Any] = session.attachment(cls._new_connections)
        owns_connections = http_version is not UNSET
        if owns_connections:
            version = check_http_version(http_version)
            connections = cls._new_connections(replace(connections.settings, http_version=version))
        credentials = GatewayCredentials(management.credentials, token)
        limiter, counters = Limiter(limit), Counters()
        own_session = cls._new_session(connections, limiter, counters)
        context = replace(
            management,
            timeout=check_timeout(timeout),
            retry=management.retry if retry is UNSET else check_retry(retry),
            credentials=credentials,
            session=own_session,
        )
        server = GatewayServer(
            gateway,
            context,
            management,
            credentials,
            limiter,
            counters,
            endpoint=endpoint,
            allow_plaintext=allow_plaintext,
            hosts=session.settings.gateway_hosts,
        )
        inference._start(server, own_session, connections, owns_connections=owns_connections)
        return inference

    def base_url(self, model: str | None = None) -> str:
        """Return the URL for OpenAI-compatible clients, up to and including `/v1`.

        Args:
            model: the model, which is part of the URL on a gateway that routes by path.

        Raises:
            ConfigurationError: the gateway was given by its id and has not been read yet; or `model` is missing.
        """
        return self._server.route.base_url(model)

    def stats(self) -> Stats:
        """Return how many requests are in flight and queued, and the outcomes of the others."""
        return self._server.stats()

    @operation
    def batch(
        self,
        requests: Requests,
        *,
        out: str | os.PathLike[str],
        concurrency: int = CONCURRENCY,
        ordered: bool = False,
        progress: bool | None = None,
        keep_going: bool = False,
    ) -> Flow[BatchResult]:
        """Request many completions and write each once into a JSONL file, continuing where an earlier run stopped.

        Args:
            requests: a JSONL file or named pipe, or an iterable, which is read on a thread of its own, few requests
                ahead: bodies, or OpenAI's batch form with `custom_id`, `url` and `body`. The key of a request is its
                `custom_id`, else the number of its line; then a digest of the request is written too.
            out: the file of completions, to which this run appends. Failures go to `OUT.errors.jsonl`, and are retried
                by the next run. Either may exist only if a batch wrote it; anything else is refused and left as it is.
            concurrency: how many requests are in flight at most (64), within the `limit` of this `Inference`.
            ordered: write the completions of this run in the order of the requests.
            progress: show a progress bar (needs the extra `batch`). None: if standard error is a terminal.
            keep_going: continue however many requests fail. Otherwise the run ends, and its result has `gave_up`, when
                100 of them, or twice as many as are in flight, have failed without a success in between.

        Returns:
            The counts of this run. `failed` is 0 if everything is completed.

        Raises:
            ConfigurationError: a file cannot be used; OUT has the completion of another request under the number of a
                line; or the gateway rules out every request.
            OSError: OUT could not be written; its `filename` and `strerror` say why.
            Unauthenticated: the token was refused, also for a single request; what was completed is in the file.
            ApiError: the gateway could not be read.
        """
        batch = Batch(
            requests,
            out,
            concurrency=concurrency,
            limit=self._server.limiter.limit,
            ordered=ordered,
            progress=progress,
            keep_going=keep_going,
            is_unroutable=partial(_is_unroutable, self._server),
        )
        send: Any = self._driver.bind(self._server.complete_as_bytes)
        result: BatchResult = yield Run(lambda: run_on_threads(batch, send), lambda: run_on_loop(batch, send))
        return result

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"{name}({self._server})" if hasattr(self, "_server") else f"<{name}, not made>"

    def __getstate__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} cannot be pickled or copied, since it has connections; "
            "make one in each worker process"
        )

    def _start(
        self,
        server: ModelServer,
        session: BaseInferenceSession[Any],
        connections: Connections[Any],
        *,
        owns_connections: bool,
    ) -> None:
        self._owns_connections = owns_connections
        self._session = session
        self._connections = connections
        self._server = server
        self._driver: Mode = self._new_driver(server.context)

    def _openai_client(self, model: str | None, options: dict[str, Any], *, is_async: bool) -> Any:
        return openai_client(self._server, self._connections.settings, model, options, is_async=is_async)

    @classmethod
    def _new_connections(cls, settings: Settings) -> Connections[Any]:
        raise NotImplementedError

    @classmethod
    def _new_session(
        cls, connections: Connections[Any], limiter: Limiter, counters: Counters
    ) -> BaseInferenceSession[Any]:
        raise NotImplementedError

    def _new_driver(self, context: Context) -> Mode:
        raise NotImplementedError


class Inference(Closing, BaseInference[SyncDriver]):
    """Synchronous client for completions of deployed models; safe to share between threads.

    `inference.chat.completions` and `inference.completions` have `create` and `stream`, `inference.models` has `list`,
    and `inference.batch` requests many at once. `client.inference(gateway)` makes one with everything set.
    """

    @forgets_locals
    def openai(self, model: str | None = None, **options: Any) -> "openai.OpenAI":
        """Return the openai package's client for this server, with its URL, token, headers, proxy and authorities.

        It needs the extra `openai`.

        Args:
            model: the model, which is needed on a gateway that routes by path or by header.
            options: arguments of `openai.OpenAI`, which replace ours.

        Raises:
            ConfigurationError: the package is missing, or cannot use the proxy or the authorities; the gateway has not
                been read yet; or `model` is missing.
        """
        return cast("openai.OpenAI", self._openai_client(model, options, is_async=False))

    def close(self) -> None:
        """Make no more requests, and release its connections; those of a client are closed with the client."""
        self._session.is_closed = self._server.is_closed = True
        if self._owns_connections:
            for transport in self._connections.take_all():
                transport.close()

    @classmethod
    def _new_connections(cls, settings: Settings) -> Connections[Any]:
        return Connections(settings, SyncCompletionTransport)

    @classmethod
    def _new_session(cls, connections: Connections[Any], limiter: Limiter, counters: Counters) -> SyncInferenceSession:
        return SyncInferenceSession(connections, limiter, counters)

    def _new_driver(self, context: Context) -> SyncDriver:
        if context.credentials.may_be_async:
            raise ConfigurationError("token: an async callable needs AsyncInference")
        return SyncDriver(context)


class AsyncInference(AsyncClosing, BaseInference[AsyncDriver]):
    """Asyncio client for completions of deployed models; may be shared between event loops.

    `inference.chat.completions` and `inference.completions` have `create` and `stream`, `inference.models` has `list`,
    and `inference.batch` requests many at once. `client.inference(gateway)` makes one with everything set.
    """

    @forgets_locals
    def openai(self, model: str | None = None, **options: Any) -> "openai.AsyncOpenAI":
        """Return the openai package's client for this server, with its URL, token, headers, proxy and authorities.

        It needs the extra `openai`.

        Args:
            model: the model, which is needed on a gateway that routes by path or by header.
            options: arguments of `openai.AsyncOpenAI`, which replace ours.

        Raises:
            ConfigurationError: the package is missing, or cannot use the proxy or the authorities; the gateway has not
                been read yet; or `model` is missing.
        """
        return cast("openai.AsyncOpenAI", self._openai_client(model, options, is_async=True))

    async def close(self) -> None:
        """Make no more requests, and release its connections; those of a client are closed with the client."""
        self._session.is_closed = self._server.is_closed = True
        if self._owns_connections:
            for transport in self._connections.take_all():
                await transport.close()

    @classmethod
    def _new_connections(cls, settings: Settings) -> Connections[Any]:
        return Connections(settings, AsyncCompletionTransport)

    @classmethod
    def _new_session(cls, connections: Connections[Any], limiter: Limiter, counters: Counters) -> AsyncInferenceSession:
        return AsyncInferenceSession(connections, limiter, counters)

    def _new_driver(self, context: Context) -> AsyncDriver:
        return AsyncDriver(context)


def _is_unroutable(server: ModelServer, request: CompletionRequest) -> bool:
    """Return whether a known model server cannot be sent this request, because of the name of its model."""
    try:
        route = server.route
    except ConfigurationError:
        return False
    try:
        route.base_url(request.model)
        route.headers(request.model)
    except ConfigurationError:
        return True
    return False


def _settings(
    route: Route, tls: TLS | None, proxy: str | None, http_version: HttpVersion | None, max_reply_bytes: int
) -> Settings:
    settings = Settings(
        endpoint=route.endpoint,
        transport="rest",
        codec="json",
        http_version=check_http_version(http_version),
        certificates=read_certificates(tls),
        proxies=read_proxies(proxy),
        max_reply_bytes=check_count(max_reply_bytes, "max_reply_bytes"),
    )
    return with_usable_proxy(settings)

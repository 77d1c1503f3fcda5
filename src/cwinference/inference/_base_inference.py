"""What `Inference` and `AsyncInference` have in common: settings, a model server, and what is requested of it."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Self, cast

from .. import types
from .._arguments import UNSET, check_http_version, check_timeout
from .._calls.attempts import Context, OnCall
from .._calls.clock import Clock
from .._calls.flow import Flow, RunFunction
from .._calls.observation import observer_of
from .._calls.operation import Mode, Resource, group, operation
from .._calls.session import ClientSession
from .._calls.signatures import checks_keywords
from .._gevent import check_gevent
from ..auth import Anonymous, TokenCredentials, TokenSource
from ..config import MAX_REPLY_BYTES, TLS, HttpVersion, Settings
from ..errors import ConfigurationError
from ..retry import Budget, Retry, check_retry
from ._auto_limiter import AutoLimiter, Limit, check_limit, limiter_of
from ._connections import Connections, settings_for
from ._gateway_server import GatewayCredentials, GatewayServer
from ._health import Health
from ._limiter import Limiter
from ._model_server import ModelServer
from ._openai import openai_client
from ._racing import Racing
from ._request import check_hedge_after
from ._resources import Chat, Completions, Models
from ._routing import Route, Routing, route_to
from ._session import BaseInferenceSession
from ._several import Several, check_several, checked_gateways
from ._stats import Counters, Stats
from ._weights import Poller, WeightsSource
from .batch.batch import CONCURRENCY, Batch
from .batch.outcomes import BatchResult
from .batch.progress import BatchProgress
from .batch.runner import run_on_loop, run_on_threads
from .batch.source import Requests
from .batch.terms import check_terms

if TYPE_CHECKING:
    from .._telemetry.telemetry import Telemetry

TIMEOUT = 600.0
"""Seconds that a completion may take by default."""
LIMIT = 1000
"""How many requests are in flight at most by default."""


class Shared(NamedTuple):
    """What all servers of an `Inference` share."""

    connections: Connections[Any]
    limiter: Limiter
    counters: Counters


class BaseInference(Resource[Mode]):
    """The base of both kinds."""

    chat: Chat[Mode] = group(lambda: Chat)
    """Chats: `chat.completions`."""
    completions: Completions[Mode] = group(lambda: Completions)
    """Completions of plain prompts."""
    models: Models[Mode] = group(lambda: Models)
    """The models that can be requested."""

    @checks_keywords("Inference")
    def __init__(
        self,
        base_url: str | Sequence[str],
        *,
        token: TokenSource | None = None,
        routing: Routing | None = None,
        timeout: float | None = TIMEOUT,
        retry: Retry | None = Retry(),  # noqa: B008 - frozen
        limit: Limit = LIMIT,
        hedge_after: float | None = None,
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
                Or several of servers with the same models, all of which get the token: each request goes to the less
                loaded of two picked at random, and is retried at another one. One that fails five times in a row gets
                nothing for 10 s, later up to 60 s, and then a single request as a probe. If all have failed like that,
                the one whose pause ends first gets the requests.
            token: the token, or a source of it as in `Client`. None: no token is sent.
            routing: the gateway's `types.BodyBasedRouting`, `types.HeaderBasedRouting` or `types.PathBasedRouting`.
                None: only the body names the model.
            timeout: seconds for a whole call: queueing, token, all attempts and pauses, reading (600). None for no
                limit.
            retry: how failures before the response are retried; None turns retries off.
            limit: how many requests are in flight at most (1,000); further ones wait in a queue, in order. "auto": as
                many as the server is found to take: one more per round while its latency holds, half as many when it
                says 429 or 503 or takes twice as long. The pause that it asks for is kept by all.
            hedge_after: with several servers, seconds after which a request without a response is sent to a second one
                too; the first to respond wins, and the other is canceled. At most 5 % of the requests are. None: never.
                It has no effect with `retry=None`. A sync request is made on a thread then.
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
        urls: list[str] = list(base_url) if isinstance(base_url, list | tuple) else [cast(str, base_url)]
        check_several(urls, "base_url")
        routes = [route_to(url, routing, allow_plaintext=allow_plaintext) for url in urls]
        check_several([route.url for route in routes], "base_url")
        connections = self._new_connections(settings_for(routes[0].endpoint, tls, proxy, http_version, max_reply_bytes))
        clock = clock or Clock()
        shared = Shared(connections, limiter_of(limit, clock), Counters())
        credentials = Anonymous() if token is None else TokenCredentials(token)
        budget = Budget()

        def new_server(route: Route) -> ModelServer:
            health = Health(clock.monotonic)
            context = Context(
                timeout=check_timeout(timeout),
                retry=check_retry(retry),
                credentials=credentials,
                budget=budget,
                clock=clock,
                on_call=on_call,
                session=self._new_session(shared, health),
                observer=observer_of(telemetry),
            )
            return ModelServer(context, shared.limiter, shared.counters, health, route)

        self._start([new_server(route) for route in routes], shared, hedge_after, owns_connections=True)

    @classmethod
    def _of_gateway(
        cls,
        session: ClientSession[Any],
        management: Context,
        gateway: types.Gateway | str | Sequence[types.Gateway | str],
        *,
        token: TokenSource | None,
        endpoint: str | None,
        timeout: float | None,
        retry: Retry | None,
        limit: Limit,
        hedge_after: float | None,
        weights: bool,
        http_version: HttpVersion | None,
        allow_plaintext: bool,
    ) -> Self:
        """Return that of a client's gateway; `client.inference(gateway)` calls it, and documents the arguments."""
        if type(weights) is not bool:
            raise ConfigurationError(f"weights: expected True or False, got {type(weights).__name__}")
        inference = object.__new__(cls)
        connections: Connections[Any] = session.attachment(cls._new_connections)
        owns_connections = http_version is not UNSET
        if owns_connections:
            version = check_http_version(http_version)
            connections = cls._new_connections(connections.settings._replace(http_version=version))
        shared = Shared(connections, limiter_of(limit, management.clock), Counters())
        gateways: Sequence[types.Gateway | str] = checked_gateways(gateway, endpoint)

        context = management.replace(
            timeout=check_timeout(timeout),
            retry=management.retry if retry is UNSET else check_retry(retry),
        )

        def new_server(gateway: types.Gateway | str) -> ModelServer:
            credentials, health = GatewayCredentials(management.credentials, token), Health(management.clock.monotonic)
            server = GatewayServer(
                gateway,
                context.replace(credentials=credentials, session=cls._new_session(shared, health)),
                management,
                credentials,
                shared.limiter,
                shared.counters,
                health,
                endpoint=endpoint,
                allow_plaintext=allow_plaintext,
                hosts=session.settings.gateway_hosts,
            )
            if weights:
                server.weights = WeightsSource(server.id, management, cls._start_polling)
            return server

        inference._start([*map(new_server, gateways)], shared, hedge_after, owns_connections=owns_connections)
        return inference

    def base_url(self, model: str | None = None, *, endpoint: str | None = None) -> str:
        """Return the URL for OpenAI-compatible clients, up to and including `/v1`.

        Args:
            model: the model, which is part of the URL on a gateway that routes by path.
            endpoint: which one of several servers, by its URL as in `stats().endpoints`.

        Raises:
            ConfigurationError: the gateway was given by its id and has not been read yet; or `model` is missing, or
                `endpoint` although there are several.
        """
        return self._server.chosen(endpoint).route.base_url(model)

    def stats(self) -> Stats:
        """Return how many requests are in flight and queued, the outcomes of the others, and how each endpoint does."""
        return self._server.stats()

    @operation
    def batch(
        self,
        requests: Requests,
        *,
        out: str | os.PathLike[str],
        concurrency: Limit = CONCURRENCY,
        ordered: bool = False,
        progress: bool | Callable[[BatchProgress], object] | None = None,
        keep_going: bool = False,
        force: bool = False,
        retry_failed: bool = False,
        shard: tuple[int, int] | None = None,
    ) -> Flow[BatchResult]:
        """Request many completions and write each once into a JSONL file, continuing where an earlier run stopped.

        Args:
            requests: a JSONL file or named pipe ("-" is standard input), or an iterable, which is read on a thread of
                its own, a few requests ahead. A request is a body, or has OpenAI's batch format with `custom_id`, `url`
                and `body`. Its key is its `custom_id`, or else its line number. A digest of the request is written with
                each completion.
            out: the file of completions, to which this run appends. Failures are written to `OUT.errors.jsonl`, and
                are retried by the next run. `OUT.manifest.json` records which requests were read and where they were
                sent. If one of these files contains anything else, it is refused and left as it is.
            concurrency: how many requests are in flight at most (64), within the `limit` of this `Inference`. "auto":
                as many as the server turns out to take, as with `limit="auto"`.
            ordered: write the completions of this run in the order of the requests.
            progress: whether to show the progress, as a bar with the extra `batch`, else as lines. None: only if
                standard error is a terminal. Or a function, which gets a `BatchProgress` about twice a second and at
                the end; it is called on a thread.
            keep_going: continue however many requests fail. Otherwise the run ends, and its result has `gave_up`, when
                100 requests, or twice as many as are in flight, have failed without a success in between.
            force: continue although the requests, the servers or the shard differ from those of the completions in OUT.
                A request that has changed is sent again, and its new completion replaces the earlier one.
            retry_failed: send only the requests that are in `OUT.errors.jsonl`.
            shard: (k, n) sends only the k-th of n parts, from (1, n) to (n, n): every n-th line. Each part needs an
                `out` of its own; `merge_batches` joins them.

        Returns:
            The counts and the tokens of this run, and the tokens of all completions in OUT. `failed` is 0 if everything
            is completed.

        Raises:
            ConfigurationError: a file cannot be used; OUT has completions of other requests, of another server or of
                another shard; or the gateway rules out every request.
            OSError: OUT could not be written; its `filename` and `strerror` say why.
            Unauthenticated: the token was refused, even if only once; what was completed is in the file.
            ApiError: the gateway could not be read.
        """
        server, driver = self._server, self._driver
        terms = check_terms(server.names, shard, force=force, retry_failed=retry_failed)
        if check_limit(concurrency, "concurrency") == "auto" and not server.limiter.is_auto:
            server = server.within(AutoLimiter(server.context.clock, server.limiter))
            driver = self._new_driver(server.context)
        batch = Batch(
            requests,
            out,
            concurrency=concurrency,
            limiter=server.limiter,
            ordered=ordered,
            progress=progress,
            keep_going=keep_going,
            terms=terms,
            can_route=server.can_route,
        )
        work: Any = batch, driver, server.complete_as_bytes
        result: BatchResult = yield RunFunction(lambda: run_on_threads(*work), lambda: run_on_loop(*work))
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
        self, servers: list[ModelServer], shared: "Shared", hedge_after: float | None, *, owns_connections: bool
    ) -> None:
        after = check_hedge_after(hedge_after)
        context, limiter, counters = servers[0].context, shared.limiter, shared.counters
        self._owns_connections = owns_connections
        self._connections = shared.connections
        self._racing: Racing | None = None
        self._server = servers[0]
        if len(servers) > 1:
            self._racing = self._new_racing(shared)
            self._server = Several(servers, context, limiter, counters, self._racing, after)
        self._driver: Mode = self._new_driver(context)

    def _openai_client(
        self, model: str | None, endpoint: str | None, options: dict[str, Any], *, is_async: bool
    ) -> Any:
        server = self._server.chosen(endpoint)
        return openai_client(server, self._connections.settings, model, options, is_async=is_async)

    @classmethod
    def _new_connections(cls, settings: Settings) -> Connections[Any]:
        raise NotImplementedError

    @classmethod
    def _new_session(cls, shared: "Shared", health: Health) -> BaseInferenceSession[Any]:
        raise NotImplementedError

    def _new_racing(self, shared: "Shared") -> Racing:
        raise NotImplementedError

    @staticmethod
    def _start_polling(source: WeightsSource) -> Poller:
        raise NotImplementedError

    def _new_driver(self, context: Context) -> Mode:
        raise NotImplementedError

"""`Inference` and `AsyncInference`: completions of a gateway, or of any server of the same kind."""

import os
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack, cast

from .. import types
from .._call import UNSET
from .._drivers import Awaiting, Blocking
from .._flow import Clock
from .._retry import Budget, Context, OnCall, Retry, check_retry
from .._session import Session
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
from ..transports.completions import AwaitingCompletions, BlockingCompletions
from ._batch import CONCURRENCY, Batch, BatchResult, Requests, run_on_loop, run_on_threads
from ._front import Front
from ._gate import Gate, Stats
from ._gateway import GatewayFront
from ._hand_over import openai_client
from ._parts import Chat, Completions, Models
from ._route import Route, Routing, route_to
from ._session import AwaitingSession, BlockingSession, Connections

if TYPE_CHECKING:
    import openai

TIMEOUT = 600.0
"""Seconds that a completion may take, unless the caller says otherwise."""
LIMIT = 1000
"""How many requests are in flight at once, unless the caller says otherwise."""

_SETTINGS = """
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


class Inference:
    """Completions of deployed models, blocking; may be used by many threads at once."""

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
        if context.credentials.may_be_async:
            raise ConfigurationError("token: an async callable needs AsyncInference")
        self._use(Front(context, Gate(limit), route), Connections(settings, BlockingCompletions), None)
        self._owner = True

    @classmethod
    def of(cls, driver: Blocking, gateway: types.Gateway | str, **options: Unpack[GatewayOptions]) -> Self:
        """That of a client's gateway; `client.inference(gateway)` calls it."""
        found = object.__new__(cls)
        shared = driver.session.beside(lambda settings: Connections(settings, BlockingCompletions))
        found._owner = "http_version" in options
        connections = (
            Connections(_at_version(shared.settings, options), BlockingCompletions) if found._owner else shared
        )
        found._use(_gateway_front(gateway, driver.context, **options), connections, driver.session)
        return found

    def _use(
        self, front: Front, connections: Connections[BlockingCompletions], management: Session[Any] | None
    ) -> None:
        session = BlockingSession(connections, front.gate, front.tally, management)
        driver = front.driver = Blocking(cast(Any, session), front.context)
        self._front = front
        self._connections = connections
        self._driver = driver
        self.chat: Chat[Blocking] = Chat(driver, front)
        self.completions: Completions[Blocking] = Completions(driver, front)
        self.models: Models[Blocking] = Models(driver, front)

    def __repr__(self) -> str:
        return f"Inference({self._front})"

    def base_url(self, model: str | None = None) -> str:
        """The URL for OpenAI-compatible clients, up to and with `/v1`; `model` matters where the path has it."""
        return self._front.route.base_url(model)

    def openai(self, model: str | None = None, **options: Any) -> "openai.OpenAI":
        """The openai package's client for this gateway, with its URL, token and headers; needs the extra `openai`.

        `model` is needed where the path or a header names it. `options` go to `openai.OpenAI` and win over ours.
        """
        return cast("openai.OpenAI", openai_client(self._front, model, options, awaits=False))

    def batch(
        self,
        requests: Requests,
        *,
        out: str | os.PathLike[str],
        concurrency: int = CONCURRENCY,
        ordered: bool = False,
        progress: bool | None = None,
        keep_going: bool = False,
    ) -> BatchResult:
        """Ask for many completions and write each answer once into a JSONL file, going on where an earlier run stopped.

        Args:
            requests: a JSONL file, or an iterable: bodies, or OpenAI's batch form with `custom_id`, `url` and `body`.
                `custom_id`, otherwise the number of the line, is the key by which an answer is known.
            out: the file of answers, which is appended to. Failures go to `OUT.errors.jsonl`; the next run tries them
                again.
            concurrency: how many requests are in flight (64), at most the `limit` of this `Inference`.
            ordered: write the answers of this run in the order of the requests.
            progress: show a progress bar (needs the extra `batch`); None: on a terminal.
            keep_going: go on however many requests fail. Otherwise the run ends, and its result says `gave_up`, when
                100 of them, or twice `concurrency` if that is more, have failed with no answer in between.

        Returns:
            The counts of this run. `failed` is 0 when everything is answered.

        Raises:
            ConfigurationError: a file cannot be used, or the gateway's answer rules every request out.
            Unauthenticated, PermissionDenied: every request would meet it; what was answered before is in the file.
            ApiError: the gateway could not be read.
        """
        limit = self._front.gate.limit
        batch = Batch(
            requests,
            out,
            concurrency=concurrency,
            limit=limit,
            ordered=ordered,
            progress=progress,
            keep_going=keep_going,
        )
        return run_on_threads(batch, self._driver.bind(self._front.verbatim))

    def stats(self) -> Stats:
        """How many requests are in flight and queued, and what became of the others."""
        return self._front.stats()

    def close(self) -> None:
        """Release its connections; those of a client's are the client's to close. Requests in flight end."""
        if self._owner:
            for engine in self._connections.take_all():
                engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncInference:
    """Completions of deployed models, for asyncio; may be used from several event loops."""

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
        self._use(Front(context, Gate(limit), route), Connections(settings, AwaitingCompletions), None)
        self._owner = True

    @classmethod
    def of(cls, driver: Awaiting, gateway: types.Gateway | str, **options: Unpack[GatewayOptions]) -> Self:
        """That of a client's gateway; `client.inference(gateway)` calls it."""
        found = object.__new__(cls)
        shared = driver.session.beside(lambda settings: Connections(settings, AwaitingCompletions))
        found._owner = "http_version" in options
        connections = (
            Connections(_at_version(shared.settings, options), AwaitingCompletions) if found._owner else shared
        )
        found._use(_gateway_front(gateway, driver.context, **options), connections, driver.session)
        return found

    def _use(
        self, front: Front, connections: Connections[AwaitingCompletions], management: Session[Any] | None
    ) -> None:
        session = AwaitingSession(connections, front.gate, front.tally, management)
        driver = front.driver = Awaiting(cast(Any, session), front.context)
        self._front = front
        self._connections = connections
        self._driver = driver
        self.chat: Chat[Awaiting] = Chat(driver, front)
        self.completions: Completions[Awaiting] = Completions(driver, front)
        self.models: Models[Awaiting] = Models(driver, front)

    def __repr__(self) -> str:
        return f"AsyncInference({self._front})"

    def base_url(self, model: str | None = None) -> str:
        """The URL for OpenAI-compatible clients, up to and with `/v1`; `model` matters where the path has it."""
        return self._front.route.base_url(model)

    def openai(self, model: str | None = None, **options: Any) -> "openai.AsyncOpenAI":
        """The openai package's client for this gateway, with its URL, token and headers; needs the extra `openai`.

        `model` is needed where the path or a header names it. `options` go to `openai.AsyncOpenAI` and win over ours.
        """
        return cast("openai.AsyncOpenAI", openai_client(self._front, model, options, awaits=True))

    async def batch(
        self,
        requests: Requests,
        *,
        out: str | os.PathLike[str],
        concurrency: int = CONCURRENCY,
        ordered: bool = False,
        progress: bool | None = None,
        keep_going: bool = False,
    ) -> BatchResult:
        """Ask for many completions and write each answer once into a JSONL file, going on where an earlier run stopped.

        Args:
            requests: a JSONL file, or an iterable: bodies, or OpenAI's batch form with `custom_id`, `url` and `body`.
                `custom_id`, otherwise the number of the line, is the key by which an answer is known.
            out: the file of answers, which is appended to. Failures go to `OUT.errors.jsonl`; the next run tries them
                again.
            concurrency: how many requests are in flight (64), at most the `limit` of this `Inference`.
            ordered: write the answers of this run in the order of the requests.
            progress: show a progress bar (needs the extra `batch`); None: on a terminal.
            keep_going: go on however many requests fail. Otherwise the run ends, and its result says `gave_up`, when
                100 of them, or twice `concurrency` if that is more, have failed with no answer in between.

        Returns:
            The counts of this run. `failed` is 0 when everything is answered.

        Raises:
            ConfigurationError: a file cannot be used, or the gateway's answer rules every request out.
            Unauthenticated, PermissionDenied: every request would meet it; what was answered before is in the file.
            ApiError: the gateway could not be read.
        """
        limit = self._front.gate.limit
        batch = Batch(
            requests,
            out,
            concurrency=concurrency,
            limit=limit,
            ordered=ordered,
            progress=progress,
            keep_going=keep_going,
        )
        return await run_on_loop(batch, self._driver.bind(self._front.verbatim))

    def stats(self) -> Stats:
        """How many requests are in flight and queued, and what became of the others."""
        return self._front.stats()

    async def close(self) -> None:
        """Release its connections; those of a client's are the client's to close. Requests in flight end."""
        if self._owner:
            for engine in self._connections.take_all():
                await engine.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


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
) -> Front:
    retry = management.retry if retry is UNSET else check_retry(retry)
    return GatewayFront(
        gateway,
        replace(management, timeout=check_timeout(timeout), retry=retry),
        management,
        Gate(limit),
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


for _kind in (Inference, AsyncInference):
    _kind.__doc__ = f"{_kind.__doc__}\n{_SETTINGS}"

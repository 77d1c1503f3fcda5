"""`Client` and `AsyncClient`: settings in, resources out."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar

from . import types
from ._across_resources import AcrossResources
from ._arguments import UNSET, check_timeout
from ._calls.attempts import Context, OnCall
from ._calls.clock import Clock
from ._calls.closing import AsyncClosing, Closing
from ._calls.drivers import AsyncDriver, SyncDriver
from ._calls.observation import observer_of
from ._calls.operation import Mode
from ._calls.session import ClientSession
from ._calls.signatures import checks_keywords
from ._gevent import check_gevent
from .auth import TokenCredentials, TokenSource
from .config import (
    MAX_REPLY_BYTES,
    TLS,
    Codec,
    HttpVersion,
    Settings,
    TransportName,
    origin_of_token,
    resolve,
    resolve_token,
)
from .errors import ConfigurationError
from .retry import Budget, Retry, check_retry
from .transports.factory import open_async, open_sync

if TYPE_CHECKING:
    from ._telemetry.telemetry import Telemetry
    from .inference import AsyncInference, Inference, Limit

InferenceT = TypeVar("InferenceT", "Inference", "AsyncInference")


class BaseClient(AcrossResources[Mode], Generic[Mode, InferenceT]):
    """What both clients have in common: settings, and the resources that share them."""

    @checks_keywords("Client")
    def __init__(
        self,
        token: TokenSource | None = None,
        *,
        endpoint: str | None = None,
        transport: TransportName = "grpc",
        codec: Codec = "proto",
        http_version: HttpVersion | None = None,
        timeout: float | None = 30.0,
        retry: Retry | None = Retry(),  # noqa: B008 - frozen
        tls: TLS | None = None,
        proxy: str | None = None,
        max_reply_bytes: int = MAX_REPLY_BYTES,
        allow_plaintext: bool = False,
        gateway_hosts: Iterable[str] | None = None,
        on_call: OnCall | None = None,
        telemetry: "Telemetry | None" = None,
        clock: Clock | None = None,
    ) -> None:
        """Create a client. Nothing connects before the first call.

        Close it, or use it in a `with` block (`async with` for `AsyncClient`), to release its connections.

        Args:
            token: the token; a callable that returns it, called again when the server says UNAUTHENTICATED (for
                `AsyncClient` it may be async); or `auth.from_file(path)`, `auth.from_command([...])`. None:
                COREWEAVE_API_TOKEN, else CW_API_TOKEN.
            endpoint: URL of the API. None: COREWEAVE_API_ENDPOINT, else CW_BASE_URL, else https://api.coreweave.com.
            transport: "grpc", "connect" or "rest".
            codec: "proto" or "json", for Connect.
            http_version: 1 or 2 forces it. None: by ALPN over https; over http, 2 for Connect and 1 for REST.
            timeout: seconds for a whole call: queueing, token, all attempts and pauses (30). None for no limit.
            retry: how failures are retried, as a `Retry`; None turns retries off.
            tls: certificate authorities and client certificate, as a `TLS`. None: the usual authorities.
            proxy: URL of a proxy, which wins over the environment's, NO_PROXY included; never used for loopback. gRPC
                can use http:// only, the others https:// and socks5:// too. None: what HTTPS_PROXY, HTTP_PROXY,
                ALL_PROXY and NO_PROXY say now.
            max_reply_bytes: size of the largest response accepted, in bytes (64 MiB); a larger one raises
                ProtocolError.
            allow_plaintext: allow http:// beyond loopback, which sends the token unencrypted.
            gateway_hosts: the hosts to which a gateway's own response may direct completions, and so the token, such as
                `["*.example.com"]` for all names below example.com; others raise ConfigurationError. None: all hosts,
                but no loopback or private addresses unless the API's own endpoint is one.
            on_call: called after each call as `on_call(method, code, attempts, seconds)`, for metrics; code is "ok",
                an error's code, "protocol_error", "canceled", or "error" for anything else (a token source failed).
            telemetry: what reports calls to OpenTelemetry, as a `Telemetry`, for `client.inference(...)` too. None:
                nothing does, unless the program was started by `opentelemetry-instrument`.
            clock: time and randomness, for tests.

        Raises:
            ConfigurationError: a setting is missing or wrong.
        """
        check_gevent()
        settings = resolve(
            endpoint=endpoint,
            transport=transport,
            codec=codec,
            http_version=http_version,
            tls=tls,
            proxy=proxy,
            max_reply_bytes=max_reply_bytes,
            allow_plaintext=allow_plaintext,
            gateway_hosts=gateway_hosts,
        )
        self._owns_session = True
        self._session = self._new_session(settings)
        self._driver: Mode = self._new_driver(
            Context(
                timeout=check_timeout(timeout),
                retry=check_retry(retry),
                credentials=TokenCredentials(resolve_token(token), origin_of_token(token)),
                budget=Budget(),
                clock=clock or Clock(),
                on_call=on_call,
                session=self._session,
                observer=observer_of(telemetry),
            )
        )

    @checks_keywords("client.with_options")
    def with_options(self, *, timeout: float | None = UNSET, retry: Retry | None = UNSET) -> Self:
        """Return a copy with another default timeout or retry, on the same connections. Closing it does nothing.

        Args:
            timeout: seconds for a whole call; None for no limit. By default this client's.
            retry: how failures are retried; None for not at all. By default this client's.

        Raises:
            ConfigurationError: an option is wrong.
        """
        context = self._driver.context
        copy = object.__new__(type(self))
        copy._owns_session = False
        copy._session = self._session
        copy._driver = copy._new_driver(
            context.replace(
                timeout=context.timeout if timeout is UNSET else check_timeout(timeout),
                retry=context.retry if retry is UNSET else check_retry(retry),
            )
        )
        return copy

    @checks_keywords("client.inference")
    def inference(
        self,
        gateway: types.Gateway | str | Sequence[types.Gateway | str],
        *,
        token: TokenSource | None = None,
        endpoint: str | None = None,
        timeout: float | None = 600.0,
        retry: Retry | None = UNSET,
        limit: "Limit" = 1000,
        hedge_after: float | None = None,
        weights: bool = False,
        http_version: HttpVersion | None = UNSET,
        allow_plaintext: bool = False,
    ) -> InferenceT:
        """Return an `Inference` (`AsyncInference` for `AsyncClient`), which requests completions of a gateway's models.

        It uses this client's settings and connections. This does no I/O.

        Args:
            gateway: its message, or its id, which is read at the first request. Or a list of gateways with the same
                models: each request goes to the less loaded of two picked at random, and is retried at another one; see
                `Inference`. Each gets the credential that its own auth requires.
            token: a credential for completions. None: this client's token for CoreWeave auth; WANDB_API_KEY for
                Weights & Biases auth.
            endpoint: another one of the gateway's own endpoints. None: its first.
            timeout: seconds for a whole completion: queueing, token, all attempts and pauses, reading (600). None for
                no limit.
            retry: how failures before the response are retried; None for not at all. By default this client's.
            limit: how many requests are in flight at most (1,000); further ones wait in a queue, in order. "auto": as
                many as the gateway is found to take.
            hedge_after: with several gateways, seconds after which a request without a response is sent to a second one
                too, for at most 5 % of the requests. None: never.
            weights: say in `completion.weights` and `stream.weights` which snapshot the model had before and after the
                request. While requests are made, the hot-loads of the gateway's deployments are read every 2 s for it,
                on a thread or in a task of its own, which no request waits for.
            http_version: 1 or 2 forces it, on connections of its own. By default this client's.
            allow_plaintext: allow an http:// endpoint beyond loopback, which sends the token unencrypted.

        Raises:
            ConfigurationError: an argument is wrong, or the gateway's message has no endpoint that may get the token.
        """
        return self._inference_class()._of_gateway(  # pyright: ignore[reportPrivateUsage]
            self._session,
            self._driver.context,
            gateway,
            token=token,
            endpoint=endpoint,
            timeout=timeout,
            retry=retry,
            limit=limit,
            hedge_after=hedge_after,
            weights=weights,
            http_version=http_version,
            allow_plaintext=allow_plaintext,
        )

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"{name}({self._session})" if hasattr(self, "_session") else f"<{name}, not made>"

    def __getstate__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} cannot be pickled or copied, since it has connections; "
            "make one in each worker process"
        )

    def _new_session(self, settings: Settings) -> ClientSession[Any]:
        raise NotImplementedError

    def _new_driver(self, context: Context) -> Mode:
        raise NotImplementedError

    def _inference_class(self) -> type[InferenceT]:
        raise NotImplementedError


class Client(Closing, BaseClient[SyncDriver, "Inference"]):
    """Synchronous client of the CoreWeave Inference API; safe to share between threads.

    `client.gateways`, `client.deployments`, `client.capacity_claims` and `client.hot_loads` manage the API's resources;
    `client.inference(gateway)` requests completions. `help(Client.gateways)` and so on say what they do.
    """

    def close(self) -> None:
        """Release all connections. No more calls can be made. A call in flight completes, or over gRPC fails."""
        if self._owns_session:
            for transport in self._session.take_all():
                transport.close()

    def _new_session(self, settings: Settings) -> ClientSession[Any]:
        return ClientSession(settings, open_sync)

    def _new_driver(self, context: Context) -> SyncDriver:
        if context.credentials.may_be_async:
            raise ConfigurationError("token: an async callable needs AsyncClient")
        return SyncDriver(context)

    def _inference_class(self) -> "type[Inference]":
        from .inference import Inference

        return Inference


class AsyncClient(AsyncClosing, BaseClient[AsyncDriver, "AsyncInference"]):
    """Asyncio client of the CoreWeave Inference API; may be shared between event loops.

    `client.gateways`, `client.deployments`, `client.capacity_claims` and `client.hot_loads` manage the API's resources;
    `client.inference(gateway)` requests completions. `help(AsyncClient.gateways)` and so on say what they do.
    """

    async def close(self) -> None:
        """Release all connections. No more calls can be made. A call in flight completes, or over gRPC fails."""
        if self._owns_session:
            for transport in self._session.take_all():
                await transport.close()

    def _new_session(self, settings: Settings) -> ClientSession[Any]:
        return ClientSession(settings, open_async)

    def _new_driver(self, context: Context) -> AsyncDriver:
        return AsyncDriver(context)

    def _inference_class(self) -> "type[AsyncInference]":
        from .inference import AsyncInference

        return AsyncInference

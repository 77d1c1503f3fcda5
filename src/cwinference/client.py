"""`Client` and `AsyncClient`: settings in, resources out."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, Self, Unpack

from . import types
from ._calls.attempts import Context, OnCall
from ._calls.rpc import UNSET
from ._calls.closing import AsyncClosing, Closing
from ._calls.drivers import AsyncDriver, SyncDriver
from ._calls.flow import Clock
from ._calls.operation import Mode
from ._calls.session import Session
from .auth import Credentials, TokenSource, hidden
from .config import (
    MAX_REPLY_BYTES,
    TLS,
    Codec,
    HttpVersion,
    Settings,
    TransportName,
    check_timeout,
    resolve,
    resolve_token,
)
from .errors import ConfigurationError
from .resources import CapacityClaims, Deployments, Gateways, HotLoads
from .retry import Budget, Retry, check_retry
from .transports.base import AsyncTransport, Transport, open_async, open_sync

if TYPE_CHECKING:
    from .inference import AsyncInference, GatewayOptions, Inference

_SETTINGS = """
    `client.gateways`, `client.deployments`, `client.capacity_claims` and `client.hot_loads` manage the API's resources;
    `client.inference(gateway)` asks models. `help(client.gateways)` and so on tell what they do.

    Nothing connects before the first call. Close it, or use it in a `with` block, to release its connections.

    Args:
        token: the token; a callable that gives it, asked again when the server says UNAUTHENTICATED; or
            `auth.from_file(path)`, `auth.from_command([...])`. None: COREWEAVE_API_TOKEN, then CW_API_TOKEN.
        endpoint: URL of the API. None: COREWEAVE_API_ENDPOINT, then CW_BASE_URL, then https://api.coreweave.com.
        transport: "grpc", "connect" or "rest".
        codec: "proto" or "json", for Connect.
        http_version: 1 or 2 forces it. None: by ALPN over https; over http, 2 for Connect and 1 for REST.
        timeout: seconds for a whole call: queueing, token, all attempts and pauses (30). None for no limit.
        retry: what is repeated and when, as a `Retry`; None repeats nothing.
        tls: certificate authorities and client certificate, as a `TLS`. None: the usual authorities.
        proxy: URL of an HTTP proxy; never used for loopback. None: what the environment says.
        max_reply_bytes: largest answer accepted, in bytes (64 MiB); a larger one raises ProtocolError.
        allow_plaintext: allow http:// beyond loopback, which sends the token unencrypted.
        on_call: called after each call as `on_call(method, code, attempts, seconds)`, for metrics; code is "ok",
            an error's code, "protocol_error", "canceled", or "error" for anything else (a token source failed).
        clock: time and chance, for tests.

    Raises:
        ConfigurationError: a setting is missing or wrong.
"""


class BaseClient(Generic[Mode]):
    """What both clients are made of: settings, and the resources that share them."""

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
        on_call: OnCall | None = None,
        clock: Clock | None = None,
    ) -> None:
        token = hidden(token)  # a traceback that shows locals shows this one
        settings = resolve(
            endpoint=endpoint,
            transport=transport,
            codec=codec,
            http_version=http_version,
            tls=tls,
            proxy=proxy,
            max_reply_bytes=max_reply_bytes,
            allow_plaintext=allow_plaintext,
        )
        context = Context(
            timeout=check_timeout(timeout),
            retry=check_retry(retry),
            credentials=Credentials(resolve_token(token)),
            budget=Budget(),
            clock=clock or Clock(),
            on_call=on_call,
        )
        self._owner = True
        self._use(self._driver_of(settings, context))

    def _driver_of(self, settings: Settings, context: Context) -> Mode:
        raise NotImplementedError

    def _use(self, driver: Mode) -> None:
        self._driver: Mode = driver
        self.gateways: Gateways[Mode] = Gateways(driver)
        self.deployments: Deployments[Mode] = Deployments(driver)
        self.capacity_claims: CapacityClaims[Mode] = CapacityClaims(driver)
        self.hot_loads: HotLoads[Mode] = HotLoads(driver)

    def __repr__(self) -> str:
        return repr(self._driver) if hasattr(self, "_driver") else f"<{type(self).__name__}, not made>"

    def with_options(self, *, timeout: float | None = UNSET, retry: Retry | None = UNSET) -> Self:
        """A copy with another default timeout or retry, on the same connections. Closing a copy does nothing.

        Args:
            timeout: seconds for a whole call; None for no limit; left out, this client's.
            retry: what is repeated; None repeats nothing; left out, this client's.
        """
        copy = object.__new__(type(self))
        copy._owner = False
        driver: Any = self._driver
        copy._use(type(driver)(driver.session, _with(driver.context, timeout, retry)))
        return copy


class Client(Closing, BaseClient[SyncDriver]):
    """The blocking client of the CoreWeave Inference API; may be used by many threads at once."""

    def _driver_of(self, settings: Settings, context: Context) -> SyncDriver:
        if context.credentials.may_be_async:
            raise ConfigurationError("token: an async callable needs AsyncClient")
        return SyncDriver(Session[Transport](settings, open_sync), context)

    def inference(self, gateway: types.Gateway | str, **options: Unpack["GatewayOptions"]) -> "Inference":
        """Completions of a gateway's models, with this client's settings and connections. Does no I/O.

        Args:
            gateway: its message, or its id; an id is read at the first request.
            options: `token` (a W&B key, for a gateway with W&B auth; None: WANDB_API_KEY, or this client's token for
                CoreWeave auth), `endpoint` (another one of the gateway's own), `timeout` (600 s), `retry`, `limit`
                (1000 requests in flight), `http_version` and `allow_plaintext`, as in `Inference`.
        """
        from .inference import Inference

        return Inference.of(self._driver, gateway, **options)

    def close(self) -> None:
        """Release all connections. No further call can be made; one in flight ends as it would, or over gRPC fails."""
        if self._owner:
            for transport in self._driver.session.take_all():
                transport.close()


class AsyncClient(AsyncClosing, BaseClient[AsyncDriver]):
    """The asyncio client of the CoreWeave Inference API; may be used from several event loops."""

    def _driver_of(self, settings: Settings, context: Context) -> AsyncDriver:
        return AsyncDriver(Session[AsyncTransport](settings, open_async), context)

    def inference(self, gateway: types.Gateway | str, **options: Unpack["GatewayOptions"]) -> "AsyncInference":
        from .inference import AsyncInference

        return AsyncInference.of(self._driver, gateway, **options)

    async def close(self) -> None:
        """Release all connections. No further call can be made; one in flight ends as it would, or over gRPC fails."""
        if self._owner:
            for transport in self._driver.session.take_all():
                await transport.close()


def _with(context: Context, timeout: Any, retry: Any) -> Context:
    return replace(
        context,
        timeout=context.timeout if timeout is UNSET else check_timeout(timeout),
        retry=context.retry if retry is UNSET else check_retry(retry),
    )


Client.__doc__ = f"{Client.__doc__}\n{_SETTINGS}"
AsyncClient.__doc__ = f"{AsyncClient.__doc__}\n{_SETTINGS.replace('a `with` block', 'an `async with` block')}"
AsyncClient.inference.__doc__ = Client.inference.__doc__

"""`Inference` and `AsyncInference`: completions of a gateway, or of any server with an OpenAI-compatible API."""

from typing import TYPE_CHECKING, Any, cast

from .._calls.attempts import Context
from .._calls.closing import AsyncClosing, Closing
from .._calls.drivers import AsyncDriver, SyncDriver
from .._secrets import forgets_locals
from ..config import Settings
from ..errors import ConfigurationError
from ..transports.completions import AsyncCompletionTransport, SyncCompletionTransport
from ._base_inference import BaseInference, Shared
from ._connections import Connections
from ._health import Health
from ._loop_thread import LoopThread
from ._racing import Racing
from ._session import AsyncInferenceSession, SyncInferenceSession
from ._weights import poll_in_task, poll_on_thread

if TYPE_CHECKING:
    import openai


class Inference(Closing, BaseInference[SyncDriver]):
    """Synchronous client for completions of deployed models; safe to share between threads.

    `inference.chat.completions` and `inference.completions` have `create` and `stream`, `inference.models` has `list`,
    and `inference.batch` requests many at once. `client.inference(gateway)` makes one with everything set.
    """

    @forgets_locals
    def openai(self, model: str | None = None, *, endpoint: str | None = None, **options: Any) -> "openai.OpenAI":
        """Return the openai package's client for this server, with its URL, token, headers, proxy and authorities.

        It needs the extra `openai`.

        Args:
            model: the model, which is needed on a gateway that routes by path or by header.
            endpoint: which one of several servers, by its URL as in `stats().endpoints`.
            options: arguments of `openai.OpenAI`, which replace ours.

        Raises:
            ConfigurationError: the package is missing, or cannot use the proxy or the authorities; the gateway has not
                been read yet; or `model` is missing, or `endpoint` although there are several.
        """
        return cast("openai.OpenAI", self._openai_client(model, endpoint, options, is_async=False))

    def close(self) -> None:
        """Make no more requests, and release its connections; those of a client are closed with the client."""
        self._server.close()
        if self._racing is not None:
            self._racing.close()
        if self._owns_connections:
            for transport in self._connections.take_all():
                transport.close()

    @classmethod
    def _new_connections(cls, settings: Settings) -> Connections[Any]:
        return Connections(settings, SyncCompletionTransport)

    @classmethod
    def _new_session(cls, shared: "Shared", health: Health) -> SyncInferenceSession:
        return SyncInferenceSession(shared.connections, shared.limiter, shared.counters, health)

    def _new_racing(self, shared: "Shared") -> Racing:
        connections = Connections(shared.connections.settings, AsyncCompletionTransport)
        racing = Racing(connections, shared.limiter, shared.counters, LoopThread())
        shared.connections.close_too(racing)
        return racing

    _start_polling = staticmethod(poll_on_thread)

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
    def openai(self, model: str | None = None, *, endpoint: str | None = None, **options: Any) -> "openai.AsyncOpenAI":
        """Return the openai package's client for this server, with its URL, token, headers, proxy and authorities.

        It needs the extra `openai`.

        Args:
            model: the model, which is needed on a gateway that routes by path or by header.
            endpoint: which one of several servers, by its URL as in `stats().endpoints`.
            options: arguments of `openai.AsyncOpenAI`, which replace ours.

        Raises:
            ConfigurationError: the package is missing, or cannot use the proxy or the authorities; the gateway has not
                been read yet; or `model` is missing, or `endpoint` although there are several.
        """
        return cast("openai.AsyncOpenAI", self._openai_client(model, endpoint, options, is_async=True))

    async def close(self) -> None:
        """Make no more requests, and release its connections; those of a client are closed with the client."""
        self._server.close()
        if self._owns_connections:
            for transport in self._connections.take_all():
                await transport.close()

    @classmethod
    def _new_connections(cls, settings: Settings) -> Connections[Any]:
        return Connections(settings, AsyncCompletionTransport)

    @classmethod
    def _new_session(cls, shared: "Shared", health: Health) -> AsyncInferenceSession:
        return AsyncInferenceSession(shared.connections, shared.limiter, shared.counters, health)

    def _new_racing(self, shared: "Shared") -> Racing:
        return Racing(shared.connections, shared.limiter, shared.counters, None)

    _start_polling = staticmethod(poll_in_task)

    def _new_driver(self, context: Context) -> AsyncDriver:
        return AsyncDriver(context)

"""Where requests are sent, described so that it can be sent to workers: they make their clients themselves."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .._arguments import check_timeout
from .._text import is_id
from ..auth import TokenSource
from ..client import AsyncClient
from ..config import TLS, TransportName
from ..errors import ConfigurationError
from ..inference import AsyncInference
from ..inference._limiter import Limiter
from ..inference._model_server import CheckedBody
from ..inference._request import CompletionRequest
from ..inference._routing import route_to
from ..retry import Retry, check_retry

Send: TypeAlias = Callable[[CompletionRequest], Awaitable[CheckedBody]]
CanRoute: TypeAlias = Callable[[CompletionRequest], bool]

_MOST = 100_000


@dataclass(frozen=True)
class Target:
    """A gateway, or a server at a URL, and how it is reached. Nothing in it is secret."""

    gateway: str | Sequence[str] | None = None
    base_url: str | Sequence[str] | None = None
    token: TokenSource | None = field(default=None, repr=False)
    timeout: float | None = 600.0
    retry: Retry | None = Retry()  # noqa: RUF009 - frozen
    endpoint: str | None = None
    transport: TransportName | None = None
    tls: TLS | None = None
    allow_plaintext: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be meant, and what must not be sent to workers. Raises ConfigurationError."""
        if (self.gateway is None) == (self.base_url is None):
            raise ConfigurationError("gateway, base_url: give one of them")
        if isinstance(self.token, str):
            raise ConfigurationError(
                "token: a string would be in the plans and logs of Ray; use auth.from_file or auth.from_command, or "
                "set COREWEAVE_API_TOKEN for the workers"
            )
        if self.token is not None and not callable(self.token):
            raise ConfigurationError(f"token: expected a callable, got {type(self.token).__name__}")
        if self.tls is not None and isinstance(self.tls.key, bytes):
            raise ConfigurationError("tls: bytes of a key would be in the plans and logs of Ray; give its path")
        if self.gateway is not None and not all(isinstance(each, str) and each for each in self._gateways or [""]):
            raise ConfigurationError("gateway: expected the name or id of a gateway, or a list of them")
        _ = self.servers
        check_timeout(self.timeout)
        check_retry(self.retry)

    @property
    def servers(self) -> tuple[str, ...]:
        """What they are called in files: the gateway as it was given, or the URLs."""
        if self.base_url is None:
            return tuple(self._gateways)
        return tuple(route_to(url, None, allow_plaintext=self.allow_plaintext).url for url in self._urls)

    @property
    def _urls(self) -> list[str]:
        return [self.base_url] if isinstance(self.base_url, str) else list(self.base_url or ())

    @property
    def _gateways(self) -> list[str]:
        return [self.gateway] if isinstance(self.gateway, str) else list(self.gateway or ())

    @asynccontextmanager
    async def open(self, slots: Limiter) -> AsyncGenerator[tuple[Send, CanRoute]]:
        """Yield what sends a request through `slots`, and what says whether it can be routed.

        Raises ConfigurationError; and ApiError for a gateway.
        """
        settings: dict[str, Any] = {"timeout": self.timeout, "retry": self.retry, "limit": _MOST}
        if self.base_url is not None:
            settings |= {"token": self.token, "tls": self.tls, "allow_plaintext": self.allow_plaintext}
            async with AsyncInference(self.base_url, **settings) as inference:
                yield _sender(inference, slots)
            return
        how: dict[str, Any] = {"endpoint": self.endpoint, "tls": self.tls, "allow_plaintext": self.allow_plaintext}
        async with AsyncClient(self.token, transport=self.transport or "rest", **how) as client:
            gateways = [each if is_id(each) else await client.gateways.find(each) for each in self._gateways]
            yield _sender(client.inference(gateways if len(gateways) > 1 else gateways[0], **settings), slots)


def _sender(inference: Any, slots: Limiter) -> tuple[Send, CanRoute]:
    """Return what requests completions through other slots, as `batch` of an `AsyncInference` does."""
    server = inference._server.within(slots)
    return inference._new_driver(server.context).bind(server.complete_as_bytes), server.can_route

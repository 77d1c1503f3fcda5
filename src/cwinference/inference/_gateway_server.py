"""A gateway of the management API as a model server: read at the first request, with its own token and models."""

import math
from collections.abc import Sequence
from typing import Any

from .. import types
from .._arguments import UNSET, check_id
from .._calls.attempts import Context, attempts
from .._calls.deadline import Deadline
from .._calls.flow import Flow
from .._calls.rpc import Rpc, many, one
from .._calls.session import closed
from .._calls.shared_work import SharedWork
from .._hosts import GatewayHosts
from ..auth import Credentials, Metadata, TokenCredentials, TokenSource
from ..config import resolve_wandb_key
from ..errors import ApiError, ConfigurationError, InferenceError, NotFound
from ..status import State
from ._health import Health
from ._limiter import Limiter
from ._model_server import ModelServer
from ._request import CompletionRequest
from ._routing import Route, route_of
from ._stats import Counters

_MODELS_SECONDS = 60.0
"""How long the list of a gateway's models is used before it is read again."""


class GatewayCredentials(Credentials):
    """The credentials of a gateway's completions: a token of their own, else what the gateway's auth requires."""

    def __init__(self, client: Credentials, token: TokenSource | None) -> None:
        self._has_token = token is not None
        self._current = client if token is None else TokenCredentials(token)

    def __repr__(self) -> str:
        return repr(self._current)

    def choose(self, gateway: types.Gateway) -> None:
        """Take a W&B key from the environment if the gateway requires one and no token was given.

        The client's own token must not travel to such a gateway, which sends what it gets to Weights & Biases; nor to
        one whose auth this release does not know. Raises ConfigurationError.
        """
        if self._has_token or gateway.spec.HasField("core_weave_auth"):
            return
        if not gateway.spec.HasField("weights_and_biases_auth"):
            raise ConfigurationError(
                f"gateway {gateway.spec.name!r} has an auth that this release does not know, and may not be sent the "
                "client's token; give client.inference(...) the one that it takes, as token=..."
            )
        self._current = TokenCredentials(resolve_wandb_key(None))

    @property
    def refreshable(self) -> bool:
        return self._current.refreshable

    @property
    def may_be_async(self) -> bool:
        return self._current.may_be_async

    def metadata(self) -> Metadata | None:
        """Return the cached header of the current credentials."""
        return self._current.metadata()

    def fetch(self, refused: Metadata | None, seconds: float | None = None) -> Metadata:
        """Return the header with a token from the source."""
        return self._current.fetch(refused, seconds)

    async def fetch_async(self, refused: Metadata | None) -> Metadata:
        """Do the same, awaiting an async source."""
        return await self._current.fetch_async(refused)


class GatewayServer(ModelServer):
    """The gateway with an id, or of a message. `management` is the context of the client that it came from."""

    def __init__(
        self,
        gateway: types.Gateway | str,
        context: Context,
        management: Context,
        credentials: GatewayCredentials,
        limiter: Limiter,
        counters: Counters,
        health: Health,
        *,
        endpoint: str | None,
        allow_plaintext: bool,
        hosts: GatewayHosts,
    ) -> None:
        super().__init__(context, limiter, counters, health, None)
        self._management = management
        self._credentials = credentials
        self._endpoint = endpoint
        self._allow_plaintext = allow_plaintext
        self._hosts = hosts
        self._reading, self._reading_models = SharedWork(), SharedWork()
        self._served: Sequence[str] | None = None
        self._read_models_at = -math.inf
        if not isinstance(gateway, types.Gateway | str):
            raise ConfigurationError(f"gateway: expected a Gateway or its id, got {type(gateway).__name__}")
        self.id = check_id(gateway if isinstance(gateway, str) else gateway.spec.id, "gateway")
        if isinstance(gateway, types.Gateway) and State.of(gateway) is State.READY:
            self._use(gateway)
        elif isinstance(gateway, types.Gateway):
            self._place.unknown = f"was {State.of(gateway).name}"

    @property
    def names(self) -> tuple[str, ...]:
        """What it is called in files: its id."""
        return (self.id,)

    def find_route(self, request: CompletionRequest) -> Flow[Route]:
        """Return the route. The gateway is read, unless it was READY before: once for all who need it now."""
        if self._route is None:
            timeout = UNSET if request.timeout is None else request.timeout
            limit = self._management.timeout if timeout is UNSET else timeout
            deadline = Deadline(limit, self.context.clock.monotonic)
            yield from self._reading.do(
                lambda: self._route is not None,
                lambda has_waited: self._read_gateway(deadline.require() if has_waited else timeout),
                limit,
            )
        return self.route

    def _read_gateway(self, timeout: float | None) -> Flow[None]:
        if self.is_closed:
            raise closed()
        rpc = one(types.GetGatewayRequest(id=self.id), "gateway", types.Gateway, timeout)
        try:
            gateway: types.Gateway = yield from self._manage(rpc)
        except NotFound as error:
            error.message = f"{error.message} (id: {self.id!r})"
            raise
        self._use(gateway)

    def explain(self, error: ApiError, request: CompletionRequest) -> Flow[None]:
        """Add to a 404 which models the gateway serves, if the management API says so."""
        if not isinstance(error, NotFound) or request.model is None:
            return
        served = yield from self._models_served()
        if served is not None and request.model not in served:
            known = ", ".join(served) or "none"
            error.message = (
                f"{error.message} (model: no deployment of this gateway serves {request.model!r}; it serves: {known})"
            )

    def _models_served(self) -> Flow[Sequence[str] | None]:
        """Return the models of the gateway's deployments, read once a minute at most; None if they are not known."""
        if not self._knows_models():
            yield from self._reading_models.do(self._knows_models, lambda _: self._read_models())
        return self._served

    def _knows_models(self) -> bool:
        return self.context.clock.monotonic() < self._read_models_at

    def _read_models(self) -> Flow[None]:
        request = types.ListDeploymentsRequest(parent_gateway_id=self.id)
        try:
            found: Sequence[types.Deployment] = yield from self._manage(
                many(request, "items", types.Deployment, UNSET, None)
            )
        except InferenceError:
            self._served = None
        else:
            self._served = sorted({each.spec.model.name for each in found if not each.spec.disabled})
        self._read_models_at = self.context.clock.monotonic() + _MODELS_SECONDS

    def _manage(self, rpc: Rpc[Any]) -> Flow[Any]:
        """Make a call of the management API."""
        return (yield from attempts(rpc, self._management))

    def _use(self, gateway: types.Gateway) -> None:
        """Take the route to a READY gateway, and the credential that its auth requires."""
        route = route_of(gateway, self._endpoint, allow_plaintext=self._allow_plaintext)
        self._hosts.check(route.endpoint.host)
        self._credentials.choose(gateway)
        self._place.route = route

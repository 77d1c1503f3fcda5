"""A gateway of the management API as a server of completions: read at the first request, its own token, its models."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .. import types
from .._calls.attempts import Context, attempts
from .._calls.rpc import UNSET, Call, CallOptions, many, one, required
from .._calls.flow import Flow
from ..auth import Credentials, TokenSource
from ..config import resolve_wandb_key
from ..errors import ApiError, ConfigurationError, InferenceError, NotFound
from ..status import State
from ._limiter import Limiter
from ._model_server import Front
from ._request import Prompt
from ._routing import Route, route_of

_ASK_AGAIN_SECONDS = 60.0


class GatewayServer(Front):
    """The gateway with an id, or of a message. `management` is the context of the client that it came from."""

    def __init__(
        self,
        gateway: types.Gateway | str,
        context: Context,
        management: Context,
        gate: Limiter,
        *,
        token: TokenSource | None,
        endpoint: str | None,
        plaintext: bool,
    ) -> None:
        super().__init__(context, gate, None)
        self._management = management
        self._token = token
        self._endpoint = endpoint
        self._plaintext = plaintext
        self._served: Sequence[str] | None = None
        self._ask_again_at = -math.inf
        if not isinstance(gateway, types.Gateway | str):
            raise ConfigurationError(f"gateway: expected a Gateway or its id, got {type(gateway).__name__}")
        self._id = required("gateway", gateway if isinstance(gateway, str) else gateway.spec.id)
        if isinstance(gateway, types.Gateway) and State.of(gateway) is State.READY:
            self._use(gateway)
        elif isinstance(gateway, types.Gateway):
            self._unread = f"a gateway that was {State.of(gateway).name}"

    def resolve(self, prompt: Prompt) -> Flow[Route]:
        """The way to it: the gateway is read until it was once READY."""
        if self._route is None:
            options: CallOptions = {} if prompt.limit in (UNSET, None) else {"timeout": prompt.limit}
            request = types.GetGatewayRequest(id=self._id)
            gateway = yield from self._manage(one(request, "gateway", types.Gateway, options))
            self._use(gateway)
        return self.route

    def explain(self, error: ApiError, prompt: Prompt) -> Flow[None]:
        """Add to a 404 which models the gateway serves, where the management API tells them."""
        if not isinstance(error, NotFound) or prompt.model is None:
            return
        served = yield from self._models_served()
        if served is not None and prompt.model not in served:
            known = ", ".join(served) or "none"
            error.message = (
                f"{error.message} (model: no deployment of this gateway serves {prompt.model!r}; it serves: {known})"
            )

    def _models_served(self) -> Flow[Sequence[str] | None]:
        """The models of the gateway's deployments, asked for once a minute at most; None when they are not told."""
        now = self.context.clock.monotonic()
        if now < self._ask_again_at:
            return self._served
        self._ask_again_at = now + _ASK_AGAIN_SECONDS
        request = types.ListDeploymentsRequest(parent_gateway_id=self._id)
        try:
            found = yield from self._manage(many(request, "items", types.Deployment, {"retry": None}))
        except InferenceError:
            self._served = None
        else:
            self._served = sorted({each.spec.model.name for each in found if not each.spec.disabled})
        return self._served

    def _manage(self, call: Call[Any]) -> Flow[Any]:
        """A call of the management API."""
        return call.result((yield from attempts(call, self._management)))

    def _use(self, gateway: types.Gateway) -> None:
        """Take the way to a READY gateway, and the token that its auth wants."""
        route = route_of(gateway, self._endpoint, plaintext=self._plaintext)
        if gateway.spec.HasField("weights_and_biases_auth"):
            self.context = replace(self.context, credentials=Credentials(resolve_wandb_key(self._token)))
        elif self._token is not None:
            self.context = replace(self.context, credentials=Credentials(self._token))
        if self.driver is not None:
            self.driver.context = self.context
        self._route = route

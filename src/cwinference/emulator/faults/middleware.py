"""Makes faults happen: ASGI middleware that wraps the application once for each fault that a request triggers."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from ..._wire.methods import Method
from ..protocols.app import GATEWAY_PREFIX
from ..protocols.asgi import App, Receive, Scope, Send, state_of
from . import delivery, responses
from .asgi_parts import FaultFactory, counting
from .faults import Fault, Faults
from .options import FaultKind

_FACTORIES: Mapping[FaultKind, FaultFactory] = {
    "error": responses.error,
    "page": responses.page,
    "delay": delivery.delay,
    "latency": delivery.latency,
    "drip": delivery.drip,
    "cut": delivery.cut,
    "refuse": delivery.refuse,
    "goaway": delivery.goaway,
    "garbage": responses.garbage,
    "oversized": responses.oversized,
    "content_type": responses.content_type,
    "half_open": delivery.half_open,
    "skew": responses.skew,
    "duplicate": responses.duplicate,
}
_GATEWAY_FACTORIES: Mapping[FaultKind, FaultFactory] = {
    **_FACTORIES,
    "error": responses.gateway_error,
    "duplicate": responses.duplicate_request,
}
"""Requests below the gateways' endpoints call no method that could be intercepted, so two kinds work differently."""

_COUNT_THEMSELVES: frozenset[tuple[FaultKind, bool]] = frozenset(
    [
        *[(kind, False) for kind in ("error", "skew", "duplicate")],
        *[
            (kind, below_gateway)
            for kind in ("garbage", "oversized", "content_type", "drip")
            for below_gateway in (False, True)
        ],
    ]
)
"""Kinds, and whether below a gateway's endpoint, that happen only at some point of a request, and count it there.

All others happen to every request that reaches them, which is not so if another fault responds before.
"""


class FaultMiddleware:
    """An ASGI application that injects faults into the requests to another one."""

    def __init__(self, app: App, faults: Faults, method_of: Callable[[str, str], Method | None]) -> None:
        """Wrap `app`; `method_of` gives the method that a request calls, by its HTTP verb and its path."""
        self._app = app
        self._faults = faults
        self._method_of = method_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, with the faults that it triggers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        connection = state_of(scope)["connection"]
        if connection.is_beyond_goaway(scope):
            await connection.refuse(scope)
            return
        path: str = scope["path"]
        method = self._method_of(scope["method"], scope["raw_path"].decode("ascii", "replace"))
        below_gateway = path.startswith(GATEWAY_PREFIX)
        if below_gateway:
            state_of(scope)["around_deployment"] = partial(self._around_deployment, path)
        triggered = self._faults.triggered_by(method.name if method else None, path)
        await _with_faults(triggered, self._app, below_gateway=below_gateway)(scope, receive, send)

    def _around_deployment(self, path: str, deployment: Collection[str], app: App) -> App:
        """Wrap what serves a request in the faults of the deployment that it is for."""
        return _with_faults(self._faults.triggered_by(None, path, deployment), app, below_gateway=True)


def _with_faults(faults: Sequence[Fault], app: App, *, below_gateway: bool) -> App:
    factories = _GATEWAY_FACTORIES if below_gateway else _FACTORIES
    for fault in reversed(faults):
        app = factories[fault.kind](fault, app)
        if (fault.kind, below_gateway) not in _COUNT_THEMSELVES:
            app = counting(fault, app)
    return app

"""Makes faults happen: an ASGI application around the emulator's own, a layer for each fault that a call meets."""

from collections.abc import Callable, Mapping

from ..._wire.methods import Method
from ..protocols.asgi import App, Receive, Scope, Send
from . import delivery
from . import responses as answers
from .asgi_parts import Layer
from .faults import Faults
from .options import Kind

_LAYERS: Mapping[Kind, Layer] = {
    "error": answers.error,
    "page": answers.page,
    "delay": delivery.delay,
    "drip": delivery.drip,
    "cut": delivery.cut,
    "refuse": delivery.refuse,
    "goaway": delivery.goaway,
    "garbage": answers.garbage,
    "oversized": answers.oversized,
    "content_type": answers.content_type,
    "half_open": delivery.half_open,
    "skew": answers.skew,
    "duplicate": answers.duplicate,
}
_GATEWAY_LAYERS: Mapping[Kind, Layer] = {
    **_LAYERS,
    "error": answers.gateway_error,
    "duplicate": answers.duplicate_request,
}


class FaultLayer:
    """The application, with the faults that its calls meet."""

    def __init__(
        self, app: App, faults: Faults, method_of: Callable[[str, str], Method | None], gateways: str = "/gateway/"
    ) -> None:
        """`method_of` tells the method by HTTP verb and path; below `gateways` errors take OpenAI's form."""
        self._app = app
        self._faults = faults
        self._method_of = method_of
        self._gateways = gateways

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        connection = scope["state"]["connection"]
        if connection.turns_away(scope):
            await connection.refuse(scope)
            return
        path: str = scope["path"]
        method = self._method_of(scope["method"], scope["raw_path"].decode("ascii", "replace"))
        app = self._app
        for fault in reversed(self._faults.meeting(method.name if method else None, path)):
            layers = _GATEWAY_LAYERS if path.startswith(self._gateways) else _LAYERS
            app = layers[fault.kind](fault, app)
        await app(scope, receive, send)

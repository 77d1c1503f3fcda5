"""One port for all protocols: each request goes to the protocol that its path and content type belong to."""

import logging
from collections.abc import Iterable

from ..._wire.methods import Method
from . import connect, grpc, reflection
from .asgi import App, AsgiExchange, Disconnected, Receive, Scope, Send
from .rest import ROOT, RestHandler
from .service import Service

GATEWAY_PREFIX = "/gateway/"
"""What the paths below the gateways' endpoints begin with."""
_ACCEPTED = ", ".join([*connect.CODECS, *grpc.CODECS, *grpc.WEB_CODECS]).encode()
_log = logging.getLogger("cwinference.emulator")


class ProtocolRouter:
    """The ASGI application: gRPC, gRPC-Web, Connect and REST, and another application for the gateways' endpoints."""

    def __init__(self, service: Service, methods: Iterable[Method], gateways: App | None = None) -> None:
        methods = list(methods)
        self._methods = {method.path: method for method in methods}
        self._grpc = grpc.GrpcHandler(service)
        self._connect = connect.ConnectHandler(service)
        self._rest = RestHandler(service, methods)
        self._gateways = gateways

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request."""
        if scope["type"] != "http":
            return
        try:
            path: str = scope["path"]
            if self._gateways is not None and path.startswith(GATEWAY_PREFIX):
                await self._gateways(scope, receive, send)
            elif path in reflection.PATHS and _is_grpc(scope):
                await reflection.reflect(AsgiExchange(scope, receive, send), receive, send)
            else:
                await self._dispatch(path, AsgiExchange(scope, receive, send))
        except Disconnected:
            pass
        except Exception:
            _log.exception("%s %s failed", scope["method"], scope["path"])

    def method_of(self, verb: str, path: str) -> Method | None:
        """Return the method that a request calls, by whatever protocol; None if it calls none."""
        return self._methods.get(path) or self._rest.method_of(verb, path)

    async def _dispatch(self, path: str, exchange: AsgiExchange) -> None:
        method = self._methods.get(path)
        content_type = exchange.content_type
        if content_type in grpc.CODECS and exchange.verb == "POST":
            await self._grpc.call(exchange, method, grpc.CODECS[content_type])
        elif content_type in grpc.WEB_CODECS and exchange.verb == "POST":
            await self._grpc.call_web(exchange, method, grpc.WEB_CODECS[content_type])
        elif method is not None:
            await self._dispatch_connect(exchange, method, content_type)
        elif path.startswith(ROOT):
            await self._rest.call(exchange)
        else:
            await exchange.respond_text(404, "not found: this is an emulator of the CoreWeave Inference API")

    async def _dispatch_connect(self, exchange: AsgiExchange, method: Method, content_type: str) -> None:
        if exchange.verb == "GET" and method.read_only:
            await self._connect.get(exchange, method)
        elif exchange.verb != "POST":
            allowed = b"GET, POST" if method.read_only else b"POST"
            await exchange.respond_text(405, f"{exchange.verb} is not allowed here", (b"allow", allowed))
        elif content_type in connect.CODECS:
            await self._connect.post(exchange, method, connect.CODECS[content_type])
        else:
            await exchange.respond_text(415, f"unknown content type {content_type!r}", (b"accept-post", _ACCEPTED))


def _is_grpc(scope: Scope) -> bool:
    kind: bytes = dict(scope["headers"]).get(b"content-type", b"")
    return kind in (b"application/grpc", b"application/grpc+proto") and scope["http_version"] == "2"

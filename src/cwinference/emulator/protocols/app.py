"""One port for everything: each request goes where its path and its content type say."""

import logging
from collections.abc import Iterable

from ..._wire.methods import Method
from . import connect, grpc
from .asgi import App, Disconnected, Exchange, Receive, Scope, Send
from .rest import ROOT, Rest
from .service import Service

GATEWAYS = "/gateway/"
_ACCEPTED = ", ".join([*connect.CODECS, *grpc.CODECS, *grpc.WEB_CODECS]).encode()
_log = logging.getLogger("cwinference.emulator")


class Front:
    """The ASGI application: gRPC, gRPC-Web, Connect, REST, and what lies below the gateways' endpoints."""

    def __init__(self, service: Service, methods: Iterable[Method], gateways: App | None = None) -> None:
        methods = list(methods)
        self._methods = {method.path: method for method in methods}
        self._grpc = grpc.Grpc(service)
        self._connect = connect.Connect(service)
        self._rest = Rest(service, methods)
        self._gateways = gateways

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            path: str = scope["path"]
            if self._gateways is not None and path.startswith(GATEWAYS):
                await self._gateways(scope, receive, send)
            else:
                await self._answer(path, Exchange(scope, receive, send))
        except Disconnected:
            pass
        except Exception:
            _log.exception("%s %s failed", scope["method"], scope["path"])

    def method_of(self, verb: str, path: str) -> Method | None:
        """The method that a request calls, over whatever protocol."""
        return self._methods.get(path) or self._rest.method_of(verb, path)

    async def _answer(self, path: str, exchange: Exchange) -> None:
        method = self._methods.get(path)
        kind = exchange.content_type
        if kind in grpc.CODECS and exchange.verb == "POST":
            await self._grpc.call(exchange, method, grpc.CODECS[kind])
        elif kind in grpc.WEB_CODECS and exchange.verb == "POST":
            await self._grpc.call_web(exchange, method, grpc.WEB_CODECS[kind])
        elif method is not None:
            await self._answer_connect(exchange, method, kind)
        elif path.startswith(ROOT):
            await self._rest.call(exchange)
        else:
            await exchange.answer_text(404, "nothing here: this is an emulator of the CoreWeave Inference API")

    async def _answer_connect(self, exchange: Exchange, method: Method, kind: str) -> None:
        if exchange.verb == "GET" and method.read_only:
            await self._connect.get(exchange, method)
        elif exchange.verb != "POST":
            allowed = b"GET, POST" if method.read_only else b"POST"
            await exchange.answer_text(405, f"{exchange.verb} is not allowed here", (b"allow", allowed))
        elif kind in connect.CODECS:
            await self._connect.post(exchange, method, connect.CODECS[kind])
        else:
            await exchange.answer_text(415, f"unknown content type {kind!r}", (b"accept-post", _ACCEPTED))

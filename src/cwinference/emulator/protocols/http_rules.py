"""What HTTP asks of every server, and hypercorn leaves to the application: upgrades, targets and ambiguous lengths."""

from typing import Any, cast
from urllib.parse import unquote

from .asgi import App, AsgiExchange, Receive, Scope, Send

_NO_WEBSOCKET = b"not found: there are no WebSockets here\n"


class HttpRules:
    """An ASGI application that applies these rules before another one gets a request."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or the handshake of a WebSocket."""
        if scope["type"] == "websocket":
            await _refuse_websocket(scope, send)
        elif scope["type"] == "http" and _has_two_lengths(scope):
            # What such a request contains depends on the reader; a proxy may take a part of it for another request.
            text = "the request has both a Content-Length and a Transfer-Encoding"
            await AsgiExchange(scope, receive, send).respond_text(400, text, (b"connection", b"close"))
        else:
            _make_relative(cast(dict[str, Any], scope))
            await self._app(scope, receive, send)


async def _refuse_websocket(scope: Scope, send: Send) -> None:
    """Respond to the handshake of a WebSocket with 404; hypercorn would send an empty 500."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(_NO_WEBSOCKET))]
    if scope["http_version"] != "2":
        headers.append((b"connection", b"close"))
    await send({"type": "websocket.http.response.start", "status": 404, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": _NO_WEBSOCKET})


def _has_two_lengths(scope: Scope) -> bool:
    return {b"content-length", b"transfer-encoding"} <= {name for name, _ in scope["headers"]}


def _make_relative(scope: dict[str, Any]) -> None:
    """Replace a target in absolute form, as proxies get it, by its path, and the Host header by its host.

    The scope is changed in place: hypercorn's streams are found by it.
    """
    target: bytes = scope.get("raw_path", b"")
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        return
    authority, slash, path = rest.partition(b"/")
    scope["raw_path"] = slash + path or b"/"
    scope["path"] = unquote(scope["raw_path"].decode("ascii"))
    others = [pair for pair in scope["headers"] if pair[0] != b"host"]
    scope["headers"] = [(b"host", authority.rpartition(b"@")[2]), *others]

"""What faults are made of: pieces of ASGI that read, replay, swallow and answer."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from ..protocols.asgi import App, Receive, Scope, Send
from .faults import Fault

Layer: TypeAlias = Callable[[Fault, App], App]
"""Puts a fault around an application."""


def with_headers(headers: Mapping[str, str], app: App) -> App:
    """The application with more headers in its answers, gRPC's among the trailers."""
    extra = [(name.lower().encode(), str(value).encode()) for name, value in headers.items()]

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(event: Mapping[str, Any]) -> None:
            trailing = event.get("trailers", False)
            if "headers" in event and not trailing:
                event = {**event, "headers": [*event["headers"], *extra]}
            await send(event)

        await app(scope, receive, sending)

    return call


def of_length(headers: Iterable[tuple[bytes, bytes]], size: int) -> list[tuple[bytes, bytes]]:
    """The headers for a body of another size; where none was promised, none is."""
    names = (b"content-length", b"content-encoding")
    had_length = any(name == b"content-length" for name, _ in headers)
    kept = [pair for pair in headers if pair[0] not in names]
    return [*kept, (b"content-length", b"%d" % size)] if had_length else kept


async def whole_answer(status: int, content_type: bytes, body: bytes, send: Send) -> None:
    """Answer in one piece."""
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read_body(receive: Receive) -> bytes:
    """All of a request's body."""
    pieces: list[bytes] = []
    more = True
    while more:
        event = await receive()
        pieces.append(event.get("body", b""))
        more = event.get("more_body", False)
    return b"".join(pieces)


def told(body: bytes, receive: Receive) -> Receive:
    """A body that was read, once, and then what `receive` gives."""
    events = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receiving() -> Mapping[str, Any]:
        return next(events, None) or await receive()

    return receiving


async def nothing() -> Mapping[str, Any]:
    """What comes from a client that is never heard of again."""
    while True:
        await asyncio.Event().wait()


async def nowhere(event: Mapping[str, Any]) -> None:
    """Where answers go that nobody shall see."""

"""What the faults are built from: small pieces of ASGI that read, replay, discard and respond."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from google.protobuf.message import Message

from ..protocols.asgi import App, Receive, Scope, Send, state_of
from ..protocols.service import CallNext, Interceptor
from .faults import Fault

FaultFactory: TypeAlias = Callable[[Fault, App], App]
"""Wraps an application so that a fault happens to its requests."""


def with_interceptor(fault: Fault, interceptor: Interceptor, app: App) -> App:
    """Wrap an application so that an interceptor runs around the method that a request calls, which the fault counts.

    The interceptor is added to the request's own state. From there the protocols pass it to `Service.call`.
    """
    happens = fault.once()

    def counted(call_next: CallNext) -> Message:
        happens()
        return interceptor(call_next)

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        state = state_of(scope)
        state["interceptors"] = (*state.get("interceptors", ()), counted)
        await app(scope, receive, send)

    return call


def with_headers(headers: Mapping[str, str], app: App) -> App:
    """Wrap an application so that its responses have more headers; over gRPC they are among the trailers."""
    extra = [(name.lower().encode(), str(value).encode()) for name, value in headers.items()]

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(event: Mapping[str, Any]) -> None:
            # A start that announces trailers is left alone, so that the headers are sent once, with the trailers.
            announces_trailers = event.get("trailers", False)
            if "headers" in event and not announces_trailers:
                event = {**event, "headers": [*event["headers"], *extra]}
            await send(event)

        await app(scope, receive, send_with_headers)

    return call


def headers_for_length(headers: Iterable[tuple[bytes, bytes]], size: int) -> list[tuple[bytes, bytes]]:
    """Return the headers of a response for a body of another size; a content-length is only added if there was one."""
    names = (b"content-length", b"content-encoding")
    had_length = any(name == b"content-length" for name, _ in headers)
    kept = [pair for pair in headers if pair[0] not in names]
    return [*kept, (b"content-length", b"%d" % size)] if had_length else kept


def counting(fault: Fault, app: App) -> App:
    """Wrap the application that makes a fault happen, so that the fault counts the requests that reach it."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        fault.once()()
        await app(scope, receive, send)

    return call


async def respond(status: int, content_type: bytes, body: bytes, send: Send) -> None:
    """Send a complete response."""
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read_body(receive: Receive) -> bytes:
    """Read all of a request's body."""
    pieces: list[bytes] = []
    more = True
    while more:
        event = await receive()
        pieces.append(event.get("body", b""))
        more = event.get("more_body", False)
    return b"".join(pieces)


def replay_body(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body that was read before, and then the events of `receive`."""
    events = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive_replayed() -> Mapping[str, Any]:
        return next(events, None) or await receive()

    return receive_replayed


async def receive_nothing() -> Mapping[str, Any]:
    """Wait forever, as for a client of which nothing more arrives, not even that it disconnected."""
    while True:
        await asyncio.Event().wait()


async def discard(event: Mapping[str, Any]) -> None:
    """Discard an event of a response that must not reach the client."""

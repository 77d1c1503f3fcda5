"""Faults in the delivery of a response: it comes late, in small pieces, only in part, or not at all."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from ..protocols.asgi import App, Receive, Scope, Send, state_of
from .asgi_parts import discard, headers_for_length, read_body, receive_nothing, replay_body, with_headers
from .faults import Fault


def delay(fault: Fault, app: App) -> App:
    """Wait before the request is handled."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(fault.options["seconds"])
        await app(scope, receive, send)

    return call


def latency(fault: Fault, app: App) -> App:
    """Lengthen the round trip of the connection, from this request on, for everything on it."""
    seconds: float = fault.options["seconds"]

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if state_of(scope)["connection"].slow_down(fault, seconds):
            await asyncio.sleep(seconds / 2)
        await app(scope, receive, send)

    return call


def drip(fault: Fault, app: App) -> App:
    """Send the response's body in small pieces, with a pause after each."""
    size, seconds = fault.options["size"], fault.options["seconds"]
    happens = fault.once()

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        connection = state_of(scope)["connection"]

        async def send_slowly(event: Mapping[str, Any]) -> None:
            body: bytes = event.get("body", b"")
            while len(body) > size and not connection.closed:
                happens()
                await send({"type": "http.response.body", "body": body[:size], "more_body": True})
                await asyncio.sleep(seconds)
                body = body[size:]
            await send({**event, "body": body} if body else event)

        await app(scope, receive, send_slowly)

    return call


def cut(fault: Fault, app: App) -> App:
    """Reset the connection, before, while or after the request is handled, or in the middle of its response."""
    return partial(_CUTS[fault.options["when"]], fault, app)


async def _cut_before(fault: Fault, app: App, scope: Scope, receive: Receive, send: Send) -> None:
    state_of(scope)["connection"].abort()


async def _cut_during(fault: Fault, app: App, scope: Scope, receive: Receive, send: Send) -> None:
    body = await read_body(receive)
    state_of(scope)["connection"].abort()
    # The delay gives the client time to retry before the first request takes effect. `receive_nothing` hides from the
    # application that the client has disconnected, which would make it stop.
    await asyncio.sleep(fault.options["seconds"])
    await app(scope, replay_body(body, receive_nothing), discard)


async def _cut_after(fault: Fault, app: App, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, discard)
    state_of(scope)["connection"].abort()


async def _cut_response(fault: Fault, app: App, scope: Scope, receive: Receive, send: Send) -> None:
    connection = state_of(scope)["connection"]

    async def send_half(event: Mapping[str, Any]) -> None:
        if event["type"] == "http.response.start":
            # An empty body would be complete before the cut. Announcing one byte makes it incomplete.
            empty = (b"content-length", b"0") in event["headers"]
            await send({**event, "headers": headers_for_length(event["headers"], 1)} if empty else event)
        elif not connection.closed:
            body: bytes = event.get("body", b"")
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            # A reset discards data that is not yet sent, and the client should receive the first half.
            await connection.flush()
            connection.abort()

    await app(scope, receive, send_half)


_CUTS = {"before": _cut_before, "during": _cut_during, "after": _cut_after, "response": _cut_response}


def refuse(fault: Fault, app: App) -> App:
    """Refuse the request as not processed: RST_STREAM with REFUSED_STREAM; over HTTP/1.1 close the connection."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await state_of(scope)["connection"].refuse(scope)

    return call


def goaway(fault: Fault, app: App) -> App:
    """Handle the request, and announce that the connection accepts no more: GOAWAY, or `connection: close`.

    GOAWAY goes out before the response, while the stream is open. Requests that cross it on the wire have a higher
    stream number than it names; `FaultMiddleware` refuses them, and the client retries them on a new connection.
    """

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["http_version"] == "2":
            await state_of(scope)["connection"].go_away()
            await app(scope, receive, send)
        else:
            await with_headers({"connection": "close"}, app)(scope, receive, send)

    return call


def half_open(fault: Fault, app: App) -> App:
    """Make the connection half-open: it stays established, but nothing is read or sent on it any more.

    That is how a client sees a server whose machine has lost power, or a firewall that has forgotten the connection.
    Over HTTP/2 all other calls on the connection hang as well.
    """

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        state_of(scope)["connection"].stop_reading()
        # If this returned, hypercorn would send a 500 in place of the missing response.
        while (await receive())["type"] != "http.disconnect":
            pass

    return call

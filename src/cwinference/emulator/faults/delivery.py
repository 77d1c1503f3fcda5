"""Faults in how an answer comes, or does not: late, piece by piece, cut off, refused, not at all."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from ..protocols.asgi import App, Receive, Scope, Send
from .asgi_parts import nothing, nowhere, of_length, read_body, told, with_headers
from .faults import Fault


def delay(fault: Fault, app: App) -> App:
    """Nothing for a while, then everything."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(fault.options["seconds"])
        await app(scope, receive, send)

    return call


def drip(fault: Fault, app: App) -> App:
    """The answer, piece by piece."""
    size, seconds = fault.options["size"], fault.options["seconds"]

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(event: Mapping[str, Any]) -> None:
            body: bytes = event.get("body", b"")
            while len(body) > size and not scope["state"]["connection"].closed:
                await send({"type": "http.response.body", "body": body[:size], "more_body": True})
                await asyncio.sleep(seconds)
                body = body[size:]
            await send({**event, "body": body} if body else event)

        await app(scope, receive, sending)

    return call


def cut(fault: Fault, app: App) -> App:
    """A connection that is reset."""
    return partial(_CUTS[fault.options["when"]], fault, app)


async def _cut_before(fault: Fault, app: App, scope: Scope, receive: Receive, send: Send) -> None:
    scope["state"]["connection"].abort()


async def _cut_during(fault: Fault, app: App, scope: Scope, receive: Receive, send: Send) -> None:
    body = await read_body(receive)
    scope["state"]["connection"].abort()
    await asyncio.sleep(fault.options["seconds"])
    await app(scope, told(body, nothing), nowhere)


async def _cut_after(fault: Fault, app: App, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, nowhere)
    scope["state"]["connection"].abort()


async def _cut_answer(fault: Fault, app: App, scope: Scope, receive: Receive, send: Send) -> None:
    connection = scope["state"]["connection"]

    async def sending(event: Mapping[str, Any]) -> None:
        if event["type"] == "http.response.start":
            empty = (b"content-length", b"0") in event["headers"]  # one more byte is promised, lest nothing be missing
            await send({**event, "headers": of_length(event["headers"], 1)} if empty else event)
        elif not connection.closed:
            body: bytes = event.get("body", b"")
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            await connection.flush()
            connection.abort()

    await app(scope, receive, sending)


_CUTS = {"before": _cut_before, "during": _cut_during, "after": _cut_after, "answer": _cut_answer}


def refuse(fault: Fault, app: App) -> App:
    """A stream that was surely not processed."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await scope["state"]["connection"].refuse(scope)

    return call


def goaway(fault: Fault, app: App) -> App:
    """An answer, and word that it is the last on this connection."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["http_version"] == "2":
            await scope["state"]["connection"].go_away()
            await app(scope, receive, send)
        else:
            await with_headers({"connection": "close"}, app)(scope, receive, send)

    return call


def half_open(fault: Fault, app: App) -> App:
    """A connection that takes everything and never answers again."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["connection"].fall_silent()
        while (await receive())["type"] != "http.disconnect":
            pass

    return call

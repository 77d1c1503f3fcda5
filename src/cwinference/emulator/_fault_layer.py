"""Makes faults happen: an ASGI application around the emulator's own, a layer for each fault that a call meets."""

import asyncio
import json
import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from .._methods import Method
from ._faults import Fault, Faults, Kind
from ._http import App, Receive, Scope, Send
from ._seam import Refusal
from ._service import AROUND, Around, Work
from ._wire import HTTP_STATUS

_CHUNK = 64 * 1024
_PREFIX = 5
"""Bytes before a gRPC message: flags and length."""

Layer: TypeAlias = Callable[[Fault, App], App]


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


def _around(work: Around, app: App) -> App:
    """The application with its work wrapped."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        token = AROUND.set((*AROUND.get(), work))
        try:
            await app(scope, receive, send)
        finally:
            AROUND.reset(token)

    return call


def _error(fault: Fault, app: App) -> App:
    refusal = Refusal(fault.options["code"], fault.options["message"], *fault.options["details"])

    def refuse(work: Work) -> Message:
        if fault.options["after_work"]:
            work()
        raise refusal

    return _with_headers(fault.options["headers"], _around(refuse, app))


def _gateway_error(fault: Fault, app: App) -> App:
    code = fault.options["code"]
    error = {"message": fault.options["message"], "type": code, "param": None, "code": code}
    answer = partial(_answer, HTTP_STATUS[code], b"application/json", json.dumps({"error": error}).encode())

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if fault.options["after_work"]:
            await app(scope, receive, _nowhere)
        await answer(send)

    return _with_headers(fault.options["headers"], call)


def _with_headers(headers: Mapping[str, str], app: App) -> App:
    extra = [(name.lower().encode(), str(value).encode()) for name, value in headers.items()]

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(event: Mapping[str, Any]) -> None:
            trailing = event.get("trailers", False)
            if "headers" in event and not trailing:
                event = {**event, "headers": [*event["headers"], *extra]}
            await send(event)

        await app(scope, receive, sending)

    return call


def _page(fault: Fault, app: App) -> App:
    status: int = fault.options["status"]
    body = f"<html><body><h1>{status}</h1></body></html>\n".encode()

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await _read(receive)
        await _answer(status, b"text/html", body, send)

    return call


def _delay(fault: Fault, app: App) -> App:
    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(fault.options["seconds"])
        await app(scope, receive, send)

    return call


def _drip(fault: Fault, app: App) -> App:
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


def _cut(fault: Fault, app: App) -> App:
    return partial(_CUTS[fault.options["when"]], fault, app)


async def _cut_before(fault: Fault, app: App, scope: Scope, receive: Receive, send: Send) -> None:
    scope["state"]["connection"].abort()


async def _cut_during(fault: Fault, app: App, scope: Scope, receive: Receive, send: Send) -> None:
    body = await _read(receive)
    scope["state"]["connection"].abort()
    await asyncio.sleep(fault.options["seconds"])
    await app(scope, _told(body, _nothing), _nowhere)


async def _cut_after(fault: Fault, app: App, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, _nowhere)
    scope["state"]["connection"].abort()


async def _cut_answer(fault: Fault, app: App, scope: Scope, receive: Receive, send: Send) -> None:
    connection = scope["state"]["connection"]

    async def sending(event: Mapping[str, Any]) -> None:
        if event["type"] == "http.response.start":
            await send(event)
        elif not connection.closed:
            body: bytes = event.get("body", b"")
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            await connection.flush()
            connection.abort()

    await app(scope, receive, sending)


_CUTS = {"before": _cut_before, "during": _cut_during, "after": _cut_after, "answer": _cut_answer}


def _refuse(fault: Fault, app: App) -> App:
    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await scope["state"]["connection"].refuse(scope)

    return call


def _goaway(fault: Fault, app: App) -> App:
    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["http_version"] == "2":
            await scope["state"]["connection"].go_away()
            await app(scope, receive, send)
        else:
            await _with_headers({"connection": "close"}, app)(scope, receive, send)

    return call


def _replaced(app: App, body_of: Callable[[Scope], Iterable[bytes]], size_of: Callable[[Scope], int]) -> App:
    """The application with another body in its answer."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        promised = False

        async def sending(event: Mapping[str, Any]) -> None:
            nonlocal promised
            if event["type"] == "http.response.start":
                headers = _of_length(event["headers"], size_of(scope))
                promised = headers != event["headers"]
                await send({**event, "headers": headers})
            elif event.get("body") or promised:  # an empty message has no bytes over Connect
                promised = False
                for piece in body_of(scope):
                    if scope["state"]["connection"].closed:
                        return
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({**event, "body": b""})
            else:
                await send(event)

        await app(scope, receive, sending)

    return call


def _garbage(fault: Fault, app: App) -> App:
    size: int = fault.options["size"]
    # No text, no JSON, and no message: a tag of more than ten bytes.
    noise = b"\xff" * min(size, 16) + random.Random(fault.seed).randbytes(max(0, size - 16))  # noqa: S311
    return _replaced(app, lambda scope: [_prefix(scope, size), noise], lambda scope: len(_prefix(scope, size)) + size)


def _oversized(fault: Fault, app: App) -> App:
    size: int = fault.options["size"]

    def pieces(scope: Scope) -> Iterable[bytes]:
        yield _prefix(scope, size)
        for start in range(0, size, _CHUNK):
            yield b" " * min(_CHUNK, size - start)

    return _replaced(app, pieces, lambda scope: len(_prefix(scope, size)) + size)


def _content_type(fault: Fault, app: App) -> App:
    wrong = str(fault.options["content_type"]).encode()

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(event: Mapping[str, Any]) -> None:
            if event["type"] == "http.response.start":
                kept = [pair for pair in event["headers"] if pair[0] != b"content-type"]
                event = {**event, "headers": [*kept, (b"content-type", wrong)]}
            await send(event)

        await app(scope, receive, sending)

    return call


def _half_open(fault: Fault, app: App) -> App:
    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["connection"].fall_silent()
        while (await receive())["type"] != "http.disconnect":
            pass

    return call


def _skew(fault: Fault, app: App) -> App:
    def shifted(work: Work) -> Message:
        reply = work()
        copy = type(reply)()
        copy.CopyFrom(reply)
        _shift(copy, fault.options["seconds"])
        return copy

    return _around(shifted, app)


def _shift(message: Any, seconds: float) -> None:
    if isinstance(message, Timestamp):
        message.FromNanoseconds(message.ToNanoseconds() + round(seconds * 1e9))
        return
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None and not descriptor.message_type.GetOptions().map_entry:
            for each in value if descriptor.is_repeated else [value]:
                _shift(each, seconds)


def _duplicate(fault: Fault, app: App) -> App:
    def twice(work: Work) -> Message:
        with suppress(Refusal):
            work()
        return work()

    return _around(twice, app)


def _duplicate_request(fault: Fault, app: App) -> App:
    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        await app(scope, _told(body, receive), _nowhere)
        await app(scope, _told(body, receive), send)

    return call


_LAYERS: Mapping[Kind, Layer] = {
    "error": _error,
    "page": _page,
    "delay": _delay,
    "drip": _drip,
    "cut": _cut,
    "refuse": _refuse,
    "goaway": _goaway,
    "garbage": _garbage,
    "oversized": _oversized,
    "content_type": _content_type,
    "half_open": _half_open,
    "skew": _skew,
    "duplicate": _duplicate,
}
_GATEWAY_LAYERS: Mapping[Kind, Layer] = {**_LAYERS, "error": _gateway_error, "duplicate": _duplicate_request}


async def _answer(status: int, content_type: bytes, body: bytes, send: Send) -> None:
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    return body


def _told(body: bytes, receive: Receive) -> Receive:
    """A body that was read, once, and then what `receive` gives."""
    events = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receiving() -> Mapping[str, Any]:
        return next(events, None) or await receive()

    return receiving


async def _nothing() -> Mapping[str, Any]:
    """What comes from a client that is never heard of again."""
    while True:
        await asyncio.Event().wait()


async def _nowhere(event: Mapping[str, Any]) -> None:
    """Where answers go that nobody shall see."""


def _prefix(scope: Scope, size: int) -> bytes:
    kind: bytes = dict(scope["headers"]).get(b"content-type", b"")
    return b"\0" + size.to_bytes(_PREFIX - 1, "big") if kind.startswith(b"application/grpc") else b""


def _of_length(headers: Iterable[tuple[bytes, bytes]], size: int) -> list[tuple[bytes, bytes]]:
    names = (b"content-length", b"content-encoding")
    had_length = any(name == b"content-length" for name, _ in headers)
    kept = [pair for pair in headers if pair[0] not in names]
    return [*kept, (b"content-length", b"%d" % size)] if had_length else kept

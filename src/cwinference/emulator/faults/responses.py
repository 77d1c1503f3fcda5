"""Faults in what is answered: errors, pages, garbage, wrong names and times, and work that is done twice."""

import json
import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from ..interfaces import Refusal
from ..protocols.asgi import SKEW, App, Receive, Scope, Send
from ..protocols.codecs import HTTP_STATUS
from ..protocols.service import AROUND, Around, Work
from .asgi_parts import nowhere, of_length, read_body, told, whole_answer, with_headers
from .faults import Fault

_CHUNK = 64 * 1024
_PREFIX = 5
"""Bytes before a gRPC message: flags and length."""


def _around(work: Around, app: App) -> App:
    """The application with its work wrapped."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        token = AROUND.set((*AROUND.get(), work))
        try:
            await app(scope, receive, send)
        finally:
            AROUND.reset(token)

    return call


def error(fault: Fault, app: App) -> App:
    """The code, in the form of its protocol; the work is done before or not at all."""
    refusal = Refusal(fault.options["code"], fault.options["message"], *fault.options["details"])

    def refuse(work: Work) -> Message:
        if fault.options["after_work"]:
            work()
        raise refusal

    return with_headers(fault.options["headers"], _around(refuse, app))


def gateway_error(fault: Fault, app: App) -> App:
    """The code, in the form that OpenAI's clients understand."""
    code = fault.options["code"]
    error = {"message": fault.options["message"], "type": code, "param": None, "code": code}
    answer = partial(whole_answer, HTTP_STATUS[code], b"application/json", json.dumps({"error": error}).encode())

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if fault.options["after_work"]:
            await app(scope, receive, nowhere)
        else:
            await read_body(receive)
        await answer(send)

    return with_headers(fault.options["headers"], call)


def page(fault: Fault, app: App) -> App:
    """An HTML page, as a proxy gives it."""
    status: int = fault.options["status"]
    body = f"<html><body><h1>{status}</h1></body></html>\n".encode()

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await whole_answer(status, b"text/html", body, send)

    return call


def _replaced(app: App, body_of: Callable[[Scope], Iterable[bytes]], size_of: Callable[[Scope], int]) -> App:
    """The application with another body in its answer."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        promised = False

        async def sending(event: Mapping[str, Any]) -> None:
            nonlocal promised
            if event["type"] == "http.response.start":
                headers = of_length(event["headers"], size_of(scope))
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


def garbage(fault: Fault, app: App) -> App:
    """Bytes that are no message, in the right place."""
    size: int = fault.options["size"]
    # No text, no JSON, and no message: a tag of more than ten bytes.
    noise = b"\xff" * min(size, 16) + random.Random(fault.seed).randbytes(max(0, size - 16))  # noqa: S311
    return _replaced(app, lambda scope: [_prefix(scope, size), noise], lambda scope: len(_prefix(scope, size)) + size)


def oversized(fault: Fault, app: App) -> App:
    """More bytes than clients accept, in the right place."""
    size: int = fault.options["size"]

    def pieces(scope: Scope) -> Iterable[bytes]:
        yield _prefix(scope, size)
        for start in range(0, size, _CHUNK):
            yield b" " * min(_CHUNK, size - start)

    return _replaced(app, pieces, lambda scope: len(_prefix(scope, size)) + size)


def content_type(fault: Fault, app: App) -> App:
    """The answer under a wrong name."""
    wrong = str(fault.options["content_type"]).encode()

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(event: Mapping[str, Any]) -> None:
            if event["type"] == "http.response.start":
                kept = [pair for pair in event["headers"] if pair[0] != b"content-type"]
                event = {**event, "headers": [*kept, (b"content-type", wrong)]}
            await send(event)

        await app(scope, receive, sending)

    return call


def skew(fault: Fault, app: App) -> App:
    """Times from a server whose clock goes wrong, its Date among them."""
    seconds: float = fault.options["seconds"]

    def shifted(work: Work) -> Message:
        reply = work()
        copy = type(reply)()
        copy.CopyFrom(reply)
        _shift(copy, seconds)
        return copy

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        SKEW.set(SKEW.get() + seconds)
        await _around(shifted, app)(scope, receive, send)

    return call


def _shift(message: Any, seconds: float) -> None:
    if isinstance(message, Timestamp):
        message.FromNanoseconds(message.ToNanoseconds() + round(seconds * 1e9))
        return
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None and not descriptor.message_type.GetOptions().map_entry:
            for each in value if descriptor.is_repeated else [value]:
                _shift(each, seconds)


def duplicate(fault: Fault, app: App) -> App:
    """The work done twice; the answer is that of the second time."""

    def twice(work: Work) -> Message:
        with suppress(Refusal):
            work()
        return work()

    return _around(twice, app)


def duplicate_request(fault: Fault, app: App) -> App:
    """The same for a whole request, below a gateway."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        await app(scope, told(body, receive), nowhere)
        await app(scope, told(body, receive), send)

    return call


def _prefix(scope: Scope, size: int) -> bytes:
    kind: bytes = dict(scope["headers"]).get(b"content-type", b"")
    return b"\0" + size.to_bytes(_PREFIX - 1, "big") if kind.startswith(b"application/grpc") else b""

"""Faults in what a response says: errors, pages, garbage, wrong content types and times; and requests handled twice."""

import json
import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from ..interfaces import RpcError
from ..protocols.asgi import App, Receive, Scope, Send, state_of
from ..protocols.codecs import HTTP_STATUS
from ..protocols.service import CallNext
from .asgi_parts import (
    discard,
    headers_for_length,
    read_body,
    replay_body,
    respond,
    with_headers,
    with_interceptor,
)
from .faults import Fault

_CHUNK = 64 * 1024
_PREFIX = 5
"""Bytes before a gRPC message: flags and length."""


def error(fault: Fault, app: App) -> App:
    """Fail the call with a status code, in the form of its protocol, before or after its method is run."""
    injected = RpcError(fault.options["code"], fault.options["message"], *fault.options["details"])

    def fail(call_next: CallNext) -> Message:
        if fault.options["after_work"]:
            call_next()
        raise injected

    return with_headers(fault.options["headers"], with_interceptor(fault, fail, app))


def gateway_error(fault: Fault, app: App) -> App:
    """Respond with an error in OpenAI's form; used in place of `error` below gateways."""
    code = fault.options["code"]
    fields = {"message": fault.options["message"], "type": code, "param": None, "code": code}
    send_error = partial(respond, HTTP_STATUS[code], b"application/json", json.dumps({"error": fields}).encode())

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if fault.options["after_work"]:
            await app(scope, receive, discard)
        else:
            await read_body(receive)
        await send_error(send)

    return with_headers(fault.options["headers"], call)


def page(fault: Fault, app: App) -> App:
    """Respond with an HTML page, as a proxy does."""
    status: int = fault.options["status"]
    body = f"<html><body><h1>{status}</h1></body></html>\n".encode()

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await respond(status, b"text/html", body, send)

    return call


def _with_body(
    fault: Fault, app: App, body_of: Callable[[Scope], Iterable[bytes]], size_of: Callable[[Scope], int]
) -> App:
    """Wrap an application so that its responses have another body; status, headers and trailers stay the same."""

    happens = fault.once()

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        connection = state_of(scope)["connection"]
        must_send = False

        async def send_replaced(event: Mapping[str, Any]) -> None:
            nonlocal must_send
            if event["type"] == "http.response.start":
                headers = headers_for_length(event["headers"], size_of(scope))
                # An empty message has no bytes over Connect, but its body is replaced too: its length was announced.
                must_send = headers != event["headers"]
                if must_send:
                    happens()  # before the client knows the length, which may be all that it reads
                await send({**event, "headers": headers})
            elif event.get("body") or must_send:
                must_send = False
                happens()
                for piece in body_of(scope):
                    if connection.closed:
                        return
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({**event, "body": b""})
            else:
                await send(event)

        await app(scope, receive, send_replaced)

    return call


def garbage(fault: Fault, app: App) -> App:
    """Replace the response's message by bytes that are not one, over gRPC behind a valid prefix."""
    size: int = fault.options["size"]
    # 0xff is not valid in UTF-8, hence not in JSON. Sixteen of them are not protobuf: a tag has at most ten bytes.
    noise = b"\xff" * min(size, 16) + random.Random(fault.seed).randbytes(max(0, size - 16))  # noqa: S311
    return _with_body(
        fault, app, lambda scope: [_prefix(scope, size), noise], lambda scope: len(_prefix(scope, size)) + size
    )


def oversized(fault: Fault, app: App) -> App:
    """Replace the response's message by more bytes than clients accept."""
    size: int = fault.options["size"]

    def pieces(scope: Scope) -> Iterable[bytes]:
        yield _prefix(scope, size)
        for start in range(0, size, _CHUNK):
            yield b" " * min(_CHUNK, size - start)

    return _with_body(fault, app, pieces, lambda scope: len(_prefix(scope, size)) + size)


def content_type(fault: Fault, app: App) -> App:
    """Replace the response's content type."""
    replacement = str(fault.options["content_type"]).encode()
    happens = fault.once()

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_replaced(event: Mapping[str, Any]) -> None:
            if event["type"] == "http.response.start":
                happens()
                kept = [pair for pair in event["headers"] if pair[0] != b"content-type"]
                event = {**event, "headers": [*kept, (b"content-type", replacement)]}
            await send(event)

        await app(scope, receive, send_replaced)

    return call


def skew(fault: Fault, app: App) -> App:
    """Shift all times in the response, and its Date header, as if the server's clock were wrong."""
    seconds: float = fault.options["seconds"]

    def shift_times(call_next: CallNext) -> Message:
        response = call_next()
        copy = type(response)()  # the response may still be part of the API's own state
        copy.CopyFrom(response)
        _shift(copy, seconds)
        return copy

    with_shifted_times = with_interceptor(fault, shift_times, app)

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        state = state_of(scope)
        state["clock_offset"] = state.get("clock_offset", 0.0) + seconds
        await with_shifted_times(scope, receive, send)

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
    """Run the method twice, and respond with the second result."""

    def run_twice(call_next: CallNext) -> Message:
        with suppress(RpcError):
            call_next()
        return call_next()

    return with_interceptor(fault, run_twice, app)


def duplicate_request(fault: Fault, app: App) -> App:
    """Handle the request twice, and send the second response; used in place of `duplicate` below gateways."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        await app(scope, replay_body(body, receive), discard)
        await app(scope, replay_body(body, receive), send)

    return call


def _prefix(scope: Scope, size: int) -> bytes:
    kind: bytes = dict(scope["headers"]).get(b"content-type", b"")
    return b"\0" + size.to_bytes(_PREFIX - 1, "big") if kind.startswith(b"application/grpc") else b""

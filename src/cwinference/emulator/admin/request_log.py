"""A log of the last requests, for people who look at what their client sends, and for tests that check it.

Recording is part of every call, so it does as little as possible: it keeps a few short strings of bytes. What they mean
is found out when somebody asks.
"""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from ..protocols.asgi import App, Receive, Scope, Send

CAPACITY = 1000
"""How many requests are kept."""
_BINARY = (b"application/grpc", b"application/proto")
"""What the content types of binary requests begin with: their bodies are never shown."""
_MAX_PATH, _MAX_HEADERS, _MAX_BODY = 256, 896, 256
"""How many bytes of each are kept. So a full log has less than 2 MB."""


@dataclass(slots=True)
class RecordedRequest:
    """A request and its response, as far as they are kept."""

    started: float
    """When it arrived, by `time.perf_counter`."""
    verb: str
    path: bytes
    """With the query."""
    headers: bytes
    """Names and values in turn, each on a line."""
    request: bytes = b""
    """The beginning of the body, unless it is binary."""
    response: bytes = b""
    """The beginning of the response's body."""
    status: int = 0
    """The HTTP status; 0: there was no response."""
    grpc_status: bytes | None = None
    """The status in the trailers of gRPC."""
    ms: float = 0.0
    number: int = 0
    """Counts from 1."""


class RequestLog:
    """An ASGI application that records the requests to another one.

    All calls but `clear` come from the event loop's thread.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._requests: deque[RecordedRequest] = deque(maxlen=CAPACITY)
        self._count = 0
        self._epoch = time.time() - time.perf_counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and record it when its response ends, or when there will be none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        query, fields = scope["query_string"], scope["headers"]
        request = RecordedRequest(
            started=time.perf_counter(),
            verb=scope["method"],
            path=(b"%s?%s" % (scope["raw_path"], query) if query else scope["raw_path"])[:_MAX_PATH],
            headers=b"\n".join(chain.from_iterable(fields))[:_MAX_HEADERS],
        )
        is_binary = any(name == b"content-type" and value.startswith(_BINARY) for name, value in fields)
        try:
            await self._app(scope, receive if is_binary else _recorded(receive, request), self._recorded(send, request))
        finally:
            if not request.number:
                self._add(request)

    def last(self, limit: int = CAPACITY, after: int = 0) -> Sequence[RecordedRequest]:
        """Return the newest requests, oldest first: at most so many, of those with a higher number than `after`."""
        every = list(self._requests)  # at once, since `clear` may be called on another thread
        return [each for each in every if each.number > after][-limit:]

    def clear(self) -> None:
        """Forget all requests. Numbers go on."""
        self._requests.clear()

    def at(self, request: RecordedRequest) -> float:
        """Return when a request arrived, in seconds since 1970."""
        return self._epoch + request.started

    def _recorded(self, send: Send, request: RecordedRequest) -> Send:
        """Return a `send` that records the response, and the request with it when it ends."""
        has_trailers = False

        async def send_recorded(event: Mapping[str, Any]) -> None:
            nonlocal has_trailers
            kind = event["type"]
            if kind == "http.response.body":
                request.response = request.response or event.get("body", b"")[:_MAX_BODY]
                is_last = not has_trailers and not event.get("more_body", False)
            elif kind == "http.response.start":
                request.status, has_trailers = event["status"], event.get("trailers", False)
                is_last = False
            else:
                request.grpc_status = next((value for name, value in event["headers"] if name == b"grpc-status"), None)
                is_last = True
            # Before the end is sent: the client may ask for the log as soon as it has the response.
            if is_last and not request.number:
                self._add(request)
            await send(event)

        return send_recorded

    def _add(self, request: RecordedRequest) -> None:
        request.ms = (time.perf_counter() - request.started) * 1000
        self._count += 1
        request.number = self._count
        self._requests.append(request)


def _recorded(receive: Receive, request: RecordedRequest) -> Receive:
    """Return a `receive` that records the beginning of the body."""

    async def receive_recorded() -> Mapping[str, Any]:
        event = await receive()
        if not request.request:
            request.request = event.get("body", b"")[:_MAX_BODY]
        return event

    return receive_recorded

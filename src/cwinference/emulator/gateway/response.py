"""How a completion is sent: in one piece, as a stream of events, or byte by byte as another server sends it."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ..protocols.asgi import AsgiExchange

Observe: TypeAlias = Callable[[bytes, tuple[int, str] | None], None]
"""Gets a part of a body; of a complete response together with its status and its content type."""


def encode_json(body: Any) -> bytes:
    """Encode a body as compactly as OpenAI's servers do."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


class ResponseWriter:
    """Sends one response: either with `send`, or with any number of `event` or `write` and then `done` or `end`."""

    def __init__(self, exchange: AsgiExchange, headers: Mapping[str, str]) -> None:
        self._exchange = exchange
        self.headers = dict(headers)
        """Sent with the response, whatever it is; may be changed until then."""
        self.started = False
        """Whether the status and the headers were sent."""

    async def send(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        """Send a complete response."""
        self.started = True
        await self._exchange.respond(status, self._encoded_headers(content_type), body)

    async def write(self, data: bytes) -> None:
        """Send a part of a stream, with status 200 and the headers before the first. Waits for a slow client."""
        if not self.started:
            self.started = True
            headers = [*self._encoded_headers("text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
            await self._exchange.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._exchange.send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """End a stream."""
        await self._exchange.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def event(self, data: Any) -> None:
        """Send one server-sent event."""
        await self.write(b"data: " + encode_json(data) + b"\n\n")

    async def done(self) -> None:
        """End a stream of events with `[DONE]`, by which OpenAI's clients know that it is complete."""
        await self.write(b"data: [DONE]\n\n")
        await self.end()

    def _encoded_headers(self, content_type: str) -> list[tuple[bytes, bytes]]:
        headers = {"content-type": content_type, **self.headers}
        return [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]


class ObservedWriter(ResponseWriter):
    """Sends one response by another writer, and reports what it sends."""

    def __init__(self, writer: ResponseWriter, observe: Observe) -> None:
        super().__init__(writer._exchange, {})
        self._writer = writer
        self._observe = observe
        self.headers = writer.headers

    async def send(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        """Send a complete response."""
        self._observe(body, (status, content_type))
        self.started = True
        await self._writer.send(status, body, content_type)

    async def write(self, data: bytes) -> None:
        """Send a part of a stream."""
        self._observe(data, None)
        self.started = True
        await self._writer.write(data)

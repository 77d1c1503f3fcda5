"""A completion's answer on its way: in one piece, as a stream of events, or as another server's bytes."""

import json
from collections.abc import Mapping
from typing import Any

from ..protocols.asgi import Exchange


def encoded(body: Any) -> bytes:
    """JSON as OpenAI's servers write it."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


class Reply:
    """Either `whole`, or any number of `event`s or `write`s and then `done` or `end`."""

    def __init__(self, exchange: Exchange, headers: Mapping[str, str]) -> None:
        self._exchange = exchange
        self.headers = dict(headers)
        """Sent with whatever the answer turns out to be."""
        self.started = False

    async def whole(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        """Send all of an answer."""
        self.started = True
        await self._exchange.answer(status, self._pairs(content_type), body)

    async def write(self, data: bytes) -> None:
        """Send a piece of a stream, which the first one begins; waits while the client is slow to read."""
        if not self.started:
            self.started = True
            headers = [*self._pairs("text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
            await self._exchange.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._exchange.send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """End a stream."""
        await self._exchange.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def event(self, data: Any) -> None:
        """Send one server-sent event."""
        await self.write(b"data: " + encoded(data) + b"\n\n")

    async def done(self) -> None:
        """End a stream of events with the mark that OpenAI's clients wait for."""
        await self.write(b"data: [DONE]\n\n")
        await self.end()

    def _pairs(self, content_type: str) -> list[tuple[bytes, bytes]]:
        headers = {"content-type": content_type, **self.headers}
        return [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]

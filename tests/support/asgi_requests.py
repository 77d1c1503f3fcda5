"""Requests to an ASGI application without a socket."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class AppResponse:
    """What the application sent, as far as it got."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    complete: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        """The error object, in OpenAI's form."""
        return self.json["error"]

    @property
    def events(self) -> list[Any]:
        """The server-sent events of a stream: parsed JSON, or the text `[DONE]`."""
        data = [block.removeprefix("data: ") for block in self.body.decode().split("\n\n") if block]
        return [each if each == "[DONE]" else json.loads(each) for each in data]


async def call_app(
    app: Any, verb: str, path: str, body: Any = None, headers: Any = None, *, disconnect_after: int | None = None
) -> AppResponse:
    """Send `body`, bytes or encoded as JSON; disconnect after so many pieces of the response's body."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    response, disconnected = AppResponse(), asyncio.Event()
    requests = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> Mapping[str, Any]:
        if requests:
            return requests.pop()
        await disconnected.wait()
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            response.status = message["status"]
            response.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        response.pieces.append(message.get("body", b""))
        response.complete = not message.get("more_body", False)
        if len(response.pieces) == disconnect_after:
            disconnected.set()

    scope = {
        "type": "http",
        "method": verb,
        "path": path,
        "raw_path": path.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
    }
    if disconnect_after == 0:
        disconnected.set()
    await app(scope, receive, send)
    return response

"""Requests to an ASGI application without a socket."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answer:
    """What came back, as far as it came."""

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


async def ask(
    app: Any,
    verb: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    *,
    leave_after: int | None = None,
) -> Answer:
    """Send one request; `body` is bytes, or made JSON. The client leaves after so many pieces of the answer's body."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    answer, left = Answer(), asyncio.Event()
    requests = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> Mapping[str, Any]:
        if requests:
            return requests.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        answer.pieces.append(message.get("body", b""))
        answer.complete = not message.get("more_body", False)
        if len(answer.pieces) == leave_after:
            left.set()

    scope = {
        "type": "http",
        "method": verb,
        "path": path,
        "raw_path": path.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
    }
    if leave_after == 0:
        left.set()
    await app(scope, receive, send)
    return answer

"""Records and replays completions, by their route and their body: whichever gateway routes them, and to whom."""

import json
from collections.abc import Mapping
from typing import Any

from ..gateway.models import TextModel
from ..gateway.openai_request import GatewayError, ModelRequest
from ..gateway.response import ObservedWriter, ResponseWriter, encode_json
from .tape import Recorder, Tape

_STREAM = "text/event-stream"


class RecordedModel:
    """A model that records the completions of another one."""

    def __init__(self, model: TextModel, recorder: Recorder) -> None:
        self._model = model
        self._recorder = recorder
        self.start, self.close = model.start, model.close

    async def complete(self, request: ModelRequest, response: ResponseWriter) -> None:
        """Generate one completion, and record it when it is complete."""
        seen: list[bytes] = []
        status, content_type = 200, f"{_STREAM}; charset=utf-8"

        def observe(data: bytes, head: tuple[int, str] | None) -> None:
            nonlocal status, content_type
            status, content_type = head or (status, content_type)
            seen.append(data)

        try:
            await self._model.complete(request, ObservedWriter(response, observe))
        except GatewayError as error:
            if not seen:
                status, content_type, seen = error.status, "application/json", [encode_json(error.body)]
                self._add(request, status, content_type, b"".join(seen))
            raise
        self._add(request, status, content_type, b"".join(seen))

    def _add(self, request: ModelRequest, status: int, content_type: str, body: bytes) -> None:
        text = body.decode("utf-8", "replace")
        self._recorder.add({**_line(request), "status": status, "content_type": content_type, "body": text})


class ReplayedModel:
    """A model that responds from a recording, if the request is in it, and else as another one."""

    def __init__(self, model: TextModel, tape: Tape) -> None:
        self._model = model
        self._tape = tape
        self.start, self.close = model.start, model.close

    async def complete(self, request: ModelRequest, response: ResponseWriter) -> None:
        """Send the completion that was recorded, event by event if it is a stream, or generate one."""
        found = self._tape.next(_line(request))
        if found is None:
            await self._model.complete(request, response)
            return
        content_type = str(found.get("content_type", "application/json"))
        if not content_type.startswith(_STREAM):
            await response.send(found["status"], found["body"].encode(), content_type)
            return
        for event in found["body"].split("\n\n"):
            if event:
                await response.write(f"{event}\n\n".encode())
        await response.end()


def _line(request: ModelRequest) -> Mapping[str, Any]:
    return {"route": request.route, "request": json.loads(encode_json(request.body))}

"""A server over HTTP/2 that is 80 ms away: streams and unary calls, whose callers hang up while more is on its way."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Self

from cwinference import types
from cwinference.emulator.faults.asgi_parts import read_body
from cwinference.emulator.faults.faults import Faults
from cwinference.emulator.faults.middleware import FaultMiddleware
from cwinference.emulator.protocols.asgi import Receive, Scope, Send
from cwinference.emulator.server import Certificate, Server

from .samples import BY_NAME, response_to
from .scripted_model_server import DONE, chunk_event

ROUND_TRIP = 0.08
LONG, PROMPT = "long", "prompt"
"""The model, or the id of a gateway, of calls that last until `finish`, and of calls that get a response at once.

Any other is the name of a call whose caller gives it up.
"""
_LATE_EVENTS = 4
_GATEWAY = response_to(BY_NAME["GetGateway"]).SerializeToString()


class DistantServer:
    """Runs for as long as its `with` block.

    A long stream has the text "a", and after `finish` also "b". One that is given up has the text "a", and after
    `leave` more, for which its caller does not wait: it meets the reset of the stream on its way. A unary call gets its
    whole response at these times. Calls that are given up are reported to `on_arrival`.

    Args:
        seconds: the round trip.
        certificate: for https.
    """

    def __init__(self, seconds: float = ROUND_TRIP, certificate: Certificate | None = None) -> None:
        self._left: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._finished = asyncio.Event()
        faults = Faults()
        faults.add("latency", seconds=seconds)
        self._server = Server(FaultMiddleware(self._respond, faults, lambda *_: None), tls=certificate)
        self.url = f"{'https' if certificate else 'http'}://localhost:{self._server.port}"
        self.on_arrival: Callable[[str], object] = lambda name: None
        self.given_up_on = Counter[object]()
        """How many calls that are given up came by each connection. (Its port may be used again by another one.)"""

    @property
    def open_connections(self) -> int:
        """How many connections are open."""
        return len(self._server._connections)

    def leave(self, name: str) -> None:
        """Send more to a caller who hangs up just now."""
        self._call(lambda: self._left[name].set())

    def finish(self) -> None:
        """Complete all long calls."""
        self._call(self._finished.set)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def _call(self, action: Callable[[], object]) -> None:
        self._server._loop.call_soon_threadsafe(action)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        is_stream = scope["path"].endswith("/completions")
        name = json.loads(body)["model"] if is_stream else types.GetGatewayRequest.FromString(body).id
        if name not in (LONG, PROMPT):
            self.given_up_on[scope["state"]["connection"]] += 1
            self.on_arrival(name)
        working = asyncio.create_task(self._send_stream(name, send) if is_stream else self._send_whole(name, send))
        leaving = asyncio.create_task(_wait_until_left(receive))
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        for each in (working, leaving):
            each.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)

    async def _send_stream(self, name: str, send: Send) -> None:
        await send(_start(b"text/event-stream"))
        await send(_piece(chunk_event("a")))
        await self._may_end(name)
        if name == LONG:
            await send(_piece(chunk_event("b") + DONE, more=False))
            return
        for _ in range(_LATE_EVENTS):
            await send(_piece(chunk_event("late")))
            await asyncio.sleep(0)  # each in a frame of its own
        await asyncio.Event().wait()

    async def _send_whole(self, name: str, send: Send) -> None:
        await self._may_end(name)
        await send(_start(b"application/proto", (b"content-length", b"%d" % len(_GATEWAY))))
        await send(_piece(_GATEWAY, more=False))

    async def _may_end(self, name: str) -> None:
        if name != PROMPT:
            await (self._finished if name == LONG else self._left[name]).wait()


def _start(content_type: bytes, *more: tuple[bytes, bytes]) -> Mapping[str, Any]:
    return {"type": "http.response.start", "status": 200, "headers": [(b"content-type", content_type), *more]}


def _piece(body: bytes, *, more: bool = True) -> Mapping[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def _wait_until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

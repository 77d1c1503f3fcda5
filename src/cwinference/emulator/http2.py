"""hypercorn's HTTP/2, with a fix for requests that it cannot read: it would end their connection."""

from typing import Any
from urllib.parse import quote

import hypercorn.protocol
from h2.events import RequestReceived
from hypercorn.protocol.h2 import H2Protocol

_ASCII = "".join(map(chr, range(128)))


class _TolerantH2Protocol(H2Protocol):
    """HTTP/2 whose requests have a method and a path in ASCII, so that each gets a response on its stream."""

    async def _create_stream(self, request: RequestReceived) -> None:
        headers = dict(request.headers)
        # CONNECT has no path, and the bytes of method and path may be any.
        line = {name: headers.get(name, b"*") for name in (b":method", b":path")}
        others = [pair for pair in request.headers if pair[0] not in line]
        request.headers = [*((name, quote(value, safe=_ASCII).encode()) for name, value in line.items()), *others]
        await super()._create_stream(request)


def install() -> None:
    """Let hypercorn use it, which offers no other way to choose the class."""
    module: Any = hypercorn.protocol
    module.H2Protocol = _TolerantH2Protocol

"""A client's connection to the server, below HTTP: what faults do to it, and how it ends when the server stops."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, cast

from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.stream import StreamState
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.events import RawData
from hypercorn.protocol.h2 import H2Protocol
from hyperframe.frame import GoAwayFrame

from .faults.slow_link import SlowTransport
from .protocols.asgi import ClientConnection, Scope

_FLUSH_POLL_SECONDS, _FLUSH_POLLS = 0.001, 100
"""How often, and how many times at most, to check whether everything was sent."""


class ServerConnection(ClientConnection):
    """A client's connection, for what happens below HTTP. Requests have it as `scope["state"]["connection"]`."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self._transport = cast(SlowTransport, writer.transport)
        self.server: TCPServer | None = None
        self.has_received_request = False
        self._last_accepted_stream: int | None = None
        """The last stream that GOAWAY promised to process; None before GOAWAY."""

    @property
    def closed(self) -> bool:
        """Whether the connection is closed, so that nothing sent now arrives."""
        return self.writer.is_closing()

    def abort(self) -> None:
        """Reset the connection; what was written and not yet sent is lost."""
        self._transport.abort()

    async def flush(self) -> None:
        """Wait until everything written so far was handed to the operating system, at most 0.1 s on a fast link."""
        # asyncio's `drain` is not enough: it returns as soon as its buffer is below the high-water mark. And hypercorn
        # has a buffer of its own for each HTTP/2 stream, in which data waits for flow control.
        for _ in range(_FLUSH_POLLS + int(self._transport.link.seconds / _FLUSH_POLL_SECONDS)):
            if not self._has_unsent_data():
                return
            await asyncio.sleep(_FLUSH_POLL_SECONDS)

    def stop_reading(self) -> None:
        """Read nothing more, and leave the connection open: to the client it looks half-open.

        The kernel goes on acknowledging data until its receive buffer is full, so the client sees no error; but neither
        a response nor an acknowledged HTTP/2 ping ever comes.
        """
        self._transport.stop_reading()

    def slow_down(self, cause: object, seconds: float) -> bool:
        """Lengthen the round trip, once for each cause; return whether the request arrived before, without delay."""
        return self._transport.link.slow_down(cause, seconds)

    def ignore_late_data(self) -> None:
        """Ignore what arrives of a request's body after its response; hypercorn would drop the connection.

        hypercorn forgets an HTTP/2 stream when its response is complete, and a DATA frame for it raises KeyError, which
        ends all other streams of the connection. It also ends a stream once more after its trailers have ended it: h2
        takes it for closed then, and resets it when more arrives, which destroys the response that is on its way.
        """
        protocol = self._http2()
        if protocol is not None and not isinstance(protocol.streams, _OpenStreams):
            protocol.streams = _OpenStreams(protocol.streams)
            http2 = protocol.connection
            vars(http2)["end_stream"] = partial(_end_once, http2, http2.end_stream)

    async def go_away(self) -> None:
        """Send GOAWAY over HTTP/2: streams up to the newest are processed, later ones are not.

        Over HTTP/1.1 do nothing.
        """
        # h2's `close_connection` also closes its state machine, which fails every stream in flight. The frame is
        # therefore serialized by hand, and h2 does not learn of it: it goes on accepting streams, so `is_beyond_goaway`
        # and `refuse` have to keep the promise.
        protocol = self._http2()
        if protocol is not None:
            self._last_accepted_stream = protocol.connection.highest_inbound_stream_id
            await self._send(GoAwayFrame(last_stream_id=self._last_accepted_stream).serialize())

    async def announce_shutdown(self) -> None:
        """Send GOAWAY before the server stops, so that no new call is lost; close a connection that was never used."""
        protocol = self._http2()
        if not self.has_received_request:
            self.writer.close()
        elif protocol is not None:
            # Once the server is stopping, hypercorn resets new streams by `reset_stream(stream_id)`, which means
            # NO_ERROR: clients cannot know that such a call was not processed. REFUSED_STREAM says so, and they retry.
            # hypercorn then changes the settings, without regard to a connection that has ended meanwhile.
            http2 = protocol.connection
            vars(http2)["reset_stream"] = partial(
                _unless_closed, http2.reset_stream, error_code=ErrorCodes.REFUSED_STREAM
            )
            vars(http2)["update_settings"] = partial(_unless_closed, http2.update_settings)
            await self.go_away()

    def is_beyond_goaway(self, scope: Scope) -> bool:
        """Return whether a request came after the last one that GOAWAY accepted."""
        return self._last_accepted_stream is not None and self._stream_id(scope) > self._last_accepted_stream

    async def refuse(self, scope: Scope) -> None:
        """Refuse a request as not processed.

        Over HTTP/2 its stream is reset with REFUSED_STREAM, which guarantees exactly that (RFC 9113, section 8.7), and
        the connection stays open. HTTP/1.1 has no equivalent: the connection is closed.
        """
        protocol = self._http2()
        if protocol is None:
            self.writer.close()
        else:
            http2 = protocol.connection
            _unless_closed(http2.reset_stream, self._stream_id(scope), error_code=ErrorCodes.REFUSED_STREAM)
            await self._send(http2.data_to_send())

    def _stream_id(self, scope: Scope) -> int:
        """Return the number of a request's stream. It is not in its scope, but hypercorn's streams know theirs."""
        protocol = self._http2()
        streams = cast("dict[int, Any]", protocol.streams if protocol else {})
        return next((number for number, stream in streams.items() if stream.scope is scope), 0)

    def _has_unsent_data(self) -> bool:
        protocol = self._http2()
        buffers = protocol.stream_buffers.values() if protocol else ()
        return any(each.buffer for each in buffers) or self._transport.has_unsent_data()

    def _http2(self) -> H2Protocol | None:
        protocol = None if self.server is None else self.server.protocol.protocol
        return protocol if isinstance(protocol, H2Protocol) else None

    async def _send(self, data: bytes) -> None:
        if self.server is not None:
            await self.server.protocol_send(RawData(data))


def _unless_closed(send_frame: Callable[..., object], *args: object, **options: object) -> None:
    """Let h2 send a frame, unless the stream or the connection has ended meanwhile."""
    with suppress(ProtocolError):
        send_frame(*args, **options)


def _end_once(http2: H2Connection, end_stream: Callable[[int], None], stream_id: int) -> None:
    """End a stream, unless that was done before."""
    stream = http2.streams.get(stream_id)
    if stream is None or stream.state_machine.state not in (StreamState.HALF_CLOSED_LOCAL, StreamState.CLOSED):
        end_stream(stream_id)


class _OpenStreams(dict[int, Any]):
    """The open streams of an HTTP/2 connection by their numbers; any other number gives a closed one."""

    def __missing__(self, number: int) -> "_ClosedStream":
        return _ClosedStream()


class _ClosedStream:
    async def handle(self, event: object) -> None:
        """Ignore an event."""

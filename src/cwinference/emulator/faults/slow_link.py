"""Connections with a longer round trip: their bytes are passed on later, in both directions, in order, at any rate."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias, cast

ClientConnected: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]


class _DelayLine:
    """One direction of a connection: what is put into it happens `seconds` later, in the same order."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.seconds = 0.0
        self._loop = loop
        self._waiting: deque[Callable[[], object]] = deque()

    @property
    def is_empty(self) -> bool:
        return not self._waiting

    def put(self, action: Callable[..., object], *arguments: Any) -> None:
        """Call `action` later; at once if there is no delay."""
        if not self.seconds:
            action(*arguments)
            return
        self._waiting.append(partial(action, *arguments))
        # Each timer takes what has waited longest, not what it was started for: timers may fire out of order.
        self._loop.call_later(self.seconds, self._run_first)

    def flush(self) -> None:
        """Let everything happen that waits, now."""
        while self._waiting:
            self._run_first()

    def drop(self) -> None:
        """Forget everything that waits."""
        self._waiting.clear()

    def _run_first(self) -> None:
        if self._waiting:
            self._waiting.popleft()()


class SlowLink(asyncio.StreamReaderProtocol):
    """What is between a connection's transport and its streams; by `slow_down` the way through it gets longer.

    It delays what asyncio reads before the stream reader gets it, and what the stream writer writes before the
    transport gets it, so neither hypercorn nor any protocol notices anything but the time.
    """

    def __init__(self, on_connect: ClientConnected, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(asyncio.StreamReader(loop=loop), on_connect, loop)
        self.seconds = 0.0
        """How much longer the round trip is."""
        self.inbound = _DelayLine(loop)
        self.outbound = _DelayLine(loop)
        self._monotonic = loop.time
        self._slowed_down: dict[object, float] = {}
        """When each cause has lengthened the round trip, on the loop's clock."""

    def slow_down(self, cause: object, seconds: float) -> bool:
        """Lengthen the round trip by so many seconds, once for each cause.

        Return whether the request that is the reason has arrived before that, so that nothing has delayed it yet.
        """
        now = self._monotonic()
        if cause not in self._slowed_down:
            self._slowed_down[cause] = now
            self.seconds += seconds
            self.inbound.seconds = self.outbound.seconds = self.seconds / 2
        return now < self._slowed_down[cause] + seconds / 2

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._is_secure = transport.get_extra_info("sslcontext") is not None
        super().connection_made(cast(Any, SlowTransport(cast(asyncio.Transport, transport), self)))

    def data_received(self, data: bytes) -> None:
        self.inbound.put(super().data_received, data)

    def eof_received(self) -> bool:
        self.inbound.put(super().eof_received)
        return not self._is_secure  # what asyncio's own returns: whether the connection stays open for writing

    def connection_lost(self, exc: Exception | None) -> None:
        # Without delay, or whoever waits for the end of the connection would outlive the server.
        self.outbound.drop()
        self.inbound.flush()
        super().connection_lost(exc)


class SlowTransport:
    """A transport that writes with the delay of its link, and is otherwise the one below."""

    def __init__(self, transport: asyncio.Transport, link: SlowLink) -> None:
        self.link = link
        self._transport = transport
        self._is_closing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self.link.outbound.put(self._if_open, self._transport.write, data)

    def write_eof(self) -> None:
        if not self._transport.can_write_eof():
            raise NotImplementedError
        self.link.outbound.put(self._if_open, self._transport.write_eof)

    def close(self) -> None:
        self._is_closing = True
        self.link.outbound.put(self._if_open, self._transport.close)

    def is_closing(self) -> bool:
        return self._is_closing or self._transport.is_closing()

    def abort(self) -> None:
        self._is_closing = True
        self.link.outbound.drop()
        self._transport.abort()

    def stop_reading(self) -> None:
        """Read nothing more, and forget what was read and is still under way."""
        self._transport.pause_reading()
        self.link.inbound.drop()

    def has_unsent_data(self) -> bool:
        """Return whether something that was written has not been handed to the operating system yet."""
        return not self.link.outbound.is_empty or self._transport.get_write_buffer_size() > 0

    def _if_open(self, action: Callable[..., object], *arguments: object) -> None:
        # The connection may have ended meanwhile: asyncio logs a warning about writes to it, other loops raise.
        if not self._transport.is_closing():
            action(*arguments)

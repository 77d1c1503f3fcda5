"""HTTP/1.1 on an event loop: a connection, on which one request at a time is sent and its response received.

A request is written at once.
"""

import asyncio
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, cast

from ._http1_response import MOST_WAITING, Response
from ._pyqwest import leave_to_parent

_KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 30}
"""After how many seconds of silence TCP makes sure that the other side is still there: a model may think for long, and
what lies between may forget a silent connection."""


class Receiver(Protocol):
    """What takes what comes back for a request."""

    is_complete: bool
    """Whether nothing more has to come."""
    keeps_alive: bool
    """Whether the server accepts another request on the connection; known when it is complete."""

    def receive(self, data: bytes) -> bool:
        """Take received bytes; return whether the connection should go on reading."""
        ...

    def end(self, error: Exception | None) -> None:
        """Note that the connection is closed, and why."""


class Connection(asyncio.Protocol):
    """A connection to a server, used by one exchange at a time."""

    __slots__ = (
        "__weakref__",
        "_is_lost",
        "_is_paused",
        "_poll",
        "_receiver",
        "_transport",
        "idle_since",
        "keeper",
        "loop",
    )

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.idle_since = 0.0
        self.keeper: Callable[[Connection], bool] | None = None
        """What keeps it for the next request, if there is room."""
        self._transport: asyncio.Transport
        self._receiver: Receiver | None = None
        self._is_lost = False
        self._is_paused = False
        self._poll: Any = None

    def send(self, request: bytes) -> Response:
        """Send a request, and return the response to be read."""
        response = Response(self)
        self.send_for(response, request)
        return response

    def send_for(self, receiver: "Receiver", request: bytes) -> None:
        """Send a request, and give what comes back to a receiver."""
        self._receiver = receiver
        if self._is_lost:  # between being made and being used
            receiver.end(None)
        else:
            self._transport.write(request)

    def is_kept(self) -> bool:
        """Return whether it can take another request, after the response to the latest one."""
        receiver = self._receiver
        return (
            receiver is not None
            and receiver.is_complete
            and receiver.keeps_alive
            and not self._is_paused
            and not self._transport.is_closing()
            and not self._transport.get_write_buffer_size()
        )

    def is_fresh(self) -> bool:
        """Return whether the server has not closed it since, as far as that is known on this side.

        The event loop may not have noticed yet, so the system is asked. After that, only a close that is on its way can
        break an exchange.
        """
        return not (self._is_lost or self._transport.is_closing() or self._poll.poll(0))

    def resume(self) -> None:
        """Go on reading, if it was stopped."""
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """Hang up at once; on any thread, but not in a forked child, whose parent goes on using the connection."""
        if leave_to_parent(self) or self._is_lost:
            return
        if self.is_on_its_loop():
            self._shut_down()
            self._transport.abort()
            return
        try:
            self.loop.call_soon_threadsafe(self.abort)
        except RuntimeError:  # its event loop is closed
            self._shut_down()

    close = abort

    def _shut_down(self) -> None:
        """Let the server know now, not in the next turn of the event loop, which may have none."""
        with suppress(OSError), self._copy() as copy:
            copy.shutdown(socket.SHUT_RDWR)

    def _copy(self) -> socket.socket:
        """Return another object for its socket. Raises OSError if that is closed."""
        its_socket = self._transport.get_extra_info("socket")
        return socket.fromfd(its_socket.fileno(), its_socket.family, its_socket.type)

    def is_on_its_loop(self) -> bool:
        """Return whether this is its event loop, where alone it can be used."""
        try:
            return asyncio.get_running_loop() is self.loop
        except RuntimeError:
            return False

    # --- for the event loop, which calls these by name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Prepare the socket."""
        self._transport = cast(asyncio.Transport, transport)
        its_socket = transport.get_extra_info("socket")
        with suppress(OSError):  # it works without
            its_socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, seconds in _KEEP_ALIVE.items():
                if hasattr(socket, name):
                    its_socket.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)
        self._poll = select.poll()
        self._poll.register(its_socket.fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the server."""
        receiver = self._receiver
        if receiver is None or receiver.is_complete:
            self.abort()  # nobody asked for them
        elif not receiver.receive(data):
            self._is_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Note that the server sends no more, and hang up: it may never read what is still to be written."""
        receiver = self._receiver
        if receiver is not None and not receiver.is_complete:
            receiver.end(None)
            self.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that it is closed."""
        self._is_lost = True
        receiver, self._receiver = self._receiver, None
        if receiver is None or receiver.is_complete:
            return
        if exc is not None:
            self._receive_rest(receiver)
        receiver.end(exc)

    def _receive_rest(self, receiver: Receiver) -> None:
        """Read what has arrived, after a write has failed: servers that refuse a long request say so, and hang up."""
        with suppress(OSError), self._copy() as copy:
            copy.setblocking(False)
            while not receiver.is_complete and (data := copy.recv(MOST_WAITING)):
                if not receiver.receive(data):
                    break

"""An HTTP/2 server for gRPC and Connect, built on h2 so that tests control its frames, GOAWAY among them."""

import contextlib
import itertools
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from .samples import BY_NAME, response_to
from .socket_servers import SocketServer

Headers = Sequence[tuple[str, str]]

_BODY = response_to(BY_NAME["GetGateway"]).SerializeToString()


def no_headers(number: int) -> Headers:
    """Return no headers in addition to those that the protocol requires."""
    return ()


class Http2Server(SocketServer):
    """A server that responds to every call with a gateway. It runs for as long as its `with` block.

    Args:
        goaway_after: after how many requests a connection gets a GOAWAY; 0: at the first one, which is not processed.
        headers: returns additional headers for the n-th response.
        streams: how many concurrent streams a connection allows.
        late_end: seconds between the last byte of a Connect response and the end of its stream.
        port: the port to listen on; 0: any free one.
    """

    def __init__(
        self,
        *,
        goaway_after: int | None = None,
        headers: Callable[[int], Headers] = no_headers,
        streams: int = 100,
        late_end: float = 0.0,
        port: int = 0,
    ) -> None:
        super().__init__(self._serve_connection, port=port)
        self.late_end = late_end
        self._goaway_after = goaway_after
        self._headers = headers
        self._streams = streams
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._open: set[_Connection] = set()
        self.responses_sent = 0
        self.resets = 0
        self.connections_made = 0

    def reload(self) -> None:
        """Send GOAWAY on all connections, as a server that is being replaced does; new connections are accepted."""
        with self._lock:
            leaving = list(self._open)
        for connection in leaving:
            connection.go_away()

    def next_number(self) -> int:
        """Return the number of the next response, from 1 on."""
        with self._lock:
            self.responses_sent += 1
            return next(self._numbers)

    def _serve_connection(self, channel: socket.socket) -> None:
        connection = _Connection(self, channel)
        with self._lock:
            self.connections_made += 1
            self._open.add(connection)
        try:
            connection.serve(self._streams, self._goaway_after, self._headers)
        finally:
            with self._lock:
                self.resets += connection.resets
                self._open.discard(connection)


class _Connection:
    def __init__(self, server: Http2Server, channel: socket.socket) -> None:
        self._server = server
        self._channel = channel
        self._http2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self._lock = threading.Lock()
        self._last = 0
        self._leaving = False
        self._accepted = 0
        self._kinds: dict[int, str] = {}
        self._unended: deque[tuple[float, int]] = deque()
        self.resets = 0

    def serve(self, streams: int, goaway_after: int | None, headers: Callable[[int], Headers]) -> None:
        with self._lock:
            self._http2.local_settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = streams
            self._http2.initiate_connection()
            self._channel.sendall(self._http2.data_to_send())
        while data := self._receive():
            with self._lock:
                for event in self._http2.receive_data(data):
                    self._handle(event, goaway_after, headers)
                self._channel.sendall(self._http2.data_to_send())
                if self._leaving and not self._kinds and not self._unended:
                    return

    def _handle(self, event: object, goaway_after: int | None, headers: Callable[[int], Headers]) -> None:
        if isinstance(event, h2.events.StreamReset):
            self.resets += 1
            self._kinds.pop(event.stream_id, None)
        elif isinstance(event, h2.events.RequestReceived) and goaway_after == 0:
            self._send_goaway()
        elif isinstance(event, h2.events.RequestReceived) and not self._leaving:
            self._kinds[event.stream_id] = (dict(event.headers or ()).get(b"content-type") or b"").decode()
            self._last = max(self._last, event.stream_id)
            self._accepted += 1
            if self._accepted == goaway_after:
                self._send_goaway()
        elif isinstance(event, h2.events.StreamEnded) and event.stream_id in self._kinds:
            self._respond(event.stream_id, self._kinds.pop(event.stream_id), headers(self._server.next_number()))

    def _receive(self) -> bytes:
        """Return the next bytes from the client; until they arrive, end the streams whose time has come."""
        while self._unended:
            due, stream = self._unended[0]
            if select.select([self._channel], [], [], max(0.0, due - time.monotonic()))[0]:
                break
            with self._lock, contextlib.suppress(h2.exceptions.StreamClosedError):
                self._unended.popleft()
                self._http2.end_stream(stream)
                self._channel.sendall(self._http2.data_to_send())
        return self._channel.recv(65536)

    def go_away(self) -> None:
        """Accept no more streams, complete those that were accepted, then close the connection."""
        with self._lock, contextlib.suppress(OSError):
            if not self._leaving:
                self._send_goaway()
                self._channel.sendall(self._http2.data_to_send())
                self._channel.shutdown(socket.SHUT_WR)

    def _send_goaway(self) -> None:
        self._leaving = True
        self._http2.close_connection(last_stream_id=self._last)
        # After a GOAWAY, h2 counts the connection as closed; but the accepted streams still have to be completed.
        self._http2.state_machine.state = h2.connection.ConnectionState.SERVER_OPEN

    def _respond(self, stream: int, kind: str, more: Headers) -> None:
        with contextlib.suppress(h2.exceptions.StreamClosedError):
            if kind.startswith("application/grpc"):
                self._http2.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc"), *more])
                self._http2.send_data(stream, b"\0" + len(_BODY).to_bytes(4, "big") + _BODY)
                self._http2.send_headers(stream, [("grpc-status", "0")], end_stream=True)
            else:
                length = ("content-length", str(len(_BODY)))
                self._http2.send_headers(stream, [(":status", "200"), ("content-type", kind), length, *more])
                self._http2.send_data(stream, _BODY)
                self._unended.append((time.monotonic() + self._server.late_end, stream))

"""Servers below any protocol: each connection is handled by a function that reads and writes bytes."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from functools import partial
from typing import Self

import h2.config
import h2.connection
import h2.events

THREAD_NAME = "server of the tests"
"""The beginning of the names of its threads."""

Handler = Callable[[socket.socket], object]


class SocketServer:
    """Handles each connection on a thread of its own; runs for as long as its `with` block."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self._handler = handler
        self._wanted_port = port
        self._tls = tls
        self._threads: list[threading.Thread] = []
        self.connections: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", self._wanted_port), backlog=1000)
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        _shut(self._listener)
        self._listener.close()
        self._threads[0].join()
        for connection in self.connections:
            _shut(connection)  # closed by its handler, which may be using it
        for thread in self._threads[1:]:
            thread.join()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=THREAD_NAME)
        thread.start()
        self._threads.append(thread)  # only then, for others join what is here

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections.append(connection)
                self._start(partial(self._serve, connection))

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, EOFError):
            if self._tls is None:
                self._handler(connection)
            else:
                with self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as secured:
                    self.connections[self.connections.index(connection)] = secured
                    secured.do_handshake()
                    self._handler(secured)


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # SSLSocket's own would disturb a thread that reads


def relay(one: socket.socket, other: socket.socket) -> None:
    """Copy bytes between two connections, both ways, until either is closed."""
    back = threading.Thread(target=_copy, args=(other, one))
    back.start()
    _copy(one, other)
    back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def silence(connection: socket.socket) -> None:
    """Read, and never respond."""
    while connection.recv(65536):
        pass


def hang_up(connection: socket.socket) -> None:
    """Close the connection as soon as something was received."""
    connection.recv(1)


def http2_response(status: int, headers: dict[str, str], body: bytes, *, cut: bool = False) -> Handler:
    """Return a handler that sends this response to each request over HTTP/2.

    `cut` leaves out the end of the response and closes the connection.
    """

    def handle(connection: socket.socket) -> None:
        http2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        http2.initiate_connection()
        connection.sendall(http2.data_to_send())
        while data := connection.recv(65536):
            requests = [each for each in http2.receive_data(data) if isinstance(each, h2.events.RequestReceived)]
            for request in requests:
                http2.send_headers(request.stream_id, [(":status", str(status)), *headers.items()])
                http2.send_data(request.stream_id, body, end_stream=not cut)
            connection.sendall(http2.data_to_send())
            if requests and cut:
                return

    return handle

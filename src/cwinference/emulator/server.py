"""hypercorn on a thread of its own: HTTP/1.1 and HTTP/2 on one port, with TLS when there is a certificate.

hypercorn's own `serve` is not used: it hides the connections, which faults need to reach, and on newer Pythons it waits
forever for busy ones when it stops. Where hypercorn offers no way to do what is needed, its methods are overridden
below and in `connection`; hence the narrow range of its versions that the project accepts.
"""

import asyncio
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from wsgiref.handlers import format_date_time

from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, Event, Updated
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.typing import LifespanState

from ..errors import ConfigurationError
from . import http2
from .connection import ServerConnection
from .faults.slow_link import SlowLink
from .protocols.asgi import App, Receive, Scope, Send, state_of
from .protocols.http_rules import HttpRules

_SHUTDOWN_SECONDS = 0.2
"""How long calls in flight may take when the server stops."""
_BACKLOG = 1000
_LAST_PORT = 65535
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6, "TCP_USER_TIMEOUT": 120_000}
"""TCP options, where the system has them: seconds, a number of probes, and milliseconds for data to be acknowledged."""


@dataclass(frozen=True)
class Certificate:
    """PEM files of the server's certificate and of its private key."""

    cert: str | os.PathLike[str]
    key: str | os.PathLike[str]


http2.install()


class _TCPServer(TCPServer):
    """hypercorn's handling of one connection, with fixes for connections that have ended."""

    _input_ended = False

    async def protocol_send(self, event: Event) -> None:
        # asyncio logs warnings about writes to a closed connection. And an `Updated` event starts the keep-alive
        # timeout: if the client has closed its side, the connection's task would stay until that expires.
        late = self.writer.is_closing() or (self._input_ended and isinstance(event, Updated))
        if isinstance(event, Closed) or not late:
            await super().protocol_send(event)

    async def _read_data(self) -> None:
        await super()._read_data()
        self._input_ended = True
        await self._release_senders()
        await self.idle_task.stop()

    async def _release_senders(self) -> None:
        """End the sends that wait for an HTTP/2 window, which a client that has gone opens no more."""
        protocol = self.protocol.protocol
        if isinstance(protocol, H2Protocol):
            for buffer in list(protocol.stream_buffers.values()):
                await buffer.close()

    async def _initiate_server_close(self) -> None:
        # hypercorn closes the writer last: a call that arrives just now would still get a response, a 500.
        self.writer.close()
        await self.protocol.handle(Closed())
        await self._release_senders()


class Server:
    """Serves one ASGI application between `start` and `stop`."""

    def __init__(self, app: App, *, host: str = "127.0.0.1", port: int = 0, tls: Certificate | None = None) -> None:
        self._app = HttpRules(app)
        self._config = _config(tls)
        self._ssl = _ssl_context(self._config, tls)
        self._socket = _listen(host, port)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        self._connections: dict[asyncio.Task[Any], ServerConnection] = {}
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cwinference-emulator", daemon=True)

    def start(self) -> None:
        """Start to accept connections."""
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """Stop serving: calls in flight have a moment to finish, and are then aborted. A second call does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_log_unexpected)
        self._stopping = asyncio.Event()
        self._context = WorkerContext(None)
        listener = await self._loop.create_server(
            lambda: SlowLink(self._accept, self._loop), sock=self._socket, ssl=self._ssl, backlog=_BACKLOG
        )
        self._started.set()
        await self._stopping.wait()
        self._stop_accepting()
        # Clients get GOAWAY before hypercorn has to stop, because from then on it refuses new streams.
        if self._connections:
            announcements = [asyncio.create_task(each.announce_shutdown()) for each in self._connections.values()]
            await asyncio.wait(announcements, timeout=_SHUTDOWN_SECONDS)
        await self._context.terminated.set()
        await self._wait_for_other_tasks()
        for connection in self._connections.values():
            connection.abort()
        await self._wait_for_other_tasks()
        listener.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._stopping.is_set():
            writer.close()
            return
        connection = ServerConnection(writer)
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._connections[task] = connection
        state = cast(LifespanState, {"connection": connection})  # hypercorn copies it into the state of each request
        app = ASGIWrapper(cast(Any, partial(self._handle_request, connection)))
        connection.server = _TCPServer(app, self._loop, self._config, self._context, state, reader, writer)
        try:
            await connection.server
        finally:
            del self._connections[task]

    async def _handle_request(self, connection: ServerConnection, scope: Scope, receive: Receive, send: Send) -> None:
        connection.has_received_request = True
        connection.ignore_late_data()

        async def send_with_date(event: Mapping[str, Any]) -> None:
            if event["type"] in ("http.response.start", "websocket.http.response.start"):
                event = {**event, "headers": [*event["headers"], _date(scope)]}
            await send(event)

        await self._app(scope, receive, send_with_date)

    def _stop_accepting(self) -> None:
        """Stop accepting connections, but set up those just accepted; closing the listener would drop them."""
        with suppress(NotImplementedError):  # Windows' event loop cannot do this
            self._loop.remove_reader(self._socket.fileno())

    async def _wait_for_other_tasks(self) -> None:
        """Wait a moment for the tasks of all connections, including those still being set up."""
        end = self._loop.time() + _SHUTDOWN_SECONDS
        while (others := asyncio.all_tasks() - {asyncio.current_task()}) and (left := end - self._loop.time()) > 0:
            await asyncio.wait(others, timeout=left)


def _date(scope: Scope) -> tuple[bytes, bytes]:
    """Return the Date header of a response, shifted by the fault `skew` if its request has one."""
    offset = state_of(scope).get("clock_offset", 0.0)
    return b"date", format_date_time(time.time() + offset).encode("ascii")


class _Config(Config):
    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        """Return the headers that hypercorn adds to every response: none.

        `Server` adds the Date, because it can depend on the request, which is not known here. Responses of hypercorn
        itself, such as a 400 for bytes that are not HTTP, have no Date.
        """
        return []


def _config(tls: Certificate | None) -> Config:
    config = _Config()
    config.keep_alive_max_requests = 2**31  # after that many a connection is closed, and calls in flight fail
    config.keep_alive_timeout = 300  # seconds; longer than clients keep an idle connection
    config.h2_max_concurrent_streams = (
        900  # its priority tree has room for 1,000, also for streams that have just ended
    )
    config.errorlog = logging.getLogger("cwinference.emulator.http")
    if tls is not None:
        config.certfile, config.keyfile = os.fspath(tls.cert), os.fspath(tls.key)
    return config


def _ssl_context(config: Config, tls: Certificate | None) -> ssl.SSLContext | None:
    if tls is None:
        return None
    config.keyfile_password = ""  # else OpenSSL asks for it on the terminal
    try:
        return config.create_ssl_context()
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(
            f"tls_cert, tls_key: expected a certificate and its private key in PEM: {error}"
        ) from None
    except OSError as error:
        argument, path = ("tls_key", tls.key) if _is_readable(tls.cert) else ("tls_cert", tls.cert)
        raise ConfigurationError(f"{argument}: cannot read {os.fspath(path)}: {error.strerror}") from None


def _is_readable(path: str | os.PathLike[str]) -> bool:
    """Return whether a file can be read, without opening it: a pipe gives its content only once."""
    return os.access(path, os.R_OK)


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= _LAST_PORT:
        raise ConfigurationError(f"port: expected a number from 0 to {_LAST_PORT}, got {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # asyncio disables Nagle's algorithm only on sockets whose protocol is given as TCP, not as 0. With it, small
        # writes of a response would wait for the client's delayed acknowledgment.
        listener = socket.socket(family, kind, protocol)
        if os.name == "posix":  # on Windows SO_REUSEADDR would let two servers share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _detect_lost_clients(listener)
        try:
            listener.bind(address)
            listener.listen(_BACKLOG)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise ConfigurationError(f"host, port: cannot listen on {host}:{port}: {error.strerror}") from None
    except UnicodeError:
        raise ConfigurationError(f"host: expected a host name or an address, got {host!r}") from None
    return listener


def _detect_lost_clients(listener: socket.socket) -> None:
    """Let the kernel end connections whose client has vanished without closing them; accepted sockets inherit this."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _log_unexpected(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what asyncio reports, except for failed handshakes, lost connections and tasks that `stop` canceled."""
    if not isinstance(context.get("exception"), ssl.SSLError | OSError | asyncio.CancelledError):
        logging.getLogger("cwinference.emulator.http").error(context["message"], exc_info=context.get("exception"))

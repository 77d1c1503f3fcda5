"""hypercorn on a thread of its own: HTTP/1.1 and HTTP/2 on one port, with TLS when there is a certificate.

hypercorn's own `serve` is not used: it hides the connections, which faults need to reach, and on newer Pythons it waits
for ever for those that are busy when it stops.
"""

import asyncio
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast
from wsgiref.handlers import format_date_time

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.typing import LifespanState
from hyperframe.frame import GoAwayFrame

from ..errors import ConfigurationError
from .protocols.asgi import SKEW, App, Receive, Scope, Send

_GRACE = 0.2
"""Seconds that calls in flight may take when the server stops."""
_BACKLOG = 1000
_LAST_PORT = 65535
_FLUSH_STEP, _FLUSH_STEPS = 0.001, 100
"""Seconds between two looks whether all is sent, and how many looks at most."""


@dataclass(frozen=True)
class Certificate:
    """PEM files of the server's certificate and of its private key."""

    cert: str | os.PathLike[str]
    key: str | os.PathLike[str]


class Connection:
    """One client's connection, for what lies below HTTP. A request has it as `scope["state"]["connection"]`."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.server: TCPServer | None = None
        self.asked = False
        """Whether a request has come."""
        self._last: int | None = None

    def abort(self) -> None:
        """Reset it: what has been written and not yet sent is lost."""
        self.writer.transport.abort()

    async def flush(self) -> None:
        """Wait a moment for everything written so far to be on its way."""
        for _ in range(_FLUSH_STEPS):
            if not self._has_unsent():
                return
            await asyncio.sleep(_FLUSH_STEP)

    def fall_silent(self) -> None:
        """Read nothing more, and keep it open."""
        cast(asyncio.Transport, self.writer.transport).pause_reading()

    def survive_late_data(self) -> None:
        """Let what still arrives of a body after its answer pass unseen; hypercorn would give up the connection."""
        protocol = self._http2()
        if protocol is not None and not isinstance(protocol.streams, _Streams):
            protocol.streams = _Streams(protocol.streams)

    async def go_away(self) -> None:
        """Tell an HTTP/2 client that no further streams are accepted; those that are open will be finished.

        h2's own way ends them at once, so the frame is written by hand.
        """
        protocol = self._http2()
        if protocol is not None:
            self._last = protocol.connection.highest_inbound_stream_id
            await self._send(GoAwayFrame(last_stream_id=self._last).serialize())

    async def leave(self) -> None:
        """The same, before the server stops: until it does, hypercorn resets streams as if nothing was the matter."""
        protocol = self._http2()
        if not self.asked:
            self.writer.close()
        elif protocol is not None:
            http2 = protocol.connection
            vars(http2)["reset_stream"] = partial(_if_open, http2.reset_stream, error_code=ErrorCodes.REFUSED_STREAM)
            vars(http2)["update_settings"] = partial(_if_open, http2.update_settings)
            await self.go_away()

    def turns_away(self, scope: Scope) -> bool:
        """Whether a request came after the last that `go_away` promised to answer."""
        return self._last is not None and self._number(scope) > self._last

    async def refuse(self, scope: Scope) -> None:
        """Reset the stream of a request as one that was not processed; over HTTP/1.1 close the connection."""
        protocol = self._http2()
        if protocol is None:
            self.writer.close()
        else:
            _if_open(protocol.connection.reset_stream, self._number(scope), error_code=ErrorCodes.REFUSED_STREAM)
            await self._send(protocol.connection.data_to_send())

    @property
    def closed(self) -> bool:
        """Whether nothing that is sent will arrive."""
        return self.writer.is_closing()

    def _number(self, scope: Scope) -> int:
        """Of the stream that a request came on."""
        protocol = self._http2()
        streams = cast("dict[int, Any]", protocol.streams if protocol else {})
        return next((number for number, stream in streams.items() if stream.scope is scope), 0)

    def _has_unsent(self) -> bool:
        protocol = self._http2()
        buffers = protocol.stream_buffers.values() if protocol else ()
        return any(each.buffer for each in buffers) or self.writer.transport.get_write_buffer_size() > 0

    def _http2(self) -> H2Protocol | None:
        protocol = None if self.server is None else self.server.protocol.protocol
        return protocol if isinstance(protocol, H2Protocol) else None

    async def _send(self, data: bytes) -> None:
        if self.server is not None:
            await self.server.protocol_send(RawData(data))


def _if_open(say: Callable[..., object], *args: object, **options: object) -> None:
    """Say something about a stream, unless it or its connection has ended meanwhile."""
    with suppress(ProtocolError):
        say(*args, **options)


class _Streams(dict[int, Any]):
    """The open streams of an HTTP/2 connection; what comes for others is taken by nobody."""

    def __missing__(self, number: int) -> "_Nobody":
        return _Nobody()


class _Nobody:
    async def handle(self, event: object) -> None:
        """It is too late for this."""


class _TCPServer(TCPServer):
    """hypercorn's, but a closed connection ends then, not with the keep-alive timeout, and is not written to."""

    _ended = False

    async def protocol_send(self, event: Event) -> None:
        late = self.writer.is_closing() or (self._ended and isinstance(event, Updated))
        if isinstance(event, Closed) or not late:
            await super().protocol_send(event)

    async def _read_data(self) -> None:
        await super()._read_data()
        self._ended = True
        await self.idle_task.stop()

    async def _initiate_server_close(self) -> None:
        self.writer.close()  # at first, lest a call that comes just now be answered with 500
        await self.protocol.handle(Closed())


class Server:
    """Serves one ASGI application between `start` and `stop`."""

    def __init__(self, app: App, *, host: str = "127.0.0.1", port: int = 0, tls: Certificate | None = None) -> None:
        self._app = app
        self._config = _config(tls)
        self._ssl = _ssl_context(self._config, tls)
        self._socket = _listen(host, port)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        self._connections: dict[asyncio.Task[Any], Connection] = {}
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cwinference-emulator", daemon=True)

    def start(self) -> None:
        """Accept connections."""
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """Finish the calls in flight, or cut them off after a moment. A second time it does nothing."""
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
        listener = await asyncio.start_server(self._accept, sock=self._socket, ssl=self._ssl, backlog=_BACKLOG)
        self._started.set()
        await self._stopping.wait()
        self._accept_no_more()
        if self._connections:
            leaving = [asyncio.create_task(each.leave()) for each in self._connections.values()]
            await asyncio.wait(leaving, timeout=_GRACE)
        await self._context.terminated.set()
        await self._others_end()
        for connection in self._connections.values():
            connection.abort()
        await self._others_end()
        listener.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._stopping.is_set():
            writer.close()
            return
        connection = Connection(writer)
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._connections[task] = connection
        state = cast(LifespanState, {"connection": connection})
        app = ASGIWrapper(cast(Any, partial(self._answer, connection)))
        connection.server = _TCPServer(app, self._loop, self._config, self._context, state, reader, writer)
        try:
            await connection.server
        finally:
            del self._connections[task]

    async def _answer(self, connection: Connection, scope: Scope, receive: Receive, send: Send) -> None:
        connection.asked = True
        connection.survive_late_data()
        await self._app(scope, receive, send)

    def _accept_no_more(self) -> None:
        """Unlike closing the listener, this lets connections come to life whose acceptance has begun."""
        with suppress(NotImplementedError):  # by Windows' loop
            self._loop.remove_reader(self._socket.fileno())

    async def _others_end(self) -> None:
        """Wait a moment for the tasks of all connections, those that are only being accepted among them."""
        end = self._loop.time() + _GRACE
        while (others := asyncio.all_tasks() - {asyncio.current_task()}) and (left := end - self._loop.time()) > 0:
            await asyncio.wait(others, timeout=left)


class _Config(Config):
    """hypercorn's, with a Date that may be off."""

    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        return [(b"date", format_date_time(time.time() + SKEW.get()).encode("ascii"))]


def _config(tls: Certificate | None) -> Config:
    config = _Config()
    config.keep_alive_max_requests = 2**31  # beyond it a connection is closed with its calls in flight
    config.keep_alive_timeout = 300  # longer than clients keep an idle connection
    config.h2_max_concurrent_streams = 900  # its tree of priorities holds 1,000, those that just ended among them
    config.errorlog = logging.getLogger("cwinference.emulator.http")
    if tls is not None:
        config.certfile, config.keyfile = os.fspath(tls.cert), os.fspath(tls.key)
    return config


def _ssl_context(config: Config, tls: Certificate | None) -> ssl.SSLContext | None:
    if tls is None:
        return None
    for argument, path in (("tls_cert", tls.cert), ("tls_key", tls.key)):
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{argument}: {os.fspath(path)}: {error.strerror}") from None
    config.keyfile_password = ""  # else OpenSSL asks the terminal for it
    try:
        return config.create_ssl_context()
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(f"tls_cert, tls_key: not a certificate and its key in PEM: {error}") from None


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= _LAST_PORT:
        raise ConfigurationError(f"port: expected 0 to {_LAST_PORT}, got {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)  # asyncio switches Nagle off where it is named
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(_BACKLOG)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise ConfigurationError(f"host, port: cannot listen on {host}:{port}: {error.strerror}") from None
    except UnicodeError:
        raise ConfigurationError(f"host: {host!r} is not a name or an address") from None
    return listener


def _log_unexpected(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Failed handshakes and lost connections are the client's affair, and what is cut off at the end is meant to be."""
    if not isinstance(context.get("exception"), ssl.SSLError | OSError | asyncio.CancelledError):
        logging.getLogger("cwinference.emulator.http").error(context["message"], exc_info=context.get("exception"))

"""gRPC over HTTP/2, by grpcio and grpc.aio.

Responses are taken as bytes and decoded here, because grpc.aio returns None for one that cannot be decoded. gRPC's own
retries are off. Channels belong to one process and, when async, to one event loop.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from .. import errors
from .._wire.methods import Method
from ..auth import Metadata
from ..config import USER_AGENT, Settings
from ._forks import note_closed, note_open
from ._grpc_blocking import open_blocking
from ._grpc_calls import AsyncConnection, BaseConnection, SyncConnection, keep_metadata, open_async
from ._grpc_errors import ends_connection, is_own_deadline, is_unconnected, translate
from ._grpc_proxy import proxy_options
from ._pool import Lane, Pool
from .base import UnaryCall, running_loop

ConnectionT = TypeVar("ConnectionT", bound=BaseConnection)

_IDLE_MILLISECONDS = 240_000
_RESOLVE_MILLISECONDS = 300
"""How long gRPC waits between two resolutions of a name, by default 30 s: so long a name that moves would be dead."""
_KEEPALIVE_MILLISECONDS = 300_000
_KEEPALIVE_TIMEOUT_MILLISECONDS = 20_000

_CONNECT_MILLISECONDS = 5_000
"""Limit of one attempt to connect, including TLS: gRPC uses its minimum reconnect backoff for that."""

_QUICK_SECONDS = 1.0
"""A channel that could not connect pauses, fails all calls at once meanwhile, and may miss that the server is back. So
it is left for a new one, which tries at once, as HTTP does. Only if connecting took long does the channel go on: it
is better then that calls fail at once than that they wait for each try."""


_NO_LOOP = object()
_running_loop = asyncio._get_running_loop
"""Returns None if there is none."""


class GrpcTransport:
    """gRPC for threads."""

    def __init__(self, settings: Settings, *, compress: bool = False) -> None:
        self._settings = settings
        self._compression = grpc.Compression.Gzip if compress else None
        self._prefix = settings.endpoint.path
        self._process = os.getpid()
        self._pool = Pool(self._connect)

    def send(self, call: UnaryCall, metadata: Metadata, timeout: float | None) -> Message:
        if self._process != os.getpid():
            self._after_fork()
        pool, began = self._pool, time.monotonic()
        lane = pool.take()
        try:
            raw = lane.connection.send(call, self._prefix, metadata, timeout)
            lane.responded = began
        except grpc.RpcError as error:
            raise _failed(error, call, pool, lane, began, timeout) from None
        finally:
            spare = pool.give(lane, began)
            if spare is not None:
                spare.close()
        try:
            return call.method.response.FromString(raw)
        except (DecodeError, TypeError):
            raise _unreadable(call.method, raw) from None

    def close(self) -> None:
        for connection in self._pool.take_all():
            connection.close()

    def _after_fork(self) -> None:
        """Drop the parent's channels, which are useless here. Closing them would disturb the parent."""
        self._process = os.getpid()
        self._pool = Pool(self._connect)

    def _connect(self) -> SyncConnection:
        settings = self._settings
        target, options = _target(settings), _channel_options(settings)
        if settings.endpoint.secure:
            return open_blocking(grpc.secure_channel(target, _credentials(settings), options, self._compression))
        return open_blocking(grpc.insecure_channel(target, options, self._compression))


class AsyncGrpcTransport:
    """gRPC for event loops; each loop has channels of its own."""

    def __init__(self, settings: Settings, *, compress: bool = False) -> None:
        self._settings = settings
        self._compression = grpc.Compression.Gzip if compress else None
        self._prefix = settings.endpoint.path
        self._process = os.getpid()
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, Pool[AsyncConnection]] = WeakKeyDictionary()
        self._latest: tuple[object, Pool[AsyncConnection]] = (_NO_LOOP, Pool(self._connect))

    async def send(self, call: UnaryCall, metadata: Metadata, timeout: float | None) -> Message:
        (loop, pool), began = self._latest, time.monotonic()
        if loop is not _running_loop() or self._process != os.getpid():
            pool = self._pool_of_this_loop()
        lane = pool.take()
        try:
            raw = await lane.connection.send(call, self._prefix, metadata, timeout)
            lane.responded = began
        except grpc.aio.AioRpcError as error:
            raise _failed(error, call, pool, lane, began, timeout) from None
        except asyncio.CancelledError as cancelled:
            # Closing a channel of grpc.aio cancels its calls. Nobody canceled this task then, so it gets an error.
            task = asyncio.current_task()
            if task is not None and not task.cancelling():
                raise errors.Cancelled(
                    "the client was closed before a response arrived", method=call.method.name
                ) from None
            # grpc.aio drops the message by which anyio recognizes its own cancels; at a pause, anyio cancels again.
            if not cancelled.args:
                await asyncio.sleep(0)
            raise
        finally:
            spare = pool.give(lane, began)
            if spare is not None:
                await spare.close()
        try:
            return call.method.response.FromString(raw)
        except (DecodeError, TypeError):
            raise _unreadable(call.method, raw) from None

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        pools = dict(self._pools)
        self._pools.clear()
        self._latest = (_NO_LOOP, Pool(self._connect))
        for connection in pools[loop].take_all() if loop in pools else ():
            await connection.close()
        note_closed(self)

    def _pool_of_this_loop(self) -> Pool[AsyncConnection]:
        loop, process = running_loop(), os.getpid()
        note_open(self)
        if self._process != process:
            self._process = process
            self._pools = WeakKeyDictionary()
        self._drop_closed_loops()
        pool = self._pools.setdefault(loop, Pool(self._connect))
        self._latest = (loop, pool)
        return pool

    def _drop_closed_loops(self) -> None:
        """Drop the channels of closed loops. They refer to their loops, so a weak key alone would never go away."""
        for reference in self._pools.keyrefs():
            loop = reference()
            if loop is not None and loop.is_closed():
                self._pools.pop(loop, None)

    def _connect(self) -> AsyncConnection:
        settings = self._settings
        target, options = _target(settings), _channel_options(settings)
        if settings.endpoint.secure:
            return open_async(grpc.aio.secure_channel(target, _credentials(settings), options, self._compression))
        return open_async(grpc.aio.insecure_channel(target, options, self._compression))


def _target(settings: Settings) -> str:
    """Return what gRPC connects to. Without the scheme it would take hosts such as `dns` or `unix` for schemes."""
    return f"dns:///{(settings.proxy or settings.endpoint).authority}"


def _channel_options(settings: Settings) -> Sequence[tuple[str, Any]]:
    return [
        ("grpc.primary_user_agent", USER_AGENT),
        ("grpc.enable_retries", 0),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", settings.max_reply_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", _CONNECT_MILLISECONDS),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.client_idle_timeout_ms", _IDLE_MILLISECONDS),
        ("grpc.dns_min_time_between_resolutions_ms", _RESOLVE_MILLISECONDS),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MILLISECONDS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MILLISECONDS),
        ("grpc.keepalive_permit_without_calls", 0),
        *proxy_options(settings),
    ]


def _credentials(settings: Settings) -> grpc.ChannelCredentials:
    pem = settings.certificates
    return grpc.ssl_channel_credentials(pem.ca, pem.key, pem.cert)


def _unreadable(method: Method, raw: bytes | None) -> errors.InferenceError:
    """Return the error of a response that has no message, or one that cannot be decoded."""
    if raw is None:
        return errors.Unimplemented("server returned OK without a response message", method=method.name)
    return errors.ProtocolError(
        f"the response ({len(raw)} bytes) is not a {method.response.DESCRIPTOR.name}", method=method.name
    )


def _failed(
    error: Any, call: UnaryCall, pool: Pool[ConnectionT], lane: Lane[ConnectionT], began: float, timeout: float | None
) -> errors.InferenceError:
    """Return a failure as ours, keep its metadata, and note what it says about its connection.

    A timeout of our own says nothing about that; any other error is a sign that something is there.
    """
    seconds = time.monotonic() - began
    if call.response_metadata is not None:
        keep_metadata(call.response_metadata, error.initial_metadata(), error.trailing_metadata())
    if error.initial_metadata() or not is_own_deadline(error):
        lane.responded = began
    failure = translate(error, call.method, timeout, seconds, lane.connection.is_ready)
    if ends_connection(error) or (is_unconnected(failure) and seconds < _QUICK_SECONDS):
        pool.leave(lane)
    return failure

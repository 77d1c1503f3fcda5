"""gRPC over HTTP/2, by grpcio and grpc.aio. The only module that imports grpc.

Responses are taken as bytes and decoded here, because grpc.aio returns None for one that cannot be decoded. gRPC's own
retries are off. Channels belong to one process and, when async, to one event loop.

grpcio does not say where an error came from: a server's word, a proxy's, or its own. Its texts are the only sign, so
the patterns below look for them; each was seen on the wire, with the oldest and the newest grpcio that are supported.
"""

import asyncio
import os
import re
import time
from base64 import b64encode
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from .. import errors
from .._retry_rules import Hint
from .._text import safe_headers
from .._wire.methods import Method
from ..auth import Metadata
from ..config import USER_AGENT, Settings
from ._forks import note_closed, note_open
from ._grpc_proxy import proxy_options
from ._pool import Lane, Pool
from ._tls import UNUSABLE_TLS, tls_advice
from .base import ResponseMetadata, UnaryCall, has_timed_out, running_loop

_IDLE_MILLISECONDS = 240_000
_RESOLVE_MILLISECONDS = 300
"""How long gRPC waits between two resolutions of a name, by default 30 s: so long a name that moves would be dead."""
_KEEPALIVE_MILLISECONDS = 300_000
_KEEPALIVE_TIMEOUT_MILLISECONDS = 20_000

_CONNECT_MILLISECONDS = 5_000
"""Limit of one attempt to connect, including TLS: gRPC uses its minimum reconnect backoff for that."""

_OWN_DEADLINE = re.compile(r"(Stream removed \()?Deadline Exceeded\)?")
_UNRESOLVED = re.compile(r"errors resolving |DNS resolution failed", re.IGNORECASE)
_NOT_CONNECTED = re.compile(rf"failed to connect to all addresses|{_UNRESOLVED.pattern}", re.IGNORECASE)
_REFUSED = re.compile(r"RST_STREAM with error code 7\b")
_GOAWAY = re.compile(r"(Stream removed \()?GOAWAY received")
"""A stream above the last one that a GOAWAY accepts, so it was not processed; one that was accepted and then lost
mentions a socket first. Still no proof for an update: a server may relay this text about a call of its own."""

_NO_HANDSHAKER = re.compile(r"Failed to create security handshaker")
_TLS_FAILURE = re.compile(r"handshak|certificate|CERTIFICATE_VERIFY", re.IGNORECASE)
_TOO_LARGE = re.compile(r"(^|CLIENT: )(Received|Decompressed) message larger than max")
_STREAM_CANCELLED = re.compile(r"RST_STREAM with error code 8\b")
_UNUSABLE = re.compile(r"parsing 'grpc-encoding' metadata")
"""After a response with an unknown encoding, gRPC fails every later one on the same connection with this text."""

_HTTP_STATUS = re.compile(r"http2 header with status: (\d{3})")


class _Connection:
    """A channel and the callables made from it, one per method."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self._callables: dict[str, Any] = {}

    def callable(self, method: Method, prefix: str) -> Any:
        found = self._callables.get(method.path)
        if found is None:
            found = self._callables[method.path] = self.channel.unary_unary(
                prefix + method.path, request_serializer=method.request.SerializeToString, response_deserializer=None
            )
        return found

    def is_ready(self) -> bool:
        """Return whether there is a connection right now, so that an error may come from a server.

        Only private attributes tell; without them the answer is True, which leaves a failed update unretried.
        """
        check = getattr(getattr(self.channel, "_channel", None), "check_connectivity_state", None)
        return check is None or check(False) == grpc.ChannelConnectivity.READY.value[0]


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
        method, received = call.method, call.response_metadata
        pool, began = self._pool, time.monotonic()
        lane = pool.take()
        try:
            invoke = lane.connection.callable(method, self._prefix)
            if received is None:
                raw = invoke(call.request, timeout=timeout, metadata=metadata)
            else:
                raw, outcome = invoke.with_call(call.request, timeout=timeout, metadata=metadata)
                _keep_metadata(received, outcome.initial_metadata(), outcome.trailing_metadata())
            lane.responded = began
        except grpc.RpcError as error:
            _note_failure(error, pool, lane, began, received)
            raise _translate(error, method, lane.connection, timeout, time.monotonic() - began) from None
        finally:
            spare = pool.give(lane, began)
            if spare is not None:
                spare.channel.close()
        return _decode(method, raw)

    def close(self) -> None:
        for connection in self._pool.take_all():
            connection.channel.close()

    def _after_fork(self) -> None:
        """Drop the parent's channels, which are useless here. Closing them would disturb the parent."""
        self._process = os.getpid()
        self._pool = Pool(self._connect)

    def _connect(self) -> _Connection:
        settings = self._settings
        target, options = _target(settings), _channel_options(settings)
        if settings.endpoint.secure:
            return _Connection(grpc.secure_channel(target, _credentials(settings), options, self._compression))
        return _Connection(grpc.insecure_channel(target, options, self._compression))


class AsyncGrpcTransport:
    """gRPC for event loops; each loop has channels of its own."""

    def __init__(self, settings: Settings, *, compress: bool = False) -> None:
        self._settings = settings
        self._compression = grpc.Compression.Gzip if compress else None
        self._prefix = settings.endpoint.path
        self._process = os.getpid()
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, Pool[_Connection]] = WeakKeyDictionary()
        self._latest: tuple[asyncio.AbstractEventLoop | None, Pool[_Connection]] = (None, Pool(self._connect))

    async def send(self, call: UnaryCall, metadata: Metadata, timeout: float | None) -> Message:
        method, received = call.method, call.response_metadata
        pool, began = self._pool_of_this_loop(), time.monotonic()
        lane = pool.take()
        try:
            invoke = lane.connection.callable(method, self._prefix)
            running = invoke(call.request, timeout=timeout, metadata=metadata)
            raw = await running
            lane.responded = began
            if received is not None:
                _keep_metadata(received, await running.initial_metadata(), await running.trailing_metadata())
        except grpc.aio.AioRpcError as error:
            _note_failure(error, pool, lane, began, received)
            raise _translate(error, method, lane.connection, timeout, time.monotonic() - began) from None
        except asyncio.CancelledError as cancelled:
            # Closing a channel of grpc.aio cancels its calls. Nobody canceled this task then, so it gets an error.
            task = asyncio.current_task()
            if task is not None and not task.cancelling():
                raise errors.Cancelled("the client was closed before a response arrived", method=method.name) from None
            # grpc.aio drops the message by which anyio recognizes its own cancels; at a pause, anyio cancels again.
            if not cancelled.args:
                await asyncio.sleep(0)
            raise
        finally:
            spare = pool.give(lane, began)
            if spare is not None:
                await spare.channel.close()
        return _decode(method, raw)

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        pools = dict(self._pools)
        self._pools.clear()
        self._latest = (None, Pool(self._connect))
        for connection in pools[loop].take_all() if loop in pools else ():
            await connection.channel.close()
        note_closed(self)

    def _pool_of_this_loop(self) -> Pool[_Connection]:
        loop, process = running_loop(), os.getpid()
        latest, pool = self._latest
        if latest is loop and self._process == process:
            return pool
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

    def _connect(self) -> _Connection:
        settings = self._settings
        target, options = _target(settings), _channel_options(settings)
        if settings.endpoint.secure:
            return _Connection(grpc.aio.secure_channel(target, _credentials(settings), options, self._compression))
        return _Connection(grpc.aio.insecure_channel(target, options, self._compression))


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


def _decode(method: Method, raw: Any) -> Message:
    if raw is None:
        raise errors.Unimplemented("server returned OK without a response message", method=method.name)
    try:
        return method.response.FromString(raw)
    except DecodeError:
        raise errors.ProtocolError(
            f"the response ({len(raw)} bytes) is not a {method.response.DESCRIPTOR.name}", method=method.name
        ) from None


def _note_failure(
    error: Any, pool: Pool[_Connection], lane: Lane[_Connection], began: float, received: ResponseMetadata | None
) -> None:
    """Keep the metadata of a failed call, and note whether its connection responded and can still be used.

    A timeout of our own says nothing about the connection; any other error is a sign that something is there.
    """
    if received is not None:
        _keep_metadata(received, error.initial_metadata(), error.trailing_metadata())
    message = error.details() or ""
    if error.initial_metadata() or not _OWN_DEADLINE.fullmatch(message):
        lane.responded = began
    if _UNUSABLE.search(message):
        pool.leave(lane)


def _keep_metadata(received: ResponseMetadata, headers: Any, trailers: Any) -> None:
    received.headers, received.trailers = [*map(_as_text, headers or ())], [*map(_as_text, trailers or ())]


def _as_text(pair: tuple[str, str | bytes]) -> tuple[str, str]:
    """Return metadata as text; binary values as they are sent, in base64."""
    name, value = pair
    return name, value if isinstance(value, str) else b64encode(value).decode("ascii").rstrip("=")


def _translate(
    error: Any, method: Method, connection: _Connection, timeout: float | None, seconds: float
) -> errors.InferenceError:
    """Return gRPC's error as ours. `seconds` is how long the call took."""
    kind = errors.BY_NUMBER.get(error.code().value[0], errors.Unknown)
    message = error.details() or ""
    if _STREAM_CANCELLED.search(message) and has_timed_out(timeout, seconds):
        kind = errors.DeadlineExceeded
    if kind is errors.ResourceExhausted and _TOO_LARGE.search(message):
        return errors.ProtocolError(message, method=method.name)
    found = _HTTP_STATUS.search(message)
    extra = {key: value for key, value in error.trailing_metadata() or () if key.startswith("grpc-")}
    details, delay = _details(extra.get("grpc-status-details-bin"))
    pushback = _pushback(extra.get("grpc-retry-pushback-ms"))
    if timeout is not None and _OWN_DEADLINE.fullmatch(message):
        message = f"no response within {timeout:.3g} s"
    hint = Hint.NONE
    if kind is errors.Unavailable:
        if not _is_from_server(error) and _NO_HANDSHAKER.search(message):
            return errors.ConfigurationError(f"{UNUSABLE_TLS}: gRPC's own log says why")
        hint = _hint(error, message, connection)
        if hint is Hint.UNTRUSTED:
            message += tls_advice(message)
    translated = kind(
        message,
        method=method.name,
        details=details,
        http_status=int(found.group(1)) if found else None,
        retry_after=pushback if pushback is not None else delay,
        headers=safe_headers(map(_as_text, (*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())))),
    )
    return errors.with_hint(errors.mark_page(translated) if found else translated, hint)


def _hint(error: Any, message: str, connection: _Connection) -> Hint:
    """Return what an UNAVAILABLE says beyond its code. The texts count only if they are gRPC's own, because a server
    may relay the very same words about a call that it made itself."""
    if _TLS_FAILURE.search(message) and not _UNRESOLVED.search(message):
        return Hint.NO_RETRY if _is_from_server(error) else Hint.UNTRUSTED
    if _is_from_server(error):
        return Hint.NONE
    if _REFUSED.search(message):
        return Hint.REFUSED
    if _NOT_CONNECTED.search(message) and not connection.is_ready():
        return Hint.NOT_SENT
    return Hint.GOING_AWAY if _GOAWAY.match(message) else Hint.NONE


def _details(serialized: bytes | None) -> tuple[tuple[Message, ...], float | None]:
    """Return the details of an error, and the delay that they ask for, in seconds."""
    if not serialized:
        return (), None
    # Here, because it imports json_format, which most errors do not need.
    from .._wire.error_details import from_status, retry_delay

    details = from_status(serialized)
    return details, retry_delay(details)


def _is_from_server(error: Any) -> bool:
    """Return whether the error came with metadata, and so from a server."""
    return bool(error.initial_metadata() or error.trailing_metadata())


def _pushback(value: str | bytes | None) -> float | None:
    """Return the delay by `grpc-retry-pushback-ms`; a negative or unreadable value means: do not retry."""
    if value is None:
        return None
    try:
        return int(value) / 1000
    except ValueError:
        return -1.0

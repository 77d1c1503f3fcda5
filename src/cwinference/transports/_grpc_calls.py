"""gRPC's channels, and how they are called: by grpcio's stubs, or on event loops below them where that is possible.

For each call, grpc.aio makes a task, an object and a copy of the metadata, which takes a fifth of the time of a call.
The channel of Cython below it needs none of them. It is private, so it is called only if this grpcio has all that is
needed of it, and only if nobody has put interceptors into the channel, as tracing does. Otherwise the stubs are called.
"""

import asyncio
import inspect
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib import import_module
from typing import Any

import grpc
import grpc.aio

from .._wire.methods import Method
from ..auth import Metadata
from ._grpc_errors import as_text
from .base import ResponseMetadata, UnaryCall

_NEEDED: dict[str, tuple[str, ...]] = {
    "AioChannel.call": ("self", "method", "deadline", "python_call_credentials", "wait_for_ready"),
    "_AioCall.unary_unary": ("self", "request", "outbound_initial_metadata", "context"),
    "_AioCall.cancel": ("self", "details"),
    **{f"_AioCall.{name}": ("self",) for name in ("done", "is_ok", "is_locally_cancelled")},
    **{f"_AioCall.{name}": ("self",) for name in ("initial_metadata", "status")},
}
"""The functions of Cython that are called, and the arguments that they are given here by their position."""

CODES = {code.value[0]: code for code in grpc.StatusCode}
_CANCELED = "canceled by the application"


class BaseConnection:
    """A channel, and the stubs made from it, one for each method."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._stubs: dict[str, Any] = {}

    def is_ready(self) -> bool:
        """Return whether there is a connection right now, so that an error may come from a server.

        Only private attributes show it; without them this is True, which leaves a failed update unretried.
        """
        check = getattr(getattr(self._channel, "_channel", None), "check_connectivity_state", None)
        return check is None or check(False) == grpc.ChannelConnectivity.READY.value[0]

    def _stub(self, method: Method, prefix: str) -> Any:
        stub = self._stubs[method.path] = self._channel.unary_unary(
            prefix + method.path, request_serializer=method.request.SerializeToString, response_deserializer=None
        )
        return stub


class SyncConnection(BaseConnection):
    """A channel for threads."""

    def send(self, call: UnaryCall, prefix: str, metadata: Metadata, timeout: float | None) -> Any:
        """Send a request; return the bytes of its response, or None if there are none. Raises grpc.RpcError."""
        received = call.response_metadata
        stub = self._stubs.get(call.method.path) or self._stub(call.method, prefix)
        if received is None:
            return stub(call.request, timeout=timeout, metadata=metadata.reveal())
        response, outcome = stub.with_call(call.request, timeout=timeout, metadata=metadata.reveal())
        keep_metadata(received, outcome.initial_metadata(), outcome.trailing_metadata())
        return response

    def close(self) -> None:
        """Close the channel, which ends the calls in flight."""
        self._channel.close()


class AsyncConnection(BaseConnection):
    """A channel for an event loop, called by its stubs."""

    async def send(self, call: UnaryCall, prefix: str, metadata: Metadata, timeout: float | None) -> Any:
        """Do the same as `SyncConnection.send`. Raises CancelledError when the channel is closed."""
        received = call.response_metadata
        stub = self._stubs.get(call.method.path) or self._stub(call.method, prefix)
        running = stub(call.request, timeout=timeout, metadata=metadata.reveal())
        response = await running
        if received is not None:
            keep_metadata(received, await running.initial_metadata(), await running.trailing_metadata())
        return response

    async def close(self) -> None:
        """Close the channel, which ends the calls in flight."""
        await self._channel.close()


class AsyncDirectConnection(AsyncConnection):
    """A channel for an event loop, called below its stubs."""

    def __init__(self, channel: Any) -> None:
        super().__init__(channel)
        self._start: Callable[..., Any] = channel._channel.call
        self._paths: dict[str, bytes] = {}
        self._in_flight: set[Any] = set()
        self._group = CallGroup(asyncio.get_running_loop())

    async def send(self, call: UnaryCall, prefix: str, metadata: Metadata, timeout: float | None) -> Any:
        """Do the same as `AsyncConnection.send`."""
        path = self._paths.get(call.method.path)
        if path is None:
            path = self._paths[call.method.path] = (prefix + call.method.path).encode()
        running = self._start(path, None if timeout is None else time.time() + timeout, None, None)
        exchange = running.unary_unary(call.request.SerializeToString(), metadata.reveal(), _observation())
        if self._in_flight:
            exchange = self._group.add(exchange)
        self._in_flight.add(running)
        try:
            response = await exchange
        except BaseException:  # canceled, or left behind by its event loop
            if not running.done():
                running.cancel(_CANCELED)
            raise
        finally:
            self._in_flight.discard(running)
        if response is None or call.response_metadata is not None:
            await _end(running, call.response_metadata)
        return response

    async def close(self) -> None:
        """Cancel the calls in flight, and close the channel, which would not end them."""
        self._group.cancel()
        for running in tuple(self._in_flight):
            running.cancel(_CANCELED)
        await super().close()


class CallGroup:
    """Calls that start together, as soon as the event loop has done what it does now.

    gRPC writes them together then, which saves a tenth of their time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[tuple[Any, asyncio.Future[Any]]] = deque()

    def add(self, exchange: Any) -> asyncio.Future[Any]:
        """Return a future of what a coroutine returns that starts a call, and awaits a single future."""
        if not self._waiting:
            self._loop.call_soon(self._start)
        outcome: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append((exchange, outcome))
        return outcome

    def cancel(self) -> None:
        """Cancel those that have not started."""
        for _, outcome in self._waiting:
            outcome.cancel()

    def _start(self) -> None:
        try:
            while self._waiting:
                _resume(*self._waiting.popleft())
        finally:
            if self._waiting:  # an interrupt must not leave them behind
                self._loop.call_soon(self._start)


def _resume(exchange: Any, outcome: asyncio.Future[Any], _: object = None) -> None:
    """Let a coroutine go on until it awaits a future, whose end resumes it, or until it ends."""
    if outcome.cancelled():
        exchange.close()
        return
    try:
        awaited = exchange.send(None)
    except StopIteration as end:
        outcome.set_result(end.value)
    except asyncio.CancelledError:
        outcome.cancel()
    except BaseException as error:
        outcome.set_exception(error)
        if not isinstance(error, Exception):
            raise
    else:
        awaited.add_done_callback(partial(_resume, exchange, outcome))


def open_async(channel: Any) -> AsyncConnection:
    """Return the quickest way to call a channel."""
    return (
        AsyncDirectConnection(channel) if is_direct and _has_all() and _is_plain(channel) else AsyncConnection(channel)
    )


def keep_metadata(received: ResponseMetadata, headers: Any, trailers: Any) -> None:
    """Put the headers and trailers of a response where the caller wants them."""
    received.headers, received.trailers = [*map(as_text, headers or ())], [*map(as_text, trailers or ())]


async def _end(running: Any, received: ResponseMetadata | None) -> None:
    """Keep the metadata of a call that has ended. Raises what grpc.aio would raise, unless the call was a success."""
    headers, status = await running.initial_metadata(), await running.status()
    trailers = status.trailing_metadata()
    if running.is_ok():
        if received is not None:
            keep_metadata(received, headers, trailers)
    elif running.is_locally_cancelled():
        raise asyncio.CancelledError
    else:
        raise grpc.aio.AioRpcError(
            CODES.get(status.code(), grpc.StatusCode.UNKNOWN),
            grpc.aio.Metadata(*(headers or ())),
            grpc.aio.Metadata(*(trailers or ())),
            details=status.details(),
            debug_error_string=status.debug_error_string(),
        )


def _is_plain(channel: Any) -> bool:
    """Return whether a channel is grpc.aio's own, and nothing is called in between."""
    own = type(channel).__module__ == "grpc.aio._channel" and type(getattr(channel, "_channel", None)) is _Channel
    return own and getattr(channel, "_unary_unary_interceptors", None) == []


def has_functions(cython: Any, needed: Mapping[str, tuple[str, ...]]) -> bool:
    """Return whether a module has functions that take certain arguments first, and need no others."""
    for name, arguments in needed.items():
        kind, _, function = name.partition(".")
        parameters = list(inspect.signature(getattr(getattr(cython, kind), function)).parameters.values())
        others = parameters[len(arguments) :]
        if tuple(each.name for each in parameters[: len(arguments)]) != arguments:
            return False
        if any(each.default is inspect.Parameter.empty for each in others):
            return False
    return True


def _has_needed(cython: Any) -> bool:
    """Return whether the module of Cython has what `AsyncDirectConnection` calls."""
    try:
        return has_functions(cython, _NEEDED) and callable(cython.build_census_context)
    except (AttributeError, TypeError, ValueError):
        return False


@cache
def _has_all() -> bool:
    """Return whether this grpcio has it. Threads do not ask."""
    return _has_needed(_cython)


_cython: Any = import_module("grpc._cython.cygrpc")
is_direct = True
"""Whether channels of grpc.aio are called below their stubs, if this grpcio has what that needs; tests turn it off."""
_Channel: Any = getattr(_cython, "AioChannel", None)
_observation: Callable[[], Any] = getattr(_cython, "build_census_context", lambda: None)

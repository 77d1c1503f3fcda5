"""How gRPC's channels are called on threads: below grpcio's stubs where that is possible.

For each call, a stub keeps a state with a lock and a set of what is due, and records a latency for plugins. That takes
a tenth of the time of a call, and a quarter with many threads, which wait for each other at each step. The channel of
Cython below it needs only the operations of a call. It is private, so it is called only if this grpcio has all that is
needed of it, and only if nothing is in between: neither interceptors nor a plugin for latencies. Otherwise the
stubs are called.
"""

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import grpc

from ..auth import Metadata
from ._grpc_calls import CODES, SyncConnection, has_functions, keep_metadata
from .base import UnaryCall

_NEEDED: dict[str, tuple[str, ...]] = {
    "Channel.segregated_call": (
        "self", "flags", "method", "host", "deadline", "metadata", "credentials", "operationses_and_tags", "context",
    ),
    "SegregatedCall.next_event": ("self",),
    "ReceiveInitialMetadataOperation.initial_metadata": ("self",),
    "ReceiveMessageOperation.message": ("self",),
    **{
        f"ReceiveStatusOnClientOperation.{name}": ("self",)
        for name in ("code", "details", "error_string", "trailing_metadata")
    },
}  # fmt: skip
"""The functions of Cython that are called, and the arguments that they are given here by their position."""

_OK = 0
_NO_FLAGS = 0


class SyncDirectConnection(SyncConnection):
    """A channel for threads, called below its stubs."""

    def __init__(self, channel: Any) -> None:
        super().__init__(channel)
        self._start: Callable[..., Any] = channel._channel.segregated_call
        self._paths: dict[str, bytes] = {}
        self._observation = _cython.build_census_context()

    def send(self, call: UnaryCall, prefix: str, metadata: Metadata, timeout: float | None) -> Any:
        """Do the same as `SyncConnection.send`."""
        path = self._paths.get(call.method.path)
        if path is None:
            path = self._paths[call.method.path] = (prefix + call.method.path).encode()
        headers, message, status = _Headers(_NO_FLAGS), _Message(_NO_FLAGS), _Status(_NO_FLAGS)
        operations = (
            _SendHeaders(metadata.reveal(), _NO_FLAGS),
            _SendMessage(call.request.SerializeToString(), _NO_FLAGS),
            _SendEnd(_NO_FLAGS),
            headers,
            message,
            status,
        )
        deadline, batches = _deadline(timeout), ((operations, None),)
        running = self._start(_DEFAULTS, path, None, deadline, metadata.reveal(), None, batches, self._observation)
        running.next_event()
        if status.code() != _OK:
            raise _Failure(headers, status)
        if call.response_metadata is not None:
            keep_metadata(call.response_metadata, headers.initial_metadata(), status.trailing_metadata())
        return message.message()


class _Failure(grpc.RpcError):
    """A call that has failed, as grpcio's own errors show it."""

    def __init__(self, headers: Any, status: Any) -> None:
        super().__init__()
        self._headers = headers
        self._status = status

    def code(self) -> grpc.StatusCode:
        return CODES.get(self._status.code(), grpc.StatusCode.UNKNOWN)

    def details(self) -> str | None:
        details: str | None = self._status.details()
        return details

    def debug_error_string(self) -> str | None:
        text: str | None = self._status.error_string()
        return text

    def initial_metadata(self) -> Any:
        return self._headers.initial_metadata()

    def trailing_metadata(self) -> Any:
        return self._status.trailing_metadata()


def open_blocking(channel: Any) -> SyncConnection:
    """Return the quickest way to call a channel."""
    return SyncDirectConnection(channel) if is_direct and _is_plain(channel) else SyncConnection(channel)


def _deadline(timeout: float | None) -> float | None:
    """Return when a call has to end, on the wall clock: also with a call of a server that this one is made for."""
    own, of_server = None if timeout is None else time.time() + timeout, _deadline_of_server()
    return own if of_server is None else of_server if own is None else min(own, of_server)


def _is_plain(channel: Any) -> bool:
    """Return whether a channel is grpcio's own, and nothing is called in between or notified of calls."""
    own = type(channel).__module__ == "grpc._channel" and type(getattr(channel, "_channel", None)) is _cython.Channel
    return own and getattr(import_module("grpc._observability"), "_OBSERVABILITY_PLUGIN", None) is None


def _has_needed(cython: Any) -> bool:
    """Return whether the module of Cython has what `SyncDirectConnection` calls."""
    try:
        cython.SendInitialMetadataOperation((), _NO_FLAGS)
        cython.SendMessageOperation(b"", _NO_FLAGS)
        for name in ("SendCloseFromClient", "ReceiveInitialMetadata", "ReceiveMessage", "ReceiveStatusOnClient"):
            getattr(cython, f"{name}Operation")(_NO_FLAGS)
        others = callable(cython.build_census_context) and callable(cython.get_deadline_from_context)
        return others and type(_defaults(cython)) is int and has_functions(cython, _NEEDED)
    except (AttributeError, TypeError, ValueError):
        return False


def _defaults(cython: Any) -> Any:
    return cython.PropagationConstants.GRPC_PROPAGATE_DEFAULTS


_cython: Any = import_module("grpc._cython.cygrpc")
is_direct = _has_needed(_cython)
"""Whether channels of threads are called below their stubs."""
if is_direct:
    _DEFAULTS = _defaults(_cython)
    _SendHeaders, _SendMessage = _cython.SendInitialMetadataOperation, _cython.SendMessageOperation
    _SendEnd, _Headers = _cython.SendCloseFromClientOperation, _cython.ReceiveInitialMetadataOperation
    _Message, _Status = _cython.ReceiveMessageOperation, _cython.ReceiveStatusOnClientOperation
    _deadline_of_server = _cython.get_deadline_from_context

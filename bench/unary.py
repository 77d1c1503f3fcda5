"""Unary calls, compared with the bare stub on the same transport, and with a common REST client."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from itertools import cycle
from typing import Any

import grpc
import grpc.aio
import httpx
import pyqwest
from connectrpc.client import ConnectClient, ConnectClientSync
from connectrpc.compat import google_protobuf_binary_codec
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType

from cwinference import AsyncClient, Client, types
from cwinference._wire.methods import METHODS

from ._case import Case, Effort
from ._measure import AsyncCall, Call, ratio_async, ratio_sync
from ._peer import ID, TOKEN, Peer

Measure = Callable[[Peer, Effort], list[float]]

_METADATA = (("authorization", f"Bearer {TOKEN}"),)
_METHOD = METHODS[types.GetDeploymentRequest]
_INFO: Any = MethodInfo(
    name="GetDeployment",
    service_name=_METHOD.service,
    input=types.GetDeploymentRequest,
    output=types.GetDeploymentResponse,
    idempotency_level=IdempotencyLevel.UNKNOWN,
    stream_type=StreamType.UNARY,
)


@asynccontextmanager
async def ours_async(peer: Peer, transport: Any) -> AsyncIterator[AsyncCall]:
    """Yield `client.deployments.get` of an `AsyncClient`."""
    async with AsyncClient(TOKEN, endpoint=peer.url, transport=transport) as client:
        yield lambda: client.deployments.get(ID)


@contextmanager
def ours_sync(peer: Peer, transport: Any) -> Iterator[Call]:
    """Yield `client.deployments.get` of a `Client`."""
    with Client(TOKEN, endpoint=peer.url, transport=transport) as client:
        yield lambda: client.deployments.get(ID)


def _stub(channel: Any) -> Callable[..., Any]:
    stub: Callable[..., Any] = channel.unary_unary(
        _METHOD.path,
        request_serializer=types.GetDeploymentRequest.SerializeToString,
        response_deserializer=types.GetDeploymentResponse.FromString,
    )
    return stub


@asynccontextmanager
async def theirs_async(peer: Peer, channels: int = 1) -> AsyncIterator[AsyncCall]:
    """Yield a call of the bare grpc.aio stub that takes turns on the given number of connections."""
    async with AsyncExitStack() as stack:
        stubs = list[Callable[..., Any]]()
        for _ in range(channels):
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{peer.port}", _own_connection())
            stubs.append(_stub(await stack.enter_async_context(channel)))
        turns = cycle(stubs)

        async def call() -> object:
            request = types.GetDeploymentRequest(id=ID)
            return (await next(turns)(request, metadata=_METADATA, timeout=30)).deployment

        yield call


def _grpc_async(at_once: int, channels: int = 1) -> Measure:
    async def measure(peer: Peer, effort: Effort) -> list[float]:
        async with theirs_async(peer, channels) as theirs, ours_async(peer, "grpc") as ours:
            return await ratio_async(ours, theirs, at_once, effort.calls, effort.pairs)

    return lambda peer, effort: asyncio.run(measure(peer, effort))


def _grpc_sync(threads: int) -> Measure:
    def measure(peer: Peer, effort: Effort) -> list[float]:
        with (
            grpc.insecure_channel(f"127.0.0.1:{peer.port}", _own_connection()) as channel,
            ours_sync(peer, "grpc") as ours,
        ):
            stub = _stub(channel)

            def theirs() -> object:
                return stub(types.GetDeploymentRequest(id=ID), metadata=_METADATA, timeout=30).deployment

            return ratio_sync(ours, theirs, threads, effort.calls, effort.pairs)

    return measure


def _own_connection() -> list[tuple[str, int]]:
    return [("grpc.use_local_subchannel_pool", 1)]


def _connect_async(at_once: int) -> Measure:
    async def measure(peer: Peer, effort: Effort) -> list[float]:
        transport = pyqwest.HTTPTransport(http_version=pyqwest.HTTPVersion.HTTP2)
        options: Any = {"codec": google_protobuf_binary_codec(), "http_client": pyqwest.Client(transport)}
        async with ConnectClient(peer.url, **options) as client, ours_async(peer, "connect") as ours:

            async def theirs() -> object:
                request: Any = types.GetDeploymentRequest(id=ID)
                response: Any = await client.execute_unary(
                    request=request, method=_INFO, headers=dict(_METADATA), timeout_ms=30_000
                )
                return response.deployment

            return await ratio_async(ours, theirs, at_once, effort.calls, effort.pairs)

    return lambda peer, effort: asyncio.run(measure(peer, effort))


def _connect_sync(threads: int) -> Measure:
    def measure(peer: Peer, effort: Effort) -> list[float]:
        transport = pyqwest.SyncHTTPTransport(http_version=pyqwest.HTTPVersion.HTTP2)
        options: Any = {"codec": google_protobuf_binary_codec(), "http_client": pyqwest.SyncClient(transport)}
        with ConnectClientSync(peer.url, **options) as client, ours_sync(peer, "connect") as ours:

            def theirs() -> object:
                request: Any = types.GetDeploymentRequest(id=ID)
                response: Any = client.execute_unary(
                    request=request, method=_INFO, headers=dict(_METADATA), timeout_ms=30_000
                )
                return response.deployment

            return ratio_sync(ours, theirs, threads, effort.calls, effort.pairs)

    return measure


def _httpx(peer: Peer, effort: Effort) -> list[float]:
    async def measure() -> list[float]:
        async with httpx.AsyncClient(headers=dict(_METADATA)) as client, ours_async(peer, "grpc") as ours:

            async def theirs() -> object:
                return json.loads((await client.get(f"{peer.url}/v1alpha1/inference/deployments/{ID}")).content)

            return await ratio_async(theirs, ours, 32, effort.calls // 4, max(3, effort.pairs // 2))

    return asyncio.run(measure())


_AIO = "grpc.aio stub, same metadata"
CASES = [
    Case("unary_grpc_async_1", "ratio", 0.88, _grpc_async(1), against=_AIO),
    Case("unary_grpc_async_32", "ratio", 0.88, _grpc_async(32), against=_AIO, guarded=True),
    Case("unary_grpc_async_256", "ratio", 0.9, _grpc_async(256), against=_AIO),
    Case("unary_grpc_async_256_by_4", "ratio", 0.9, _grpc_async(256, 4), against=f"{_AIO}, on 4 connections too"),
    Case("unary_grpc_sync_1", "ratio", 1, _grpc_sync(1), against="grpc stub", guarded=True),
    Case("unary_grpc_sync_32", "ratio", 1, _grpc_sync(32), against="grpc stub"),
    Case("unary_connect_async_32", "ratio", 0.97, _connect_async(32), against="connectrpc", guarded=True),
    Case("unary_connect_sync_32", "ratio", 0.9, _connect_sync(32), against="connectrpc", guarded=True),
    Case("unary_vs_httpx_32", "times less CPU", 16, _httpx, at_least=True, against="httpx, JSON into a dict"),
]

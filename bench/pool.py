"""Many concurrent calls to a server that allows 100 streams per connection and takes 50 ms to respond."""

import asyncio
import time

from cwinference import AsyncClient

from ._case import Case, Effort
from ._measure import AsyncCall, in_flight
from ._peer import ID, TOKEN, Peer
from .unary import ours_async, theirs_async

_SECONDS = 0.05
_ROUNDS = 20
_BARE = "grpc.aio stub on 4 connections"
_SLOW = ("-delay", "50ms", "-streams", "100")


async def _seconds(call: AsyncCall) -> float:
    before = time.perf_counter()
    await in_flight(call, 256, 256 * _ROUNDS)
    return time.perf_counter() - before


def _of_the_bare_stub(peer: Peer, effort: Effort) -> list[float]:
    """Measure the rate of the pool, relative to that of the bare stub on as many connections."""

    async def measure(slow: Peer, turns: int) -> list[float]:
        async with ours_async(slow, "grpc") as ours, theirs_async(slow, channels=4) as theirs:
            for call in (ours, theirs):
                await in_flight(call, 256, 256)
            return [await _seconds(theirs) / await _seconds(ours) for _ in range(turns)]

    with peer.with_options(*_SLOW) as slow:
        return asyncio.run(measure(slow, max(3, effort.pairs // 2)))


def _of_the_ideal(peer: Peer, effort: Effort) -> list[float]:
    async def measure(slow: Peer, turns: int) -> list[float]:
        async with ours_async(slow, "grpc") as call:
            await in_flight(call, 256, 256)
            return [_ROUNDS * _SECONDS / await _seconds(call) for _ in range(turns)]

    with peer.with_options(*_SLOW) as slow:
        return asyncio.run(measure(slow, max(3, effort.pairs // 2)))


def _connections(peer: Peer, effort: Effort) -> list[float]:
    async def measure(slow: Peer) -> float:
        async with AsyncClient(TOKEN, endpoint=slow.url) as client:
            await in_flight(lambda: client.deployments.get(ID), 80, 800)
            return float(slow.connections())

    with peer.with_options(*_SLOW) as slow:
        return [asyncio.run(measure(slow))]


CASES = [
    Case("pool_256", "times its rate", 1.05, _of_the_bare_stub, at_least=True, against=_BARE),
    Case("pool_256_of_the_ideal", "share", 0.95, _of_the_ideal, at_least=True, against="256 calls in 50 ms"),
    Case("pool_80_connections", "connections", 1, _connections),
]

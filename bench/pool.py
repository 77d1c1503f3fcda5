"""Many concurrent calls to a server that allows 100 streams per connection and takes 50 ms to respond."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from statistics import median

from cwinference import AsyncClient

from ._case import Case, Effort
from ._measure import AsyncCall, in_flight
from ._peer import ID, TOKEN, Peer
from .unary import ours_async, theirs_async

_SECONDS = 0.05
_SLOW = ("-delay", "50ms", "-streams", "100")


def _ours(peer: Peer) -> AbstractAsyncContextManager[AsyncCall]:
    return ours_async(peer, "grpc")


def _bare(peer: Peer) -> AbstractAsyncContextManager[AsyncCall]:
    return theirs_async(peer, channels=4)


def _share_of_ideal(side: Callable[[Peer], AbstractAsyncContextManager[AsyncCall]]) -> Callable[[Peer, Effort], float]:
    rounds = 20

    async def measure(slow: Peer, turns: int) -> float:
        async with side(slow) as call:
            await in_flight(call, 256, 256)
            found = list[float]()
            for _ in range(turns):
                before = time.perf_counter()
                await in_flight(call, 256, 256 * rounds)
                found.append(rounds * _SECONDS / (time.perf_counter() - before))
            return median(found)

    def run(peer: Peer, effort: Effort) -> float:
        with peer.with_options(*_SLOW) as slow:
            return asyncio.run(measure(slow, max(3, effort.pairs // 2)))

    return run


def _connections(peer: Peer, effort: Effort) -> float:
    async def measure(slow: Peer) -> float:
        async with AsyncClient(TOKEN, endpoint=slow.url) as client:
            await in_flight(lambda: client.deployments.get(ID), 80, 800)
            return float(slow.connections())

    with peer.with_options(*_SLOW) as slow:
        return asyncio.run(measure(slow))


_IDEAL = "256 calls in 50 ms"
CASES = [
    Case("pool_256", "share of the ideal", 0.95, _share_of_ideal(_ours), at_least=True, against=_IDEAL),
    Case(
        "pool_256_of_the_bare_stub", "share of the ideal", 0.95, _share_of_ideal(_bare), at_least=True, against=_IDEAL
    ),
    Case("pool_80_connections", "connections", 1, _connections),
]

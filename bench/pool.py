"""Many calls against a server that allows 100 streams on a connection and takes 50 ms for an answer."""

import asyncio
import time
from statistics import median

from cwinference import AsyncClient

from ._case import Case, Effort
from ._measure import in_flight
from ._peer import ID, TOKEN, Peer

_SECONDS = 0.05
_SLOW = ("-delay", "50ms", "-streams", "100")


def _share_of_ideal(peer: Peer, effort: Effort) -> float:
    rounds = 20

    async def measure(slow: Peer) -> float:
        async with AsyncClient(TOKEN, endpoint=slow.url) as client:
            await in_flight(lambda: client.deployments.get(ID), 256, 256)
            found = list[float]()
            for _ in range(max(3, effort.pairs // 2)):
                before = time.perf_counter()
                await in_flight(lambda: client.deployments.get(ID), 256, 256 * rounds)
                found.append(rounds * _SECONDS / (time.perf_counter() - before))
            return median(found)

    with peer.with_options(*_SLOW) as slow:
        return asyncio.run(measure(slow))


def _connections(peer: Peer, effort: Effort) -> float:
    async def measure(slow: Peer) -> float:
        async with AsyncClient(TOKEN, endpoint=slow.url) as client:
            await in_flight(lambda: client.deployments.get(ID), 80, 800)
            return float(slow.connections())

    with peer.with_options(*_SLOW) as slow:
        return asyncio.run(measure(slow))


CASES = [
    Case("pool_256", "share of the ideal", 0.95, _share_of_ideal, at_least=True, against="256 calls in 50 ms"),
    Case("pool_80_connections", "connections", 1, _connections),
]

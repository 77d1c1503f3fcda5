"""Servers that end their connections in good order, as proxies do when they reload: no read fails.

At full length (`make soak`) `CWINFERENCE_READS` says how many reads; the figure is 20,000.
"""

import asyncio
import os
from collections.abc import Callable, Mapping

import pytest

from cwinference import AsyncClient
from tests.support.clients import open_client
from tests.support.http2 import Http2Server

READS = int(os.environ.get("CWINFERENCE_READS", "1500"))
IN_FLIGHT = 32
RELOADS = 11
KINDS = ["grpc-sync", "grpc-async", "connect-sync", "connect-async"]


@pytest.mark.parametrize("kind", KINDS)
async def test_no_read_fails_when_connections_end_every_100_requests(kind: str) -> None:
    with Http2Server(goaway_after=100) as server:
        async with open_client(kind, server.endpoint) as client:
            await in_flight(client, READS)
    assert server.connections_made >= READS / 100


@pytest.mark.parametrize("kind", KINDS)
async def test_no_read_fails_over_ten_reloads(kind: str) -> None:
    with Http2Server() as server:
        async with open_client(kind, server.endpoint) as client:
            await in_flight(client, READS, {number * READS // RELOADS: server.reload for number in range(1, RELOADS)})
    assert server.connections_made >= RELOADS


async def in_flight(client: AsyncClient, reads: int, events: Mapping[int, Callable[[], None]] | None = None) -> None:
    """So many reads, some of them at a time, with an event before some; raises what the first failure raised."""
    left = iter(range(reads))

    async def work() -> None:
        for number in left:
            if events and number in events:
                await asyncio.to_thread(events[number])
            assert (await client.gateways.get("some-id")).spec.id

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(work())

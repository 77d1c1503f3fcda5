"""Servers that end their connections in good order, as proxies do when they reload: no read fails.

At full length (`make soak`) `CWINFERENCE_READS` says how many reads; the figure is 20,000.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping

import h2.config
import h2.connection
import h2.events
import pytest

from cwinference import AsyncClient, Retry, errors
from tests.support.client_kinds import open_client
from tests.support.connected_client import told
from tests.support.http2_server import Http2Server
from tests.support.scripted_server import Failure
from tests.support.socket_servers import SocketServer

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


@pytest.mark.parametrize("kind", ["grpc-sync", "grpc-async"])
async def test_an_update_is_not_repeated_because_a_server_relays_the_words_of_a_goaway(kind: str) -> None:
    told_of = Failure("unavailable", "Stream removed (GOAWAY received; Error code: 0; Debug Text: )")
    async with told(kind, lambda _: told_of) as (client, peer):
        with pytest.raises(errors.Unavailable):
            await client.gateways.update("some-id", name="front", zones=["zone"])
        assert len(peer.received) == 1


@pytest.mark.parametrize("taken", [False, True])
@pytest.mark.parametrize("kind", ["grpc-sync", "grpc-async"])
async def test_an_update_that_met_a_goaway_is_sent_once(kind: str, taken: bool) -> None:
    seen: list[int] = []

    def leave(connection: socket.socket) -> None:
        http2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        http2.initiate_connection()
        connection.sendall(http2.data_to_send())
        while data := connection.recv(65536):
            for event in http2.receive_data(data):
                if isinstance(event, h2.events.StreamEnded):
                    seen.append(event.stream_id)
                    http2.close_connection(last_stream_id=event.stream_id if taken else 0)
                    connection.sendall(http2.data_to_send())
                    return
            connection.sendall(http2.data_to_send())

    with SocketServer(leave) as server:
        async with open_client(kind, server.endpoint, retry=Retry(max_attempts=3, initial_backoff=0)) as client:
            with pytest.raises(errors.Unavailable):
                await client.gateways.update("some-id", name="front", zones=["zone"])
    assert len(seen) == 1

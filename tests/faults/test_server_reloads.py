"""Servers that close their connections gracefully, as proxies do when they reload: no read fails.

`CWINFERENCE_READS` is the number of reads, 20,000 in `make soak`.
"""

import asyncio
import os
import socket
from collections.abc import Coroutine
from functools import partial
from itertools import count
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from cwinference import AsyncClient, Retry, errors
from tests.support.client_kinds import open_client
from tests.support.connected_client import connected
from tests.support.http2_server import Http2Server
from tests.support.scripted_server import Failure
from tests.support.socket_servers import SocketServer
from tests.support.waiting import wait_until_async

READS = int(os.environ.get("CWINFERENCE_READS", "1500"))
IN_FLIGHT = 32
RELOADS = 10
KINDS = ["grpc-sync", "grpc-async", "connect-sync", "connect-async"]


@pytest.mark.parametrize("kind", KINDS)
async def test_no_read_fails_when_connections_end_every_100_requests(kind: str) -> None:
    with Http2Server(goaway_after=100) as server:
        async with open_client(kind, server.endpoint) as client:
            await read_concurrently(client, READS, asyncio.sleep(0))
    assert server.connections_made >= READS / 100


@pytest.mark.parametrize("kind", KINDS)
async def test_no_read_fails_during_ten_reloads(kind: str) -> None:
    with Http2Server() as server:
        async with open_client(kind, server.endpoint) as client:
            await read_concurrently(client, READS, reload_repeatedly(server))
    assert server.connections_made > RELOADS


async def reload_repeatedly(server: Http2Server) -> None:
    """Reload a server while it responds, each time after clients have connected anew; return when they have again."""
    for number in range(RELOADS):
        responses = number * READS // RELOADS
        await wait_until_async(partial(has_served, server, number + 1, responses))
        await asyncio.to_thread(server.reload)
    await wait_until_async(partial(has_served, server, RELOADS + 1, READS))


def has_served(server: Http2Server, connections: int, responses: int) -> bool:
    return server.connections_made >= connections and server.responses_sent >= responses


async def read_concurrently(client: AsyncClient, reads: int, meanwhile: Coroutine[Any, Any, None]) -> None:
    """Read repeatedly and concurrently, as often as that and until the coroutine has returned.

    Raises the error of the first read that fails.
    """
    numbers = count()

    async def work() -> None:
        while next(numbers) < reads or not other.done():
            assert (await client.gateways.get("some-id")).spec.id

    async with asyncio.TaskGroup() as group:
        other = group.create_task(meanwhile)
        for _ in range(IN_FLIGHT):
            group.create_task(work())


@pytest.mark.parametrize("kind", ["grpc-sync", "grpc-async"])
async def test_an_update_is_not_retried_when_a_server_message_quotes_a_goaway(kind: str) -> None:
    failure = Failure("unavailable", "Stream removed (GOAWAY received; Error code: 0; Debug Text: )")
    async with connected(kind, lambda _: failure) as (client, server):
        with pytest.raises(errors.Unavailable):
            await client.gateways.update("some-id", name="front", zones=["zone"])
        assert len(server.received) == 1


@pytest.mark.parametrize("processed", [False, True])
@pytest.mark.parametrize("kind", ["grpc-sync", "grpc-async"])
async def test_an_update_that_gets_a_goaway_is_sent_once(kind: str, processed: bool) -> None:
    received: list[int] = []

    def go_away(connection: socket.socket) -> None:
        http2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        http2.initiate_connection()
        connection.sendall(http2.data_to_send())
        while data := connection.recv(65536):
            for event in http2.receive_data(data):
                if isinstance(event, h2.events.StreamEnded):
                    received.append(event.stream_id)
                    http2.close_connection(last_stream_id=event.stream_id if processed else 0)
                    connection.sendall(http2.data_to_send())
                    return
            connection.sendall(http2.data_to_send())

    with SocketServer(go_away) as server:
        async with open_client(kind, server.endpoint, retry=Retry(max_attempts=3, initial_backoff=0)) as client:
            with pytest.raises(errors.Unavailable):
                await client.gateways.update("some-id", name="front", zones=["zone"])
    assert len(received) == 1

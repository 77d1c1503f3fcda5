"""Servers that are down: they are found again soon, and are not answered with a multiple of the load.

`make soak` says by `CWINFERENCE_OUTAGES` how many seconds they are down: 3, 20 and 60 by the figure; and by
`CWINFERENCE_FAILURES` how many calls fail: 10,000.
"""

import asyncio
import os
import socket
import time

import pytest

from cwinference import AsyncClient, Retry, errors
from tests.support.client_kinds import KINDS, open_client
from tests.support.connected_client import told
from tests.support.http2_server import Http2Server
from tests.support.samples import DIRECTORY
from tests.support.scripted_server import Failure, http, read_request
from tests.support.socket_servers import SocketServer

OUTAGES = [float(seconds) for seconds in os.environ.get("CWINFERENCE_OUTAGES", "1").split(",")]
CALLS = int(os.environ.get("CWINFERENCE_FAILURES", "1000"))
SOON = 1.5


@pytest.mark.parametrize("seconds", OUTAGES)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if "json" not in kind])
async def test_a_server_that_comes_back_is_found_soon(kind: str, seconds: float) -> None:
    with server_for(kind) as server:
        port = server.port
        async with open_client(kind, server.endpoint, retry=None) as client:
            await client.gateways.get("some-id")
            await asyncio.to_thread(server.__exit__)
            await refused_for(client, seconds)
            with server_for(kind, port):
                back = time.monotonic()
                while not await works(client):
                    assert time.monotonic() - back < SOON
                    await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", ["grpc-async", "connect-async", "rest-sync"])
async def test_when_all_fails_few_calls_are_repeated(kind: str) -> None:
    down = Failure("unavailable", "down")
    async with told(kind, lambda _: down, retry=Retry(initial_backoff=0)) as (client, peer):
        for _ in range(CALLS // 20):
            await asyncio.gather(*(works(client) for _ in range(20)))
        assert CALLS < len(peer.received) <= 1.1 * CALLS


async def refused_for(client: AsyncClient, seconds: float) -> None:
    """Call again and again, as a service does that does not know."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert not await works(client)
        await asyncio.sleep(0.02)


async def works(client: AsyncClient) -> bool:
    try:
        await client.gateways.get("some-id", timeout=SOON)
    except errors.ApiError:
        return False
    return True


def server_for(kind: str, port: int = 0) -> SocketServer:
    return SocketServer(answer_rest, port=port) if kind.startswith("rest") else Http2Server(port=port)


def answer_rest(connection: socket.socket) -> None:
    sample = (DIRECTORY / "GatewayService.GetGateway.response.json").read_bytes()
    with connection.makefile("rb") as stream:
        while True:
            read_request(stream)
            connection.sendall(http(200, sample, {"content-type": "application/json"}))

"""Servers that are down: clients use them again soon after the outage, and retries do not multiply the load.

`CWINFERENCE_OUTAGES` lists how many seconds the server is down, 3, 20 and 60 in `make soak`; `CWINFERENCE_FAILURES` is
the number of calls that fail, 10,000 in `make soak`.
"""

import asyncio
import os
import socket
import time

import pytest

from cwinference import AsyncClient, Retry, errors
from tests.support.client_kinds import KINDS, open_client
from tests.support.connected_client import connected
from tests.support.http2_server import Http2Server
from tests.support.samples import DIRECTORY
from tests.support.scripted_server import Failure, http_response, read_request
from tests.support.socket_servers import SocketServer

OUTAGES = [float(seconds) for seconds in os.environ.get("CWINFERENCE_OUTAGES", "1").split(",")]
CALLS = int(os.environ.get("CWINFERENCE_FAILURES", "1000"))
SOON = 1.5
ROUNDS = 5
"""How often to try at most: load on the machine can only add time."""
GIVE_UP = 60.0


@pytest.mark.parametrize("seconds", OUTAGES)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if "json" not in kind])
async def test_a_server_is_used_again_soon_after_an_outage(kind: str, seconds: float) -> None:
    recoveries: list[float] = []
    while not recoveries or (min(recoveries) >= SOON and len(recoveries) < ROUNDS):
        recoveries.append(await recovery(kind, seconds))
    assert min(recoveries) < SOON


async def recovery(kind: str, seconds: float) -> float:
    """Return how long a server is not used after an outage of some seconds."""
    with server_for(kind) as server:
        port = server.port
        async with open_client(kind, server.endpoint, retry=None) as client:
            await client.gateways.get("some-id")
            await asyncio.to_thread(server.__exit__)
            await fail_for(client, seconds)
            with server_for(kind, port):
                restored = time.monotonic()
                while not await succeeds(client):
                    assert time.monotonic() - restored < GIVE_UP
                    await asyncio.sleep(0.02)
                return time.monotonic() - restored


@pytest.mark.parametrize("kind", ["grpc-async", "connect-async", "rest-sync"])
async def test_few_calls_are_retried_when_all_of_them_fail(kind: str) -> None:
    down = Failure("unavailable", "down")
    async with connected(kind, lambda _: down, retry=Retry(initial_backoff=0)) as (client, server):
        for _ in range(CALLS // 20):
            await asyncio.gather(*(succeeds(client) for _ in range(20)))
        assert CALLS < len(server.received) <= 1.1 * CALLS


async def fail_for(client: AsyncClient, seconds: float) -> None:
    """Call repeatedly, as a service does that does not know of the outage; each call must fail."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert not await succeeds(client)
        await asyncio.sleep(0.02)


async def succeeds(client: AsyncClient) -> bool:
    try:
        await client.gateways.get("some-id", timeout=20)
    except errors.ApiError:
        return False
    return True


def server_for(kind: str, port: int = 0) -> SocketServer:
    return SocketServer(respond_rest, port=port) if kind.startswith("rest") else Http2Server(port=port)


def respond_rest(connection: socket.socket) -> None:
    sample = (DIRECTORY / "GatewayService.GetGateway.response.json").read_bytes()
    with connection.makefile("rb") as stream:
        while True:
            read_request(stream)
            connection.sendall(http_response(200, sample, {"content-type": "application/json"}))

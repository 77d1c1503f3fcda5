"""Servers that are down: clients use them again soon after the outage, and retries do not multiply the load.

`CWINFERENCE_OUTAGES` lists how many seconds the server is down, 3, 20 and 60 in `make soak`; `CWINFERENCE_FAILURES` is
the number of calls that fail, 10,000 in `make soak`.
"""

import asyncio
import os
import socket
import time
from contextlib import ExitStack
from typing import Any

import pytest

from cwinference import AsyncClient, Retry, errors, types
from cwinference.emulator import Emulator
from tests.support.breaking_relay import BreakingRelay
from tests.support.client_kinds import KINDS, open_client
from tests.support.connected_client import connected
from tests.support.http2_server import Http2Server
from tests.support.samples import DIRECTORY
from tests.support.scripted_server import Failure, http_response, read_request
from tests.support.socket_servers import SocketServer

FORMS = [kind for kind in KINDS if "json" not in kind]
OUTAGES = [float(seconds) for seconds in os.environ.get("CWINFERENCE_OUTAGES", "1").split(",")]
CALLS = int(os.environ.get("CWINFERENCE_FAILURES", "1000"))
GATEWAY: dict[str, Any] = {"core_weave_auth": types.CoreWeaveAuth(), "path_based_routing": types.PathBasedRouting()}


@pytest.mark.parametrize("seconds", OUTAGES)
@pytest.mark.parametrize("kind", FORMS)
async def test_a_call_after_an_outage_succeeds_at_once_even_without_retries(kind: str, seconds: float) -> None:
    with server_for(kind) as server:
        port = server.port
        async with open_client(kind, server.endpoint, retry=None) as client:
            await client.gateways.get("some-id")
            await asyncio.to_thread(server.__exit__)
            await fail_for(client, seconds)
            with server_for(kind, port):
                assert await succeeds(client)


@pytest.mark.parametrize("kind", FORMS)
async def test_a_server_that_restarts_within_2_seconds_is_not_noticed(kind: str) -> None:
    with ExitStack() as servers:
        port = servers.enter_context(server_for(kind)).port
        async with open_client(kind, f"http://127.0.0.1:{port}") as client:
            is_back, begun = asyncio.Event(), [asyncio.Event() for _ in range(8)]
            callers = [asyncio.create_task(call_until(is_back, client, each)) for each in begun]
            await asyncio.gather(*(each.wait() for each in begun))
            await asyncio.to_thread(servers.close)
            await asyncio.sleep(1.5)  # the outage
            servers.enter_context(server_for(kind, port))
            is_back.set()
            await asyncio.gather(*callers)


async def call_until(is_back: asyncio.Event, client: AsyncClient, begun: asyncio.Event) -> None:
    """Call repeatedly, the last time after the outage; no call may fail."""
    is_last = False
    while not is_last:
        is_last = is_back.is_set()
        await client.gateways.get("some-id")
        begun.set()


@pytest.mark.parametrize("kind", FORMS)
async def test_an_outage_fails_none_of_500_creates(kind: str) -> None:
    ids, some_are_created = set[str](), asyncio.Event()

    async def create(number: int) -> None:
        gateway = await client.gateways.create(f"front-{number}", **GATEWAY)
        ids.add(gateway.spec.id)
        if len(ids) == 20:
            some_are_created.set()

    with Emulator() as emulator, ExitStack() as relays:
        target = int(emulator.endpoint.rpartition(":")[2])
        port = relays.enter_context(BreakingRelay(target)).port
        async with open_client(kind, f"http://127.0.0.1:{port}", emulator.token) as client:
            creates = [asyncio.create_task(create(number)) for number in range(500)]
            await some_are_created.wait()
            await asyncio.to_thread(relays.close)
            await asyncio.sleep(0.5)  # the outage
            relays.enter_context(BreakingRelay(target, port))
            await asyncio.gather(*creates)
            assert len(await client.gateways.list()) == len(ids) == 500


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

"""Longer round trips: in both directions, in order, without a limit on the rate, and for the whole connection."""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import h2.events
import pytest

from cwinference import TLS, errors
from cwinference.emulator.faults.slow_link import SlowLink
from cwinference.emulator.server import Certificate
from tests.emulator.test_server import Http2
from tests.support import certificates
from tests.support.client_kinds import KINDS, open_client
from tests.support.faulty_emulator import FaultyEmulator, faulty_emulator
from tests.support.waiting import wait_until_async

KINDS_HERE = [kind for kind in KINDS if kind.endswith("async")]


@pytest.fixture
def server() -> Iterator[FaultyEmulator]:
    with faulty_emulator() as running:
        yield running


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that nothing is logged as an error."""
    yield
    assert [each for each in caplog.records if each.name.startswith(("cwinference.emulator", "asyncio"))] == []


@asynccontextmanager
async def slow_link(seconds: float) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter, socket.socket]]:
    """Open a connection that is slowed down; yield its streams, and the other end."""
    streams: list[Any] = []
    loop = asyncio.get_running_loop()
    here, there = socket.socketpair()
    with there:
        link = SlowLink(lambda *both: streams.extend(both), loop)
        await loop.connect_accepted_socket(lambda: link, here)
        link.slow_down("a reason", seconds)
        yield streams[0], streams[1], there


async def seconds_of(call: Any) -> float:
    began = time.perf_counter()
    await call
    return time.perf_counter() - began


@pytest.mark.parametrize("kind", KINDS_HERE)
async def test_every_call_on_a_connection_takes_a_round_trip_longer(kind: str, server: FaultyEmulator) -> None:
    latency = server.faults.add("latency", seconds=0.1)
    async with open_client(kind, server.endpoint, retry=None) as client:
        for _ in range(3):
            assert await seconds_of(client.gateways.list()) >= 0.1
        assert await seconds_of(asyncio.gather(*(client.gateways.list() for _ in range(50)))) < 50 * 0.1
    assert latency.happened == 53


async def test_the_delays_of_several_faults_add_up_but_not_those_of_several_calls(server: FaultyEmulator) -> None:
    for _ in range(2):
        server.faults.add("latency", seconds=0.1)
    async with open_client("connect-async", server.endpoint, retry=None) as client:
        assert min([await seconds_of(client.gateways.list()) for _ in range(3)]) >= 0.2
        assert sum([await seconds_of(client.gateways.list()) for _ in range(10)]) < 10 * 0.4


async def test_a_connection_stays_slow_and_others_stay_fast(server: FaultyEmulator) -> None:
    server.faults.add("latency", method="ListGateways", nth=1, seconds=0.5)
    async with (
        open_client("grpc-async", server.endpoint, retry=None) as slow,
        open_client("grpc-async", server.endpoint, retry=None) as fast,
    ):
        assert await seconds_of(slow.gateways.list()) >= 0.5
        assert await seconds_of(fast.gateways.list()) < 0.5
        server.faults.clear()
        with pytest.raises(errors.NotFound):
            await slow.gateways.get("none")
        assert await seconds_of(slow.gateways.list()) >= 0.5


async def test_calls_that_are_not_selected_are_fast(server: FaultyEmulator) -> None:
    server.faults.add("latency", method="CreateGateway", seconds=60)
    async with open_client("connect-async", server.endpoint, retry=None) as client:
        assert await seconds_of(client.gateways.list()) < 30


def test_frames_keep_their_order_and_do_not_wait_for_each_other(server: FaultyEmulator) -> None:
    server.faults.add("latency", seconds=0.2)
    connection = Http2(server.port)
    number = connection.request()
    connection.data(number, bytes(5), end=True)
    connection.response(number)
    sent = [number.to_bytes(8, "big") for number in range(200)]
    began = time.perf_counter()
    for each in sent:
        connection.http2.ping(each)
        connection.flush()
    received = list[bytes]()
    while len(received) < len(sent):
        events = connection.http2.receive_data(connection._socket.recv(65536))
        received += [each.ping_data for each in events if isinstance(each, h2.events.PingAckReceived)]
    assert received == sent
    assert 0.2 <= time.perf_counter() - began < len(sent) * 0.2 / 4
    connection.close()


async def test_a_large_response_is_not_slowed_down(server: FaultyEmulator) -> None:
    server.faults.add("latency", seconds=0.2)
    server.faults.add("oversized", size=20_000_000)
    async with open_client("rest-async", server.endpoint, retry=None, max_reply_bytes=2**25) as client:
        with pytest.raises(errors.ProtocolError, match="not JSON"):
            await client.gateways.list(timeout=30)


async def test_the_first_half_of_a_cut_response_arrives(server: FaultyEmulator) -> None:
    server.faults.add("latency", seconds=0.4)
    server.faults.add("cut", when="response")
    async with open_client("rest-async", server.endpoint, retry=None) as client:
        with pytest.raises(errors.Unavailable, match="Error reading"):
            await client.gateways.list()


async def test_what_is_under_way_to_a_connection_that_becomes_half_open_does_not_arrive() -> None:
    async with slow_link(3600) as (reader, writer, client):
        transport: Any = writer.transport
        client.send(b"under way")
        await wait_until_async(lambda: not transport.link.inbound.is_empty)
        transport.stop_reading()
        transport.abort()
        assert await reader.read() == b""


async def test_a_connection_that_is_lost_is_lost_at_once_after_all_that_was_received() -> None:
    async with slow_link(3600) as (reader, writer, client):
        transport: Any = writer.transport
        client.send(b"received")
        await wait_until_async(lambda: not transport.link.inbound.is_empty)
        writer.write(b"written")
        transport.abort()
        assert await reader.read() == b"received"
        assert client.recv(100) == b""


@pytest.mark.parametrize("kind", KINDS_HERE)
async def test_over_tls(kind: str, tmp_path: Path) -> None:
    cert, key = certificates.make(tmp_path)
    with faulty_emulator(Certificate(cert, key)) as server:
        server.faults.add("latency", seconds=0.1)
        async with open_client(kind, server.endpoint, retry=None, tls=TLS(ca=cert)) as client:
            for _ in range(2):
                assert await seconds_of(client.gateways.list()) >= 0.1


@pytest.mark.parametrize("kind", KINDS_HERE)
async def test_the_end_of_the_server_is_not_delayed(kind: str) -> None:
    with faulty_emulator() as server:
        server.faults.add("latency", seconds=60)
        async with open_client(kind, server.endpoint, retry=None, timeout=0.2) as client:
            with pytest.raises(errors.DeadlineExceeded):
                await client.gateways.list()
        began = time.perf_counter()
    assert time.perf_counter() - began < 10

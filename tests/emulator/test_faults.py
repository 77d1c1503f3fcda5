"""Injected faults, and what real clients on real sockets get, over every protocol."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest
from google.rpc.error_details_pb2 import ErrorInfo

from cwinference import AsyncClient, errors, types
from cwinference._calls.clock import Clock
from cwinference.transports import _pool
from tests.support.client_kinds import KINDS, open_client
from tests.support.faulty_emulator import FaultyEmulator, faulty_emulator
from tests.support.waiting import wait_until_async

KINDS_HERE = [kind for kind in KINDS if kind.endswith("async")]
FIELDS: dict[str, Any] = {"core_weave_auth": types.CoreWeaveAuth(), "path_based_routing": types.PathBasedRouting()}


@pytest.fixture(params=KINDS_HERE)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def _running() -> Iterator[FaultyEmulator]:
    with faulty_emulator() as running:
        yield running


@pytest.fixture
def server(_running: FaultyEmulator) -> FaultyEmulator:
    """Return a server without faults, whose API may still have resources of earlier tests."""
    _running.faults.clear()
    _running.recorded.calls.clear()
    return _running


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that injected faults are not logged as errors of the emulator."""
    yield
    assert [each for each in caplog.records if each.name.startswith("cwinference.emulator")] == []


@pytest.fixture
async def client(kind: str, server: FaultyEmulator) -> AsyncIterator[AsyncClient]:
    """Yield a client without retries, so that the fault itself is seen."""
    async with open_client(kind, server.endpoint, retry=None, timeout=60.0, max_reply_bytes=1_000_000) as opened:
        yield opened


async def create(client: AsyncClient, name: str) -> types.Gateway:
    return await client.gateways.create(name, **FIELDS)


async def test_an_error_has_any_code_and_details(client: AsyncClient, server: FaultyEmulator) -> None:
    detail = ErrorInfo(reason="TRIED", domain="tests")
    server.faults.add("error", code="aborted", message="not now", details=[detail])
    with pytest.raises(errors.Aborted, match="not now") as caught:
        await client.gateways.list()
    assert list(caught.value.details) == [detail]
    assert server.recorded.calls == []


async def test_every_code_is_the_same_over_every_protocol(client: AsyncClient, server: FaultyEmulator) -> None:
    for code, kind in errors.CODES.items():
        server.faults.clear()
        server.faults.add("error", code=code)
        with pytest.raises(errors.ApiError) as caught:
            await client.gateways.list()
        assert type(caught.value) is kind


async def test_an_error_after_the_work_leaves_the_resource_created(
    client: AsyncClient, server: FaultyEmulator, kind: str
) -> None:
    server.faults.add("error", method="CreateGateway", after_work=True)
    with pytest.raises(errors.Unavailable):
        await create(client, f"late-{kind}")
    assert f"late-{kind}" in [each.spec.name for each in await client.gateways.list()]


async def test_headers_of_an_error_reach_the_client(kind: str, server: FaultyEmulator) -> None:
    paused: list[float] = []

    async def sleep(seconds: float) -> None:
        paused.append(seconds)

    header = "grpc-retry-pushback-ms" if kind.startswith("grpc") else "retry-after"
    server.faults.add("error", nth=1, headers={header: "7000" if kind.startswith("grpc") else "7"})
    async with open_client(kind, server.endpoint, clock=Clock(sleep_async=sleep)) as client:
        await client.gateways.list()
    assert paused == [7.0]


async def test_a_proxys_page_is_not_an_error_of_the_api(client: AsyncClient, server: FaultyEmulator) -> None:
    server.faults.add("page", status=404)
    with pytest.raises(errors.Unimplemented):
        await client.gateways.list()


@pytest.mark.parametrize("fault", ["delay", "half_open"])
async def test_a_silent_server_is_left_at_the_deadline(client: AsyncClient, server: FaultyEmulator, fault: Any) -> None:
    server.faults.add(fault)
    with pytest.raises(errors.DeadlineExceeded):
        await client.gateways.list(timeout=0.2)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_half_open_connection_is_replaced(
    kind: str, server: FaultyEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pool, "SILENT_SECONDS", 0.5)
    server.faults.add("half_open", nth=1)
    version = {"http_version": 2} if kind.startswith("rest") else {}
    async with open_client(kind, server.endpoint, retry=None, **version) as client:
        with pytest.raises(errors.DeadlineExceeded):
            await client.gateways.list(timeout=0.2)
        for attempt in range(20):  # a busy machine needs more attempts, and longer ones
            with suppress(errors.DeadlineExceeded):
                await client.gateways.list(timeout=0.2 * (attempt + 1))
                break
        else:
            pytest.fail("the half-open connection is still in use")


async def test_over_http1_a_half_open_connection_is_replaced_at_once(server: FaultyEmulator) -> None:
    server.faults.add("half_open", nth=1)
    async with open_client("rest-async", server.endpoint, retry=None) as client:
        with pytest.raises(errors.DeadlineExceeded):
            await client.gateways.list(timeout=0.2)
        await client.gateways.list(timeout=30)


@pytest.mark.parametrize("kind", ["grpc-async", "connect-async"])
async def test_a_half_open_connection_is_replaced_after_cancellations(
    kind: str, server: FaultyEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pool, "SILENT_SECONDS", 0.2)
    server.faults.add("half_open", nth=1)
    async with open_client(kind, server.endpoint) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.gateways.list()
        await client.gateways.list(timeout=30)


async def test_a_dripping_response_arrives_complete(client: AsyncClient, server: FaultyEmulator, kind: str) -> None:
    created = await create(client, f"drip-{kind}")
    dripping = server.faults.add("drip", method="GetGateway", size=50, seconds=0.01)
    began = asyncio.get_running_loop().time()
    assert (await client.gateways.get(created.spec.id)).spec == created.spec
    assert asyncio.get_running_loop().time() - began >= 0.01
    assert dripping.happened == 1


async def test_a_dripping_response_does_not_extend_the_deadline(
    client: AsyncClient, server: FaultyEmulator, kind: str
) -> None:
    created = await create(client, f"slow-{kind}")
    server.faults.add("drip", method="GetGateway", size=1, seconds=0.05)
    with pytest.raises(errors.DeadlineExceeded):
        await client.gateways.get(created.spec.id, timeout=0.2)


@pytest.mark.parametrize(("when", "calls"), [("before", 0), ("during", 1), ("after", 1), ("response", 1)])
async def test_a_cut_happens_before_or_after_the_work(
    client: AsyncClient, server: FaultyEmulator, kind: str, when: str, calls: int
) -> None:
    server.faults.add("cut", method="CreateGateway", when=when)
    with pytest.raises(errors.Unavailable):
        await create(client, f"cut-{when}-{kind}")
    await wait_until_async(lambda: server.recorded.count("CreateGateway") == calls)


async def test_an_empty_response_is_cut_too(kind: str) -> None:
    """An empty list has no bytes over Connect."""
    with faulty_emulator() as fresh:
        fresh.faults.add("cut", method="ListGateways", when="response")
        for version in [1, 2] if kind.startswith("connect") else [None]:
            async with open_client(kind, fresh.endpoint, retry=None, http_version=version) as client:
                with pytest.raises(errors.Unavailable):
                    await client.gateways.list()


async def test_a_refused_stream_is_not_processed(kind: str, server: FaultyEmulator) -> None:
    refused = server.faults.add("refuse", nth=1)
    async with open_client(kind, server.endpoint) as client:
        await client.gateways.list()
    assert refused.happened == 1
    assert server.recorded.calls == ["ListGateways"]


async def test_no_call_is_lost_with_goaway(client: AsyncClient, server: FaultyEmulator) -> None:
    going = server.faults.add("goaway", nth=range(1, 100, 5))
    for _ in range(5):
        await asyncio.gather(*(client.gateways.list() for _ in range(8)))
    assert going.happened >= 5
    assert server.recorded.count("ListGateways") == 40


async def test_garbage_is_a_protocol_error(client: AsyncClient, server: FaultyEmulator, kind: str) -> None:
    created = await create(client, f"garbage-{kind}")
    server.faults.add("garbage")
    with pytest.raises(errors.ProtocolError):
        await client.gateways.get(created.spec.id)


async def test_garbage_replaces_an_empty_response_too(kind: str) -> None:
    """An empty list has no bytes over Connect."""
    with faulty_emulator() as fresh:
        fresh.faults.add("garbage")
        async with open_client(kind, fresh.endpoint, retry=None) as client:
            with pytest.raises(errors.ProtocolError):
                await client.gateways.list()


async def test_an_oversized_response_is_rejected(client: AsyncClient, server: FaultyEmulator, kind: str) -> None:
    created = await create(client, f"big-{kind}")
    server.faults.add("oversized", size=1_000_001)
    with pytest.raises(errors.ProtocolError, match="1,?000,?000"):
        await client.gateways.get(created.spec.id)


async def test_a_skewed_clock_shifts_every_time(client: AsyncClient, server: FaultyEmulator, kind: str) -> None:
    created = await create(client, f"skew-{kind}")
    server.faults.add("skew", seconds=-300)
    late = await client.gateways.get(created.spec.id)
    assert created.status.created_at.seconds - late.status.created_at.seconds == 300
    server.faults.clear()
    assert (await client.gateways.get(created.spec.id)).status.created_at == created.status.created_at


async def test_a_duplicate_is_run_twice(client: AsyncClient, server: FaultyEmulator, kind: str) -> None:
    created = await create(client, f"twice-{kind}")
    server.faults.add("duplicate", method="GetGateway")
    await client.gateways.get(created.spec.id)
    assert server.recorded.count("GetGateway") == 2


async def test_delayed_calls_do_not_delay_the_end_of_the_server(kind: str) -> None:
    with faulty_emulator() as server:
        server.faults.add("delay", seconds=60)
        async with open_client(kind, server.endpoint, timeout=0.1) as client:
            with pytest.raises(errors.DeadlineExceeded):
                await client.gateways.list()
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 30


async def test_all_faults_of_a_call_happen(client: AsyncClient, server: FaultyEmulator) -> None:
    delay = server.faults.add("delay", seconds=0.01)
    server.faults.add("error", code="internal")
    with pytest.raises(errors.Internal):
        await client.gateways.list()
    assert delay.happened == 1


async def test_a_removed_fault_does_not_happen(client: AsyncClient, server: FaultyEmulator) -> None:
    fault = server.faults.add("error")
    server.faults.remove(fault)
    await client.gateways.list()
    assert fault.happened == 0

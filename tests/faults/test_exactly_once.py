"""Connections break at any byte of a call, and still: creates happen once, and what may not be repeated is not.

`make soak` tries a thousand seeded places for each client; here it is a few.
"""

import os
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from cwinference import AsyncClient, Retry, errors, types
from cwinference._wire.methods import METHODS
from cwinference.emulator.interfaces import Caller
from tests.support.breaking_relay import Cut, Cutter, Direction
from tests.support.client_kinds import KINDS, open_client
from tests.support.faulty_emulator import FaultyEmulator, faulty_emulator
from tests.support.scripted_server import Failure, Peer

PLACES = int(os.environ.get("CWINFERENCE_CUTS", "16"))
OURS = Caller("cw1a2b")
PERSISTENT = Retry(max_attempts=12, initial_backoff=0.02, max_backoff=0.2)
"""gRPC refuses calls at once while it waits to connect again, so that several attempts may go for one cut."""
CALLS_OF_A_CLIENT = 10
"""A client's budget for repeats is made for more successes than these calls have."""

FRONT: dict[str, Any] = {"core_weave_auth": types.CoreWeaveAuth(), "path_based_routing": types.PathBasedRouting()}
ZONES = ["US-EAST-04A"]
CLAIM = types.CapacityClaimResources(
    instance_id="gb200-4x", instance_count=1, capacity_type=types.CapacityType.CAPACITY_TYPE_MANAGED, zones=ZONES
)


def deployment_on(gateway: str) -> dict[str, Any]:
    return {
        "gateway_ids": [gateway],
        "runtime": types.DeploymentRuntime(engine="vllm", version="0.11.0"),
        "resources": types.DeploymentResources(instance_type="gd-8xh100ib-i128", gpu_count=8),
        "model": types.DeploymentModel(name="org/model", bucket="models", path="model"),
        "autoscaling": types.DeploymentAutoscaling(min=1, max=1),
        "traffic": types.DeploymentTraffic(weight=1),
    }


@dataclass
class Bench:
    """A server, and a relay in front of it that cuts."""

    server: FaultyEmulator
    cutter: Cutter

    def stored(self, name: str) -> list[Any]:
        """All resources of that name, whatever kind."""
        lists = (types.ListGatewaysRequest(), types.ListDeploymentsRequest(), types.ListCapacityClaimsRequest())
        replies: list[Any] = [self.server.recorded.api.call(METHODS[type(each)], each, OURS) for each in lists]
        listed = [*replies[0].items, *replies[1].items, *replies[2].capacity_claims]
        return [each for each in listed if each.spec.name == name]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with faulty_emulator(cancel_hot_loads=True) as server, Cutter(server.port) as cutter:
        yield Bench(server, cutter)


@pytest.fixture(autouse=True)
def _nothing_cut(bench: Bench) -> Iterator[None]:
    bench.cutter.arm(None)
    yield
    bench.cutter.arm(None)


async def clients(kind: str, bench: Bench, calls: int) -> AsyncIterator[tuple[int, AsyncClient]]:
    """A client for each of so many calls; a new one now and then, and each with its connection open."""
    for start in range(0, calls, CALLS_OF_A_CLIENT):
        async with open_client(kind, bench.cutter.endpoint, retry=PERSISTENT, timeout=20.0) as client:
            for number in range(start, min(calls, start + CALLS_OF_A_CLIENT)):
                bench.cutter.arm(None)
                await client.gateways.parameters()
                yield number, client


class Place(NamedTuple):
    """Which way, and whether anywhere there or before its first byte."""

    direction: Direction
    inside: bool


IN_REQUEST, IN_ANSWER, BETWEEN = Place("up", True), Place("down", True), Place("down", False)
KINDS_OF_PLACES = [IN_REQUEST, IN_REQUEST, IN_ANSWER, IN_ANSWER, BETWEEN]


class Places:
    """Seeded places to cut calls at: from before their first byte to within their answer's last."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)  # noqa: S311

    def draw(self, sizes: dict[Direction, int]) -> Cut:
        """Twice in five somewhere in a request of this size, twice in its answer, once right between."""
        direction, inside = self._random.choice(KINDS_OF_PLACES)
        offset = self._random.randrange(max(1, sizes[direction])) if inside else 0
        return Cut(direction, offset, times=self._random.choice([1, 1, 1, 2, 3]), reset=self._random.random() < 0.5)


async def measured(bench: Bench, call: Awaitable[Any]) -> dict[Direction, int]:
    """How many bytes a call takes each way, also one that is refused."""
    bench.cutter.arm(None)
    with suppress(errors.ApiError):
        await call
    return dict(bench.cutter.passed)


async def test_a_create_happens_once_and_its_caller_gets_it(kind: str, bench: Bench) -> None:
    cuts = 0
    async with open_client(kind, bench.cutter.endpoint) as client:
        front = await client.gateways.create(f"front-{kind}", **FRONT)
    makers: list[Callable[[AsyncClient, str], Any]] = [
        lambda client, name: client.gateways.create(name, **FRONT),
        lambda client, name: client.deployments.create(name, **deployment_on(front.spec.id)),
        lambda client, name: client.capacity_claims.create(name, resources=CLAIM),
    ]
    async with open_client(kind, bench.cutter.endpoint) as client:
        sizes = [await measured(bench, make(client, f"measured-{kind}")) for make in makers]
    places = Places(f"create {kind}")
    async for number, client in clients(kind, bench, PLACES):
        which = number % len(makers)
        name, cut = f"made-{number}-{kind}", places.draw(sizes[which])
        bench.cutter.arm(cut)
        made = await makers[which](client, name)
        cuts += bench.cutter.cuts
        assert [each.spec for each in bench.stored(name)] == [made.spec], cut
    assert cuts >= PLACES // 2


async def hot_load_on(client: AsyncClient, gateway: str, kind: str) -> types.HotLoad:
    hot = types.DeploymentHotLoad(bucket="weights", transition_mode=types.TransitionMode.TRANSITION_MODE_ASYNC)
    fields = deployment_on(gateway)
    fields["runtime"] = types.DeploymentRuntime(engine="dynamo-vllm", version="0.22.0")
    deployment = await client.deployments.create(f"hot-{kind}", hot_load=hot, wait=True, **fields)
    return await client.hot_loads.create(deployment.spec.id, identity="one", type=types.SnapshotType.SNAPSHOT_TYPE_FULL)


async def test_what_may_not_be_repeated_is_processed_at_most_once(kind: str, bench: Bench) -> None:
    calls, cuts = bench.server.recorded, 0
    async with open_client(kind, bench.cutter.endpoint) as client:
        gateway = await client.gateways.create(f"changed-{kind}", zones=ZONES, **FRONT)
        hot_load = await hot_load_on(client, gateway.spec.id, kind)
    front, hot = gateway.spec.id, hot_load.spec.id
    changers: list[tuple[str, Callable[[AsyncClient], Any]]] = [
        ("UpdateGateway", lambda client: client.gateways.update(front, name=f"changed-{kind}", **FRONT)),
        ("UpdateGateway", lambda client: client.gateways.modify(front, zones=ZONES)),
        ("CancelHotLoad", lambda client: client.hot_loads.cancel(hot)),
    ]
    async with open_client(kind, bench.cutter.endpoint) as client:
        sizes = [await measured(bench, change(client)) for _, change in changers]
    places = Places(f"change {kind}")
    async for number, client in clients(kind, bench, PLACES):
        which = number % len(changers)
        (method, change), cut = changers[which], places.draw(sizes[which])
        bench.cutter.arm(cut)
        calls.calls.clear()
        try:
            await change(client)
        except errors.ApiError:
            assert calls.count(method) <= 1, cut
        else:
            assert calls.count(method) == 1, cut
        cuts += bench.cutter.cuts
    assert cuts >= PLACES // 2


RELAYED = "failed to connect to all addresses; last error: UNKNOWN: ipv4:10.0.0.1:443: Connection refused"
"""What grpcio says of a request that it never sent, in the mouth of a server that called another one."""


async def test_a_servers_words_do_not_pass_for_a_request_that_was_never_sent(kind: str) -> None:
    with faulty_emulator() as server:
        async with open_client(kind, server.endpoint, retry=PERSISTENT) as client:
            gateway = await client.gateways.create("front", **FRONT)
            server.faults.add("error", method="UpdateGateway", message=RELAYED, after_work=True)
            with pytest.raises(errors.Unavailable):
                await client.gateways.update(gateway.spec.id, name="front", **FRONT)
        assert server.recorded.count("UpdateGateway") == 1


@pytest.mark.parametrize("kind", ["grpc-sync", "grpc-async"])
async def test_nor_do_they_when_nothing_but_them_was_sent(kind: str) -> None:
    with Peer("grpc", lambda _: Failure("unavailable", RELAYED)) as peer:
        async with open_client(kind, peer.endpoint, retry=PERSISTENT) as client:
            with pytest.raises(errors.Unavailable):
                await client.gateways.update("x", name="front", **FRONT)
    assert len(peer.received) == 1


async def test_an_update_that_never_left_is_sent_again(kind: str) -> None:
    down = socket.create_server(("127.0.0.1", 0))
    port = down.getsockname()[1]
    down.close()
    async with open_client(
        kind, f"http://127.0.0.1:{port}", retry=Retry(max_attempts=4, initial_backoff=0.01)
    ) as client:
        with pytest.raises(errors.Unavailable) as caught:
            await client.gateways.update("x", name="front", **FRONT)
    assert caught.value.attempts == 4


@pytest.mark.parametrize("when", ["before", "during", "after", "response"])
async def test_a_hot_load_is_started_once(kind: str, when: str) -> None:
    with faulty_emulator(hot_load_after=3600.0) as server:
        async with open_client(kind, server.endpoint, retry=PERSISTENT) as client:
            gateway = await client.gateways.create("front", zones=ZONES, **FRONT)
            server.faults.add("cut", method="CreateHotLoad", when=when, nth=1)
            started = await hot_load_on(client, gateway.spec.id, kind)
            assert [each.spec async for each in client.hot_loads.list()] == [started.spec]

"""Connections break at any byte of a call: even so, creates happen once, and other changes at most once.

`CWINFERENCE_CUTS` is the number of cuts for each client, 1000 in `make soak`.
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
from tests.support.breaking_relay import BreakingRelay, Cut, Direction
from tests.support.client_kinds import KINDS, open_client
from tests.support.faulty_emulator import FaultyEmulator, faulty_emulator
from tests.support.scripted_server import Failure, ScriptedServer

CUTS = int(os.environ.get("CWINFERENCE_CUTS", "16"))
CALLER = Caller("cw1a2b")
MANY_RETRIES = Retry(max_attempts=12, initial_backoff=0.02, max_backoff=0.2)
"""More than a cut can cost."""
CALLS_OF_A_CLIENT = 10
"""After so many calls a new client is used, because these retry more than the retry budget of a client allows."""

GATEWAY: dict[str, Any] = {"core_weave_auth": types.CoreWeaveAuth(), "path_based_routing": types.PathBasedRouting()}
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
class RelaySetup:
    """An emulator behind a relay that breaks connections."""

    server: FaultyEmulator
    relay: BreakingRelay

    def stored(self, name: str) -> list[Any]:
        """Return all resources of that name, of any kind."""
        lists = (types.ListGatewaysRequest(), types.ListDeploymentsRequest(), types.ListCapacityClaimsRequest())
        responses: list[Any] = [self.server.recorded.api.call(METHODS[type(each)], each, CALLER) for each in lists]
        listed = [*responses[0].items, *responses[1].items, *responses[2].capacity_claims]
        return [each for each in listed if each.spec.name == name]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def setup() -> Iterator[RelaySetup]:
    with faulty_emulator(cancel_hot_loads=True) as server, BreakingRelay(server.port) as relay:
        yield RelaySetup(server, relay)


@pytest.fixture(autouse=True)
def _no_cuts(setup: RelaySetup) -> Iterator[None]:
    setup.relay.arm(None)
    yield
    setup.relay.arm(None)


async def clients(kind: str, setup: RelaySetup, calls: int) -> AsyncIterator[tuple[int, AsyncClient]]:
    """Yield a number and a client with an open connection for each call."""
    for start in range(0, calls, CALLS_OF_A_CLIENT):
        async with open_client(kind, setup.relay.endpoint, retry=MANY_RETRIES, timeout=60.0) as client:
            for number in range(start, min(calls, start + CALLS_OF_A_CLIENT)):
                setup.relay.arm(None)
                await client.gateways.parameters()
                yield number, client


class Position(NamedTuple):
    """Where to cut: the direction, and whether within the message or before its first byte."""

    direction: Direction
    within: bool


IN_REQUEST, IN_RESPONSE, BETWEEN = Position("up", True), Position("down", True), Position("down", False)
POSITIONS = [IN_REQUEST, IN_REQUEST, IN_RESPONSE, IN_RESPONSE, BETWEEN]


class RandomCuts:
    """Random but reproducible cuts of a call, from before its first byte to before its last."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)  # noqa: S311

    def draw(self, sizes: dict[Direction, int]) -> Cut:
        """Return a cut within the request or the response, whose sizes are given, or between the two."""
        direction, within = self._random.choice(POSITIONS)
        offset = self._random.randrange(max(1, sizes[direction])) if within else 0
        return Cut(direction, offset, times=self._random.choice([1, 1, 1, 2, 3]), reset=self._random.random() < 0.5)


async def bytes_of(setup: RelaySetup, call: Awaitable[Any]) -> dict[Direction, int]:
    """Make a call, which may fail, and return how many bytes it takes each way."""
    setup.relay.arm(None)
    with suppress(errors.ApiError):
        await call
    return dict(setup.relay.passed)


async def test_a_create_happens_once_and_returns_the_resource(kind: str, setup: RelaySetup) -> None:
    cuts = 0
    async with open_client(kind, setup.relay.endpoint) as client:
        gateway = await client.gateways.create(f"front-{kind}", **GATEWAY)
    creates: list[Callable[[AsyncClient, str], Any]] = [
        lambda client, name: client.gateways.create(name, **GATEWAY),
        lambda client, name: client.deployments.create(name, **deployment_on(gateway.spec.id)),
        lambda client, name: client.capacity_claims.create(name, resources=CLAIM),
    ]
    async with open_client(kind, setup.relay.endpoint) as client:
        sizes = [await bytes_of(setup, make(client, f"measured-{kind}")) for make in creates]
    random_cuts = RandomCuts(f"create {kind}")
    async for number, client in clients(kind, setup, CUTS):
        index = number % len(creates)
        name, cut = f"made-{number}-{kind}", random_cuts.draw(sizes[index])
        setup.relay.arm(cut)
        made = await creates[index](client, name)
        cuts += setup.relay.cuts
        assert [each.spec for each in setup.stored(name)] == [made.spec], cut
    assert cuts >= CUTS // 2


async def create_hot_load(client: AsyncClient, gateway: str, kind: str) -> types.HotLoad:
    hot = types.DeploymentHotLoad(bucket="weights", transition_mode=types.TransitionMode.TRANSITION_MODE_ASYNC)
    fields = deployment_on(gateway)
    fields["runtime"] = types.DeploymentRuntime(engine="dynamo-vllm", version="0.22.0")
    deployment = await client.deployments.create(f"hot-{kind}", hot_load=hot, wait=True, **fields)
    return await client.hot_loads.create(deployment.spec.id, identity="one", type=types.SnapshotType.SNAPSHOT_TYPE_FULL)


async def test_calls_that_are_not_idempotent_are_processed_at_most_once(kind: str, setup: RelaySetup) -> None:
    recorded, cuts = setup.server.recorded, 0
    async with open_client(kind, setup.relay.endpoint) as client:
        gateway = await client.gateways.create(f"changed-{kind}", zones=ZONES, **GATEWAY)
        hot_load = await create_hot_load(client, gateway.spec.id, kind)
    gateway_id, hot_load_id = gateway.spec.id, hot_load.spec.id
    changes: list[tuple[str, Callable[[AsyncClient], Any]]] = [
        ("UpdateGateway", lambda client: client.gateways.update(gateway_id, name=f"changed-{kind}", **GATEWAY)),
        ("UpdateGateway", lambda client: client.gateways.modify(gateway_id, zones=ZONES)),
        ("CancelHotLoad", lambda client: client.hot_loads.cancel(hot_load_id)),
    ]
    async with open_client(kind, setup.relay.endpoint) as client:
        sizes = [await bytes_of(setup, change(client)) for _, change in changes]
    random_cuts = RandomCuts(f"change {kind}")
    async for number, client in clients(kind, setup, CUTS):
        index = number % len(changes)
        (method, change), cut = changes[index], random_cuts.draw(sizes[index])
        setup.relay.arm(cut)
        recorded.calls.clear()
        try:
            await change(client)
        except errors.ApiError:
            assert recorded.count(method) <= 1, cut
        else:
            assert recorded.count(method) == 1, cut
        cuts += setup.relay.cuts
    assert cuts >= CUTS // 2


QUOTED = "failed to connect to all addresses; last error: UNKNOWN: ipv4:10.0.0.1:443: Connection refused"
"""grpcio's message for a request that it never sent, quoted by a server whose own call to another one failed."""


async def test_a_servers_message_is_not_mistaken_for_an_unsent_request(kind: str) -> None:
    with faulty_emulator() as server:
        async with open_client(kind, server.endpoint, retry=MANY_RETRIES) as client:
            gateway = await client.gateways.create("front", **GATEWAY)
            server.faults.add("error", method="UpdateGateway", message=QUOTED, after_work=True)
            with pytest.raises(errors.Unavailable):
                await client.gateways.update(gateway.spec.id, name="front", **GATEWAY)
        assert server.recorded.count("UpdateGateway") == 1


@pytest.mark.parametrize("kind", ["grpc-sync", "grpc-async"])
async def test_a_response_of_only_that_message_is_not_mistaken_for_an_unsent_request(kind: str) -> None:
    with ScriptedServer("grpc", lambda _: Failure("unavailable", QUOTED)) as server:
        async with open_client(kind, server.endpoint, retry=MANY_RETRIES) as client:
            with pytest.raises(errors.Unavailable):
                await client.gateways.update("x", name="front", **GATEWAY)
    assert len(server.received) == 1


async def test_an_update_that_was_never_sent_is_retried(kind: str) -> None:
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    async with open_client(
        kind, f"http://127.0.0.1:{port}", retry=Retry(max_attempts=4, initial_backoff=0.01)
    ) as client:
        with pytest.raises(errors.Unavailable) as caught:
            await client.gateways.update("x", name="front", **GATEWAY)
    assert caught.value.attempts == 4


@pytest.mark.parametrize("when", ["before", "during", "after", "response"])
async def test_a_hot_load_is_started_once(kind: str, when: str) -> None:
    with faulty_emulator(hot_load_after=3600.0) as server:
        async with open_client(kind, server.endpoint, retry=MANY_RETRIES) as client:
            gateway = await client.gateways.create("front", zones=ZONES, **GATEWAY)
            server.faults.add("cut", method="CreateHotLoad", when=when, nth=1)
            started = await create_hot_load(client, gateway.spec.id, kind)
            assert [each.spec async for each in client.hot_loads.list()] == [started.spec]

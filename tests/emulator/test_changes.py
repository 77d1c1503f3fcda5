"""`updated_after` never misses a change, no matter what changes and when a client polls."""

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cwinference import types
from cwinference.emulator.behavior import Behavior
from cwinference.emulator.interfaces import RpcError
from tests.support.emulated_api import InProcessApi, request


class Follower:
    """A client that keeps a copy of all gateways by polling for changes since the last one it saw."""

    def __init__(self, api: InProcessApi) -> None:
        self._emulated = api
        self._last = Timestamp()
        self.copy: dict[str, types.Gateway] = {}

    def poll(self) -> None:
        for gateway in self._emulated(types.ListGatewaysRequest(updated_after=self._last)).items:
            self.copy[gateway.spec.id] = gateway
            if gateway.status.updated_at.ToNanoseconds() > self._last.ToNanoseconds():
                self._last = gateway.status.updated_at


def listed(api: InProcessApi) -> Mapping[str, types.Gateway]:
    return {each.spec.id: each for each in api(types.ListGatewaysRequest()).items}


def create(api: InProcessApi, rng: random.Random | None = None) -> None:
    sent = request("CreateGateway")
    sent.id, sent.name = str(uuid4()), str(uuid4())
    api(sent)


def update(api: InProcessApi, rng: random.Random) -> None:
    sent = request("UpdateGateway")
    if known := sorted(listed(api)):
        sent.id = rng.choice(known)
        sent.name = str(uuid4())
        api(sent)


def delete(api: InProcessApi, rng: random.Random) -> None:
    if known := sorted(listed(api)):
        api(types.DeleteGatewayRequest(id=rng.choice(known)))


def pass_time(api: InProcessApi, rng: random.Random) -> None:
    api.pass_time(rng.choice((0, 1e-9, 0.1, 1, 5)))


@pytest.mark.parametrize("seed", range(20))
def test_a_follower_sees_every_change(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - reproducible
    behavior = Behavior(update_after=1.5, delete_after=2, status_lag=seed % 2)
    api = InProcessApi(behavior=behavior, ready_after=3)
    follower = Follower(api)
    steps: list[Callable[[InProcessApi, random.Random], None]] = [create, update, delete, pass_time, pass_time]
    for _ in range(100):
        with suppress(RpcError):  # updates of gateways that are being deleted
            rng.choice(steps)(api, rng)
        if rng.random() < 0.5:
            follower.poll()
            existing = listed(api)
            assert {key: each for key, each in follower.copy.items() if key in existing} == existing


def test_update_times_are_unique_even_when_the_clock_stands_still() -> None:
    api = InProcessApi(ready_after=0)
    update_times = set[int]()
    for _ in range(50):
        create(api)
        update_times |= {each.status.updated_at.ToNanoseconds() for each in listed(api).values()}
    resources = listed(api).values()
    assert len({each.status.updated_at.ToNanoseconds() for each in resources}) == len(resources)
    assert len(update_times) >= 50


@pytest.mark.parametrize(
    ("kind", "list_all"),
    [
        ("Gateway", types.ListGatewaysRequest()),
        ("Deployment", types.ListDeploymentsRequest()),
        ("CapacityClaim", types.ListCapacityClaimsRequest()),
    ],
)
def test_only_later_changes_are_listed(kind: str, list_all: Any) -> None:
    api = InProcessApi()
    api.sample("CreateGateway")
    created = api.sample(f"Create{kind}") if kind != "Gateway" else api.gateway()
    since = type(list_all)(updated_after=created.status.updated_at)
    assert not api(since).ListFields()
    api.pass_time(10)
    assert api(since) == api(list_all)
    assert api(since).ListFields()


def test_the_filters_of_deployments_can_be_combined() -> None:
    api = InProcessApi()
    gateway = api.sample("CreateGateway")
    created = api.sample("CreateDeployment")
    sent = types.ListDeploymentsRequest(parent_gateway_id=gateway.spec.id, updated_after=created.status.updated_at)
    assert not api(sent).items
    api.pass_time(10)
    assert [each.spec.id for each in api(sent).items] == [created.spec.id]

"""`updated_after` never misses a change, whatever happens and whenever one looks."""

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cwinference import types
from cwinference.emulator.behavior import Behavior
from cwinference.emulator.interfaces import Refusal
from tests.support.emulated_api import Emulated, request


class Follower:
    """Whoever keeps a copy of all gateways by asking for what changed since the last change it saw."""

    def __init__(self, emulated: Emulated) -> None:
        self._emulated = emulated
        self._last = Timestamp()
        self.copy: dict[str, types.Gateway] = {}

    def look(self) -> None:
        for gateway in self._emulated(types.ListGatewaysRequest(updated_after=self._last)).items:
            self.copy[gateway.spec.id] = gateway
            if gateway.status.updated_at.ToNanoseconds() > self._last.ToNanoseconds():
                self._last = gateway.status.updated_at


def listed(emulated: Emulated) -> Mapping[str, types.Gateway]:
    return {each.spec.id: each for each in emulated(types.ListGatewaysRequest()).items}


def create(emulated: Emulated, chance: random.Random | None = None) -> None:
    sent = request("CreateGateway")
    sent.id, sent.name = str(uuid4()), str(uuid4())
    emulated(sent)


def update(emulated: Emulated, chance: random.Random) -> None:
    sent = request("UpdateGateway")
    if known := sorted(listed(emulated)):
        sent.id = chance.choice(known)
        sent.name = str(uuid4())
        emulated(sent)


def delete(emulated: Emulated, chance: random.Random) -> None:
    if known := sorted(listed(emulated)):
        emulated(types.DeleteGatewayRequest(id=chance.choice(known)))


def wait(emulated: Emulated, chance: random.Random) -> None:
    emulated.pass_time(chance.choice((0, 1e-9, 0.1, 1, 5)))


@pytest.mark.parametrize("seed", range(20))
def test_a_follower_sees_every_change(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same story each time
    behaviour = Behavior(update_after=1.5, delete_after=2, status_lag=seed % 2)
    emulated = Emulated(behaviour=behaviour, ready_after=3)
    follower = Follower(emulated)
    steps: list[Callable[[Emulated, random.Random], None]] = [create, update, delete, wait, wait]
    for _ in range(100):
        with suppress(Refusal):  # an update of what is being deleted
            chance.choice(steps)(emulated, chance)
        if chance.random() < 0.5:
            follower.look()
            there = listed(emulated)
            assert {key: each for key, each in follower.copy.items() if key in there} == there


def test_stamps_are_unique_even_when_time_stands_still() -> None:
    emulated = Emulated(ready_after=0)
    stamps = set[int]()
    for _ in range(50):
        create(emulated)
        stamps |= {each.status.updated_at.ToNanoseconds() for each in listed(emulated).values()}
    resources = listed(emulated).values()
    assert len({each.status.updated_at.ToNanoseconds() for each in resources}) == len(resources)
    assert len(stamps) >= 50


@pytest.mark.parametrize(
    ("kind", "all_of_them"),
    [
        ("Gateway", types.ListGatewaysRequest()),
        ("Deployment", types.ListDeploymentsRequest()),
        ("CapacityClaim", types.ListCapacityClaimsRequest()),
    ],
)
def test_only_what_changed_later_is_listed(kind: str, all_of_them: Any) -> None:
    emulated = Emulated()
    emulated.sample("CreateGateway")
    created = emulated.sample(f"Create{kind}") if kind != "Gateway" else emulated.gateway()
    since = type(all_of_them)(updated_after=created.status.updated_at)
    assert not emulated(since).ListFields()
    emulated.pass_time(10)
    assert emulated(since) == emulated(all_of_them)
    assert emulated(since).ListFields()


def test_the_filters_of_deployments_work_together() -> None:
    emulated = Emulated()
    gateway = emulated.sample("CreateGateway")
    created = emulated.sample("CreateDeployment")
    sent = types.ListDeploymentsRequest(parent_gateway_id=gateway.spec.id, updated_after=created.status.updated_at)
    assert not emulated(sent).items
    emulated.pass_time(10)
    assert [each.spec.id for each in emulated(sent).items] == [created.spec.id]

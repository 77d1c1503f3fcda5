"""The store under load (threads that compete for a name, many short-lived resources), and the clock."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Thread
from uuid import uuid4

import pytest

from cwinference import State, types
from cwinference.emulator import Fate
from cwinference.emulator.clock import SECOND, EmulatorClock
from cwinference.emulator.interfaces import RpcError
from tests.support.emulated_api import DEPLOYMENT_ID, START, InProcessApi, request


def gateway(name: str) -> types.CreateGatewayRequest:
    sent: types.CreateGatewayRequest = request("CreateGateway")
    sent.id, sent.name = str(uuid4()), name
    return sent


def test_of_many_threads_that_create_the_same_name_one_succeeds() -> None:
    api = InProcessApi(clock=EmulatorClock(), ready_after=0)

    def try_to_create(name: str) -> str:
        try:
            return str(api(gateway(name)).spec.id)
        except RpcError as error:
            return error.code

    names = [f"name-{number // 8}" for number in range(400)]
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(try_to_create, names))
    assert results.count("already_exists") == 350
    listed = api(types.ListGatewaysRequest()).items
    assert len(listed) == 50
    assert {each.spec.id for each in listed} == set(results) - {"already_exists"}
    assert all(State.of(each) is State.READY for each in listed)
    assert len({each.status.updated_at.ToNanoseconds() for each in listed}) == 50


def test_a_request_waits_while_another_thread_runs_steps() -> None:
    readers: list[Thread] = []
    waited: list[bool] = []

    class Fates(dict[str, Fate]):
        """Starts a request of another thread when the fate of the deployment is looked up, in the middle of a step."""

        def __contains__(self, name: object) -> bool:
            if not readers and name == DEPLOYMENT_ID:
                readers.append(Thread(target=api.gateway))
                readers[0].start()
                readers[0].join(0.05)
                waited.append(readers[0].is_alive())
            return super().__contains__(name)

    api = InProcessApi(ready_after=0, fates=Fates(nobody=Fate()))
    api.sample("CreateGateway")
    api.sample("CreateDeployment")
    assert State.of(api.deployment()) is State.READY
    readers[0].join()
    assert waited == [True]


def test_nothing_is_left_of_resources_that_are_gone() -> None:
    api = InProcessApi(ready_after=3600)
    for number in range(1500):
        created = api(gateway(f"name-{number % 7}"))
        for _ in range(2):
            update = request("UpdateGateway")
            update.id, update.name = created.spec.id, created.spec.name
            api(update)
        api(types.DeleteGatewayRequest(id=created.spec.id))
        if number % 7 == 6:
            api.pass_time(3600)
    store = api.emulated._store
    api.pass_time(3600)
    assert not api(types.ListGatewaysRequest()).items
    indexes = vars(store.gateways).values()
    assert not any(index for index in indexes if isinstance(index, dict))
    assert not store._schedule


def test_many_updates_do_not_accumulate_steps() -> None:
    api = InProcessApi(ready_after=3600)
    api.sample("CreateGateway")
    for _ in range(2500):
        api.sample("UpdateGateway")
    assert len(api.emulated._store._schedule) < 1100
    api.pass_time(3600)
    assert State.of(api.gateway()) is State.READY


def test_a_claim_for_several_zones_has_conditions_in_the_order_of_preference() -> None:
    api = InProcessApi(ready_after=0)
    api.sample("CreateCapacityClaim.newer")
    assert [each.zone for each in api.claim().status.conditions] == ["US-EAST-04A", "US-WEST-04A"]


def test_a_running_clock_follows_real_time_and_can_be_advanced() -> None:
    clock = EmulatorClock()
    assert abs(clock.now() - time.time_ns()) < SECOND
    before = clock.now()
    clock.advance(3600)
    assert 0 <= clock.now() - before - 3600 * SECOND < 60 * SECOND


def test_a_stopped_clock_changes_only_when_it_is_advanced() -> None:
    clock = EmulatorClock(START, running=False)
    assert clock.now() == int(START.timestamp()) * SECOND
    clock.advance(1e-9)
    assert clock.now() == int(START.timestamp()) * SECOND + 1


def test_a_clock_keeps_the_microseconds_of_its_start() -> None:
    assert EmulatorClock(datetime(2026, 10, 1, 9, 0, 0, 123457, UTC), running=False).now() % SECOND == 123457000


def test_a_clock_rejects_naive_times_and_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="start: expected a datetime with a timezone"):
        EmulatorClock(datetime(2026, 10, 1))
    with pytest.raises(ValueError, match="seconds: expected at least 0"):
        EmulatorClock().advance(-1)

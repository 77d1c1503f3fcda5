"""What holds under load: threads that want the same name, resources that come and go for ever, and the clock itself."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Thread
from uuid import uuid4

import pytest

from cwinference import State, types
from cwinference.emulator import Fate
from cwinference.emulator.clock import SECOND, Clock
from cwinference.emulator.interfaces import Refusal
from tests.support.emulated_api import DEPLOYMENT_ID, START, Emulated, request


def gateway(name: str) -> types.CreateGatewayRequest:
    sent: types.CreateGatewayRequest = request("CreateGateway")
    sent.id, sent.name = str(uuid4()), name
    return sent


def test_of_many_threads_that_want_a_name_one_gets_it() -> None:
    emulated = Emulated(clock=Clock(), ready_after=0)

    def race(name: str) -> str:
        try:
            return str(emulated(gateway(name)).spec.id)
        except Refusal as refusal:
            return refusal.code

    names = [f"name-{number // 8}" for number in range(400)]
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(race, names))
    assert results.count("already_exists") == 350
    listed = emulated(types.ListGatewaysRequest()).items
    assert len(listed) == 50
    assert {each.spec.id for each in listed} == set(results) - {"already_exists"}
    assert all(State.of(each) is State.READY for each in listed)
    assert len({each.status.updated_at.ToNanoseconds() for each in listed}) == 50


def test_whoever_looks_while_another_is_at_work_waits() -> None:
    lookers: list[Thread] = []
    kept_waiting: list[bool] = []

    class Fates(dict[str, Fate]):
        """Looked into while a deployment comes to its end."""

        def __contains__(self, name: object) -> bool:
            if not lookers and name == DEPLOYMENT_ID:
                lookers.append(Thread(target=emulated.gateway))
                lookers[0].start()
                lookers[0].join(0.05)
                kept_waiting.append(lookers[0].is_alive())
            return super().__contains__(name)

    emulated = Emulated(ready_after=0, fates=Fates(nobody=Fate()))
    emulated.sample("CreateGateway")
    emulated.sample("CreateDeployment")
    assert State.of(emulated.deployment()) is State.READY
    lookers[0].join()
    assert kept_waiting == [True]


def test_nothing_is_left_of_what_came_and_went() -> None:
    emulated = Emulated(ready_after=3600)
    for number in range(1500):
        created = emulated(gateway(f"name-{number % 7}"))
        for _ in range(2):
            update = request("UpdateGateway")
            update.id, update.name = created.spec.id, created.spec.name
            emulated(update)
        emulated(types.DeleteGatewayRequest(id=created.spec.id))
        if number % 7 == 6:
            emulated.pass_time(3600)
    store = emulated.api._store
    emulated.pass_time(3600)
    assert not emulated(types.ListGatewaysRequest()).items
    indexes = vars(store.gateways).values()
    assert not any(index for index in indexes if isinstance(index, dict))
    assert not store._agenda


def test_an_update_in_a_loop_does_not_pile_up_steps() -> None:
    emulated = Emulated(ready_after=3600)
    emulated.sample("CreateGateway")
    for _ in range(2500):
        emulated.sample("UpdateGateway")
    assert len(emulated.api._store._agenda) < 1100
    emulated.pass_time(3600)
    assert State.of(emulated.gateway()) is State.READY


def test_a_claim_over_several_zones_tells_of_each_in_the_order_of_preference() -> None:
    emulated = Emulated(ready_after=0)
    emulated.sample("CreateCapacityClaim.newer")
    assert [each.zone for each in emulated.claim().status.conditions] == ["US-EAST-04A", "US-WEST-04A"]


def test_a_clock_runs_by_itself_and_may_be_moved() -> None:
    clock = Clock()
    assert abs(clock.now() - time.time_ns()) < SECOND
    before = clock.now()
    clock.advance(3600)
    assert 0 <= clock.now() - before - 3600 * SECOND < 60 * SECOND


def test_a_clock_that_stands_still_moves_by_hand_alone() -> None:
    clock = Clock(START, running=False)
    assert clock.now() == int(START.timestamp()) * SECOND
    clock.advance(1e-9)
    assert clock.now() == int(START.timestamp()) * SECOND + 1


def test_a_clock_keeps_microseconds() -> None:
    assert Clock(datetime(2026, 10, 1, 9, 0, 0, 123457, UTC), running=False).now() % SECOND == 123457000


def test_a_clock_refuses_naive_times_and_steps_back() -> None:
    with pytest.raises(ValueError, match="start: a naive datetime"):
        Clock(datetime(2026, 10, 1))
    with pytest.raises(ValueError, match="seconds: time does not go back"):
        Clock().advance(-1)

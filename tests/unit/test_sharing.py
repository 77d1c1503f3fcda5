"""One limit for all workers of a cluster: the sum holds while slots move, and a refusal is one for all."""

import random
from dataclasses import dataclass

from cwinference.inference._auto_limit import START
from cwinference.inference.batch.outcomes import IN_A_ROW
from cwinference.ray._sharing import GAVE_UP, LOST_AFTER, Demand, Done, Sharing


def test_a_worker_that_is_alone_gets_what_it_wants_up_to_the_limit() -> None:
    sharing = Sharing(10, 0.0)

    assert sharing.report(Demand("a", 0, 4), 0.0).slots == 4
    assert sharing.report(Demand("a", 4, 99), 0.2).slots == 10


def test_slots_move_only_after_the_worker_that_had_them_has_reported_that_it_is_below_them() -> None:
    sharing = Sharing(10, 0.0)
    sharing.report(Demand("a", 0, 99), 0.0)

    assert sharing.report(Demand("b", 0, 99), 0.1).slots == 0
    assert sharing.report(Demand("a", 10, 99), 0.2).slots == 5
    assert sharing.report(Demand("b", 0, 99), 0.3).slots == 0
    assert sharing.report(Demand("a", 7, 99), 0.4).slots == 5
    assert sharing.report(Demand("b", 0, 99), 0.5).slots == 3
    assert sharing.report(Demand("a", 5, 99), 0.6).slots == 5
    assert sharing.report(Demand("b", 3, 99), 0.7).slots == 5


def test_slots_of_a_worker_that_is_dead_are_free_after_a_while() -> None:
    sharing = Sharing(10, 0.0)
    sharing.report(Demand("a", 0, 99), 0.0)

    assert sharing.report(Demand("b", 0, 99), LOST_AFTER - 0.1).slots == 0
    assert sharing.report(Demand("b", 0, 99), LOST_AFTER).slots == 10


def test_after_a_restart_nobody_gets_more_before_all_have_reported_what_they_have() -> None:
    sharing = Sharing(10, 100.0, is_restarted=True)

    assert sharing.report(Demand("a", 2, 99), 100.0).slots == 2
    assert sharing.report(Demand("b", 8, 99), 100.1).slots == 5
    assert sharing.report(Demand("b", 5, 99), 103.1).slots == 5
    assert sharing.report(Demand("a", 2, 99), 103.2).slots == 5


def test_a_refusal_pauses_all_and_halves_the_number_which_returns_within_half_a_minute() -> None:
    sharing = Sharing(60, 0.0)
    sharing.report(Demand("a", 0, 99), 0.0)

    assert sharing.refuse(2.0, 10.0)
    assert not sharing.refuse(1.5, 10.1)
    assert sharing.refuse(2.0, 10.2)
    grants = [sharing.report(Demand(name, 0, 99), 10.5) for name in ("a", "b")]
    assert [round(grant.pause, 3) for grant in grants] == [1.7, 1.7]
    assert [grant.slots for grant in grants] == [30, 0]
    assert sharing.report(Demand("a", 30, 99), 12.2).slots == 15
    assert sharing.report(Demand("b", 0, 99), 12.3).slots == 0
    assert sharing.report(Demand("a", 15, 99), 13.3).slots == 16
    assert sharing.report(Demand("a", 16, 99), 42.3).slots == 60


def test_a_run_gives_up_after_many_failures_in_a_row_if_it_may() -> None:
    for may, expected in ((True, GAVE_UP), (False, "")):
        sharing = Sharing(10, 0.0)
        sharing.gives_up = may
        sharing.report(Demand("a", 0, 9, failed_in_a_row=IN_A_ROW - 1), 0.0)
        sharing.report(Demand("b", 0, 9, Done(completed=1)), 0.1)
        assert sharing.report(Demand("a", 0, 9, failed_in_a_row=IN_A_ROW - 1), 0.2).stop == ""
        assert sharing.report(Demand("b", 0, 9, failed_in_a_row=1), 0.3).stop == expected


def test_after_a_refusal_it_gives_up_by_the_number_that_was_given() -> None:
    sharing = Sharing(80, 0.0)
    sharing.gives_up = True
    sharing.refuse(1.0, 0.0)

    assert sharing.report(Demand("a", 0, 9, failed_in_a_row=159), 0.1).stop == ""
    assert sharing.report(Demand("a", 0, 9, failed_in_a_row=1), 0.2).stop == GAVE_UP


def test_auto_lets_all_workers_together_have_more_as_long_as_the_server_takes_more() -> None:
    sharing = Sharing("auto", 0.0)
    held = {"a": 0, "b": 0}

    def report(name: str, now: float, wants: int, responses: int) -> int:
        took = tuple((0.1, 0.1) for _ in range(responses))
        grant = sharing.report(Demand(name, held[name], wants, responses=took), now)
        held[name] = grant.slots
        return sum(held.values())

    assert [report(name, 0.0, 99, 0) for name in "ababab"][-1] == START
    for step in range(1, 100):
        report("a", step / 5, 99, 20)
        report("b", step / 5 + 0.1, 99, 20)
    grown = sum(held.values())
    assert grown > 4 * START
    for step in range(100, 120):
        report("a", step / 5, 3, 20)  # so few do not show that more would be taken
        report("b", step / 5 + 0.1, 4, 20)
    for step in range(120, 123):
        report("a", step / 5, 99, 0)
        report("b", step / 5 + 0.1, 99, 0)
    assert grown - 2 <= sum(held.values()) <= grown + 2


def test_auto_halves_what_all_have_when_one_is_refused_and_informs_all_at_once() -> None:
    sharing = Sharing("auto", 0.0)
    sharing.report(Demand("a", 0, 99), 0.0)

    assert sharing.refuse(0.0, 1.0, age=0.5)
    assert sharing.report(Demand("a", START, 99), 1.0).slots == START // 2
    assert not sharing.refuse(0.0, 1.1, age=0.5)  # it was sent with the one before
    assert sharing.report(Demand("a", START // 2, 99), 1.1).slots == START // 2
    assert sharing.refuse(2.0, 1.2, age=0.5)
    assert round(sharing.report(Demand("a", START // 2, 99), 1.7).pause, 3) == 1.5


@dataclass
class SimulatedWorker:
    name: str
    slots: int = 0
    in_flight: int = 0

    @property
    def holds(self) -> int:
        return max(self.slots, self.in_flight)


def test_there_are_never_more_requests_in_flight_than_the_limit_however_demand_moves() -> None:
    for seed in range(30):
        chance = random.Random(seed)  # noqa: S311 - a simulation
        limit = chance.randint(1, 40)
        sharing = Sharing(limit, 0.0)
        workers = [SimulatedWorker(str(number)) for number in range(chance.randint(1, 6))]
        for step in range(400):
            worker = chance.choice(workers)
            grant = sharing.report(Demand(worker.name, worker.holds, chance.choice([0, 1, 5, 100])), step * 0.01)
            worker.slots = grant.slots
            if chance.random() < 0.05:
                sharing.refuse(chance.random(), step * 0.01)
            for each in workers:
                each.in_flight = max(each.in_flight - chance.randint(0, 3), 0)
                each.in_flight = max(each.in_flight, chance.randint(0, each.slots))
            assert sum(each.in_flight for each in workers) <= limit

"""Which endpoint gets a request, when one is ejected and tried again, and what may be hedged: in simulated time."""

import heapq
import os
import random
from typing import Any

import pytest

from cwinference import errors
from cwinference._retry_rules import Hint
from cwinference.errors import with_hint
from cwinference.inference._choice import choose
from cwinference.inference._health import FAILURES, SHORTEST, Health
from cwinference.inference._hedging import HedgeBudget
from cwinference.inference._histogram import Histogram

SEEDS = int(os.environ.get("CWINFERENCE_SPREADS", "100"))
"""How many schedules are tried; `make soak` tries more."""


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Place:
    """An endpoint, without a server."""

    def __init__(self, time: Time) -> None:
        self.health = Health(time)
        self.time = time

    def respond(self, seconds: float = 0.1) -> None:
        self.health.complete(self.health.begin() - seconds)

    def fail(self, error: BaseException | None = None) -> None:
        self.health.begin()
        self.health.leave()
        self.health.fail(error or lost())

    def eject(self) -> None:
        for _ in range(FAILURES):
            self.fail()


def lost() -> errors.ApiError:
    return with_hint(errors.Unavailable("no connection"), Hint.NOT_SENT)


def status(number: int, retry_after: float | None = None) -> errors.ApiError:
    return errors.Unavailable("failed", http_status=number, retry_after=retry_after)


@pytest.fixture
def time() -> Time:
    return Time()


# --- The choice


def test_the_one_with_fewer_requests_in_flight_is_chosen(time: Time) -> None:
    busy, idle = Place(time), Place(time)
    busy.health.begin()

    assert {choose([busy, idle], time.now, chance / 10) for chance in range(10)} == {idle}


def test_the_faster_one_is_chosen_unless_it_has_much_more_to_do(time: Time) -> None:
    slow, fast = Place(time), Place(time)
    for _ in range(2):
        slow.respond(3.0)
        fast.respond(1.0)
    fast.health.begin()

    assert choose([slow, fast], time.now, 0.2) is fast
    for _ in range(3):
        fast.health.begin()
    assert choose([slow, fast], time.now, 0.2) is slow


def test_equals_are_chosen_by_chance(time: Time) -> None:
    places = [Place(time) for _ in range(3)]
    chosen = [choose(places, time.now, chance / 600) for chance in range(600)]

    assert [chosen.count(place) for place in places] == [200, 200, 200]


def test_a_slow_one_is_tried_again_after_a_while(time: Time) -> None:
    slow, fast = Place(time), Place(time)
    for _ in range(2):
        slow.respond(30.0)
    for _ in range(2):
        fast.respond(0.5)
    assert choose([slow, fast], time.now, 0.2) is fast
    time.now += 120
    fast.respond(0.5)

    assert choose([slow, fast], time.now, 0.2) is slow


def test_one_that_asked_for_a_pause_is_left_alone_until_then(time: Time) -> None:
    paused, other = Place(time), Place(time)
    paused.fail(errors.ResourceExhausted("busy", http_status=429, retry_after=5.0))
    for _ in range(50):
        other.health.begin()

    assert choose([paused, other], time.now, 0.2) is other
    assert choose([paused, other], time.now + 5, 0.2) is paused


# --- Ejection


@pytest.mark.parametrize(
    "error", [lost(), status(500), status(503), with_hint(errors.Unavailable("lost"), Hint.LOST)], ids=str
)
def test_five_failures_in_a_row_eject_it_for_10_seconds_and_then_one_probe_is_sent(time: Time, error: Any) -> None:
    broken, other = Place(time), Place(time)
    for _ in range(FAILURES - 1):
        broken.fail(error)
    assert not broken.health.stats().ejected
    broken.fail(error)

    assert broken.health.stats().ejected
    assert choose([broken, other], time.now + SHORTEST - 0.01, 0.2) is other
    time.now += SHORTEST
    assert choose([broken, other], time.now, 0.7) is broken
    assert choose([broken, other], time.now, 0.2) is other  # the probe is on its way


@pytest.mark.parametrize(
    "error",
    [
        errors.NotFound("no such model", http_status=404),
        errors.ResourceExhausted("busy", http_status=429),
        errors.DeadlineExceeded("no response in time"),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
def test_what_does_not_say_that_it_is_broken_ejects_nothing(time: Time, error: BaseException) -> None:
    place = Place(time)
    for _ in range(3 * FAILURES):
        place.fail(error)

    assert not place.health.stats().ejected


def test_a_success_in_between_begins_the_count_anew(time: Time) -> None:
    place = Place(time)
    for _ in range(5):
        for _ in range(FAILURES - 1):
            place.fail()
        place.respond()

    assert not place.health.stats().ejected


def test_each_failed_probe_doubles_the_time_up_to_60_seconds_and_a_success_ends_it(time: Time) -> None:
    place, other = Place(time), Place(time)
    place.eject()
    pauses: list[float] = []
    for _ in range(5):
        began = time.now
        time.now = place.health.returns_at
        pauses.append(time.now - began)
        assert choose([place, other], time.now, 0.0) is place
        place.fail()

    assert pauses == [10, 20, 40, 60, 60]
    time.now = place.health.returns_at
    assert choose([place, other], time.now, 0.0) is place
    place.respond()
    assert not place.health.stats().ejected
    place.eject()
    assert place.health.returns_at == time.now + SHORTEST


def test_a_probe_that_is_canceled_is_followed_by_another_one(time: Time) -> None:
    place, other = Place(time), Place(time)
    place.eject()
    time.now += SHORTEST
    assert choose([place, other], time.now, 0.0) is place
    place.fail(KeyboardInterrupt())

    assert choose([place, other], time.now, 0.0) is place


def test_if_all_are_ejected_the_one_that_comes_back_first_is_asked(time: Time) -> None:
    first, second = Place(time), Place(time)
    first.eject()
    time.now += 1
    second.eject()

    assert choose([first, second], time.now, 0.9) is first
    assert choose([first, second], time.now, 0.9, tried=[first]) is None


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_happens_an_ejected_endpoint_gets_nothing_but_probes_and_no_other_is_starved(seed: int) -> None:
    """Endpoints die and come back at random; a request that fails is sent elsewhere, as a call does it."""
    chance, time = random.Random(seed), Time()  # noqa: S311 - a schedule to repeat
    places = [Place(time) for _ in range(chance.randint(2, 5))]
    end = time.now + 120.0
    dead = {place: _outages(chance, time.now, end) for place in places[1:]}  # the first one always works
    arrivals = [time.now + chance.uniform(0, 120) for _ in range(1200)]
    events: list[tuple[float, int, Place | None, float, list[Place]]] = [
        (at, number, None, at, []) for number, at in enumerate(arrivals)
    ]
    heapq.heapify(events)
    asked = dict.fromkeys(places, 0)
    number = len(arrivals)
    while events:
        time.now, _, place, began, tried = heapq.heappop(events)
        if place is not None:
            if not _is_dead(dead.get(place, []), time.now):
                place.health.complete(began)
                continue
            place.health.leave()
            place.health.fail(lost())
            tried = [*tried, place]
        ejected = {place for place in places if place.health.is_ejected}
        chosen = choose(places, time.now, chance.random(), tried)
        assert chosen is not None
        if chosen in ejected:
            assert time.now >= chosen.health.returns_at
            assert chosen.health.is_out(time.now)  # so that it gets no second one
        asked[chosen] += 1
        number += 1
        seconds = 0.001 if _is_dead(dead.get(chosen, []), time.now) else chance.uniform(0.02, 0.2)
        heapq.heappush(events, (time.now + seconds, number, chosen, chosen.health.begin(), tried))

    well = [place for place in places if not dead.get(place)]
    assert min(asked[place] for place in well) > 0.2 * number / len(places)
    assert min(asked.values()) > 0


def _outages(chance: random.Random, start: float, end: float) -> list[tuple[float, float]]:
    times = sorted(chance.uniform(start, end) for _ in range(2 * chance.randint(0, 3)))
    return list(zip(times[::2], times[1::2], strict=True))


def _is_dead(outages: list[tuple[float, float]], now: float) -> bool:
    return any(start <= now < end for start, end in outages)


# --- Hedges, and what is counted


def test_one_request_may_always_be_hedged_and_then_one_in_20() -> None:
    budget, hedged = HedgeBudget(), 0
    for number in range(1, 1001):
        budget.count()
        hedged += budget.take()
        assert hedged <= max(1, number / 20)

    assert hedged == 50


@pytest.mark.parametrize("seed", range(20))
def test_percentiles_are_exact_to_5_percent(seed: int) -> None:
    chance, histogram = random.Random(seed), Histogram()  # noqa: S311 - values to repeat
    spread = chance.uniform(0.1, 2.5)
    values = sorted(chance.lognormvariate(chance.uniform(-5, 3), spread) for _ in range(999))
    for value in values:
        histogram.add(value)

    for share in (0.5, 0.9, 0.99):
        exact = values[round(share * 1000) - 1]
        assert 0.0001 < exact < 10_000
        assert histogram.percentile(share) == pytest.approx(exact, rel=0.05)


def test_a_histogram_takes_any_duration_and_does_not_grow() -> None:
    histogram = Histogram()
    for value in (0.0, -1.0, 1e-9, 1e9, 1e-4):
        histogram.add(value)

    assert histogram.percentile(0.5) == pytest.approx(1e-4, rel=0.05)
    assert histogram.percentile(1.0) == pytest.approx(1e4, rel=0.1)
    assert Histogram().percentile(0.99) == 0.0


def test_tokens_per_second_are_those_of_the_time_in_which_it_had_something_to_do(time: Time) -> None:
    health = Health(time)
    began = [health.begin(), health.begin()]
    time.now += 2
    for each in began:
        health.complete(each)
        health.generate(100)
    time.now += 1000

    assert health.stats().tokens_per_second == 100
    assert health.stats().latency.p50 == pytest.approx(2, rel=0.05)

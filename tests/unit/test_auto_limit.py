"""How many requests a server takes at once is found out: with a server of known behavior, in simulated time."""

import heapq
import random
from collections.abc import Callable
from typing import NamedTuple

import pytest

from cwinference.inference._auto_limit import START, AutoLimit


class Run(NamedTuple):
    done: int
    refused: int
    seconds: float
    limits: list[int]


def simulate(
    latency: Callable[[int, float, random.Random], float],
    *,
    capacity: float = float("inf"),
    pause: float | None = None,
    seconds: float = 60.0,
    after: float = 0.0,
    limit: AutoLimit | None = None,
) -> Run:
    """Keep as many requests in flight as the limit allows; count what comes back after some seconds."""
    rule = limit or AutoLimit()
    chance = random.Random(4)  # noqa: S311 - a server to repeat
    now, in_flight, done, refused = 0.0, 0, 0, 0
    events: list[tuple[float, int, float, bool]] = []
    limits: list[int] = []
    number = 0
    while now < seconds:
        while in_flight < rule.limit and now >= rule.paused_until:
            number += 1
            in_flight += 1
            is_refused = in_flight > capacity
            ends = now + (0.001 if is_refused else latency(in_flight, now, chance))
            heapq.heappush(events, (ends, number, now, is_refused))
        if not events:
            now = rule.paused_until
            continue
        now, _, began, is_refused = heapq.heappop(events)
        is_full = in_flight >= rule.limit
        in_flight -= 1
        if now >= after:
            limits.append(rule.limit)
            refused += is_refused
            done += not is_refused
        if is_refused:
            if in_flight < rule.limit:  # the slot is taken by the next request before the refusal is known
                number, in_flight = number + 1, in_flight + 1
                heapq.heappush(events, (now + 0.001, number, now + 1e-6, in_flight > capacity))
            rule.refuse(now, began, pause)
        else:
            rule.respond(now, began, now - began, is_full=is_full)
    return Run(done, refused, seconds - after, limits)


def steady(in_flight: int, now: float, chance: random.Random) -> float:
    return 0.05 * chance.uniform(0.9, 1.1)


@pytest.mark.parametrize("pause", [None, 1.0], ids=["without Retry-After", "with Retry-After"])
def test_a_server_that_holds_64_gets_nearly_64_and_is_seldom_asked_for_more(pause: float | None) -> None:
    run = simulate(steady, capacity=64, pause=pause, seconds=60, after=5)

    assert run.done / run.seconds > 0.9 * 64 / 0.05
    assert run.refused / (run.done + run.refused) < 0.02


def test_the_limit_grows_by_one_per_round_while_the_latency_holds() -> None:
    run = simulate(lambda *_: 0.1, seconds=2.05)

    assert run.limits[-1] == START + 20


def test_a_refusal_halves_the_limit_and_many_at_once_halve_it_once() -> None:
    rule = AutoLimit(start=40)
    for _ in range(10):
        rule.refuse(1.0, 0.5, None)

    assert rule.limit == 20


def test_nothing_is_sent_during_the_pause_that_a_server_asks_for_and_the_longest_counts() -> None:
    rule = AutoLimit()
    rule.refuse(1.0, 0.5, 3.0)
    rule.refuse(1.0, 0.5, 2.0)

    assert rule.paused_until == 4.0


def test_a_latency_that_doubles_with_the_load_stops_the_growth_before_that() -> None:
    """Beyond 50 at once requests wait for each other, so that the rate is the same whatever the limit is."""
    run = simulate(lambda in_flight, *_: 0.05 * max(1.0, in_flight / 50), seconds=60, after=10)

    assert max(run.limits) < 110
    assert run.done / run.seconds > 0.9 * 50 / 0.05


def test_a_sudden_doubled_latency_halves_the_limit() -> None:
    run = simulate(lambda _, now, __: 0.05 if now < 5 else 0.15, seconds=5.6)

    assert max(run.limits) // 2 in run.limits


def test_a_latency_that_has_nothing_to_do_with_the_load_does_not_keep_the_limit_down() -> None:
    run = simulate(lambda _, now, __: 0.05 if now < 5 else 0.25, seconds=60, after=50)

    assert min(run.limits) > 40


def test_completions_of_very_different_lengths_do_not_look_like_an_overload() -> None:
    run = simulate(lambda _, __, chance: 0.05 * chance.lognormvariate(0, 1), seconds=60, after=20, capacity=64)

    assert sum(run.limits) / len(run.limits) > 45


def test_a_server_that_becomes_smaller_is_found_out() -> None:
    rule = AutoLimit()
    simulate(steady, capacity=64, seconds=20, limit=rule)
    rule = AutoLimit(start=rule.limit)
    run = simulate(steady, capacity=20, seconds=60, after=10, limit=rule)

    assert run.refused / (run.done + run.refused) < 0.02
    assert run.done / run.seconds > 0.8 * 20 / 0.05


def test_a_limit_that_is_not_used_does_not_grow() -> None:
    rule = AutoLimit()
    for number in range(1000):
        rule.respond(float(number), float(number), 0.05, is_full=False)

    assert rule.limit == START

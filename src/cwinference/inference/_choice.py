"""Which of several endpoints gets a request. Time and randomness are passed in."""

from collections.abc import Collection, Sequence
from typing import Protocol, TypeVar

from ._health import FRESH, TOO_SMALL, Health

_ALIKE = 1.25
"""Up to this ratio latencies count as equal: those of completions differ by their lengths alone."""


class Measured(Protocol):
    """A server whose health is known."""

    @property
    def health(self) -> Health: ...


S = TypeVar("S", bound=Measured)


def choose(servers: Sequence[S], now: float, chance: float, tried: Collection[S] = ()) -> S | None:
    """Return the less loaded of two picked at random; or one that is due for its probe. `chance` is from 0 up to 1.

    Servers that are ejected get nothing, and those that asked for a pause only if all do. None if nothing is left but
    what was `tried`, or is ejected. If all are ejected and none was tried, it is the one that comes back first: nothing
    would be won by failing without an attempt.
    """
    if len(servers) == 2 and not tried:
        one, other = servers
        if not (one.health.needs_care or other.health.needs_care):  # all is well, as nearly always
            return _less_loaded(one, other, now) if chance < 0.5 else _less_loaded(other, one, now)
    willing: list[S] = []
    paused: list[S] = []
    for each in servers:
        if tried and each in tried:
            continue
        health = each.health
        if health.needs_care:
            if health.is_out(now):
                continue
            if health.take_probe(now):
                return each
            if health.is_paused(now):
                paused.append(each)
                continue
        willing.append(each)
    willing = willing or paused
    if len(willing) > 1:
        return _less_loaded(*_two_of(willing, chance), now)
    if willing:
        return willing[0]
    return None if tried else min(servers, key=_returns_at)


def _two_of(servers: Sequence[S], chance: float) -> tuple[S, S]:
    others = len(servers) - 1
    place, second = divmod(int(chance * len(servers) * others), others)
    return servers[place], servers[second + (second >= place)]


def _less_loaded(one: S, other: S, now: float) -> S:
    """Return the less loaded of two; the first one if they are equal."""
    health, others_health = one.health, other.health
    # One more request, each of which takes that long there.
    here, there = health.in_flight + 1, others_health.in_flight + 1
    if now - health.measured_at < FRESH and now - others_health.measured_at < FRESH:  # as `latency`, but faster
        mine, theirs = health.mean + TOO_SMALL, others_health.mean + TOO_SMALL
    else:
        mine, theirs = health.latency(now), others_health.latency(now)
    if mine and theirs and (mine > _ALIKE * theirs or theirs > _ALIKE * mine):
        return one if here * mine <= there * theirs else other
    return one if here <= there else other


def _returns_at(server: Measured) -> float:
    return server.health.returns_at

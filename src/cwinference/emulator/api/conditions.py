"""Conditions, always complete: type, status, time, reason, message and zone."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ... import types
from ..clock import timestamp


class Observed(NamedTuple):
    """A condition before it has a zone and a time."""

    type: str
    holds: bool
    reason: str
    message: str


def observe(status: Any, zones: Sequence[str], stamp: int, observed: Iterable[Observed]) -> None:
    """Replace the conditions of a status; one that says the same as before keeps its time."""
    before = {(each.type, each.zone): each for each in status.conditions}
    now = [_condition(each, zone, stamp) for each in observed for zone in zones]
    for each in now:
        old = before.get((each.type, each.zone))
        if old is not None and (old.status, old.reason, old.message) == (each.status, each.reason, each.message):
            each.last_update_time.CopyFrom(old.last_update_time)
    del status.conditions[:]
    status.conditions.extend(now)


def _condition(observed: Observed, zone: str, stamp: int) -> types.Condition:
    return types.Condition(
        type=observed.type,
        status=types.Condition.STATUS_TRUE if observed.holds else types.Condition.STATUS_FALSE,
        last_update_time=timestamp(stamp),
        reason=observed.reason,
        message=observed.message,
        zone=zone,
    )

"""Conditions in the status of resources. All their fields are always set."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ... import types
from ..clock import to_timestamp


class ConditionTemplate(NamedTuple):
    """A condition without its zone and its time; the same one is set in each zone of a resource."""

    type: str
    is_true: bool
    reason: str
    message: str


def set_conditions(status: Any, zones: Sequence[str], updated_at: int, templates: Iterable[ConditionTemplate]) -> None:
    """Replace the conditions of a status by one of each template in each zone.

    A condition that says the same as before keeps its `last_update_time`; the others get `updated_at`, in nanoseconds.
    """
    before = {(each.type, each.zone): each for each in status.conditions}
    conditions = [_condition(template, zone, updated_at) for template in templates for zone in zones]
    for each in conditions:
        old = before.get((each.type, each.zone))
        if old is not None and (old.status, old.reason, old.message) == (each.status, each.reason, each.message):
            each.last_update_time.CopyFrom(old.last_update_time)
    del status.conditions[:]
    status.conditions.extend(conditions)


def _condition(template: ConditionTemplate, zone: str, updated_at: int) -> types.Condition:
    return types.Condition(
        type=template.type,
        status=types.Condition.STATUS_TRUE if template.is_true else types.Condition.STATUS_FALSE,
        last_update_time=to_timestamp(updated_at),
        reason=template.reason,
        message=template.message,
        zone=zone,
    )

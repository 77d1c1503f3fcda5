"""The conditions of a resource in the order of time, those of several zones together."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from .. import types
from .explanation import Event

_MET = {types.Condition.STATUS_TRUE: True, types.Condition.STATUS_FALSE: False}


def history_of(resource: Any) -> Sequence[Event]:
    """Return what has become of a resource: its creation, and each condition since it last changed, oldest first."""
    groups: dict[tuple[Any, ...], list[types.Condition]] = {}
    for each in resource.status.conditions:
        key = (each.type, each.status, each.reason, each.message, _second(each))
        groups.setdefault(key, []).append(each)
    events = [_event(conditions) for conditions in groups.values()]
    return sorted(events, key=lambda each: (each.at is None, each.at or datetime.max.replace(tzinfo=UTC), each.type))


def since(resource: Any) -> datetime | None:
    """Return when a condition last changed; without conditions, when the resource did."""
    times = [at for each in resource.status.conditions if (at := _time_of(each, "last_update_time")) is not None]
    return (
        max(times, default=None) or _time_of(resource.status, "updated_at") or _time_of(resource.status, "created_at")
    )


def _event(conditions: Sequence[types.Condition]) -> Event:
    first = conditions[0]
    return Event(
        at=_time_of(first, "last_update_time"),
        type=first.type,
        met=_MET.get(first.status),
        reason=first.reason,
        message=first.message,
        zones=tuple(dict.fromkeys(each.zone for each in conditions if each.zone)),
    )


def _second(condition: types.Condition) -> int | None:
    return condition.last_update_time.seconds if condition.HasField("last_update_time") else None


def _time_of(message: Any, field: str) -> datetime | None:
    if not message.HasField(field):
        return None
    try:
        found: datetime = getattr(message, field).ToDatetime(UTC)
    except (ValueError, OverflowError):
        return None
    return found

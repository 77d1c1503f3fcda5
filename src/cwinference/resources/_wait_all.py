"""Waiting for many: a flow that polls until each of several resources is ready or never will be: one list per poll."""

from collections.abc import Mapping
from typing import Any, TypeVar

from .. import errors, types
from .._calls.clock import Clock
from .._calls.deadline import Deadline
from .._calls.flow import Flow
from .._calls.transient import server_delay
from ..following._following import Follower
from ._waits import Awaited, WaitClock, survivable, timed_out

R = TypeVar("R", types.Gateway, types.Deployment, types.CapacityClaim)

_RELIST_SECONDS = 60.0
"""After which time everything is listed again, because a resource may be gone, which no list of changes shows."""


def until_all_ready(
    follower: Follower[R], waiting: dict[str, Awaited[R]], wait: WaitClock, clock: Clock
) -> Flow[Mapping[str, R | errors.InferenceError]]:
    """Poll until each is settled or the time has run out; return each resource, or the error that ended its wait.

    What is settled leaves `waiting`.
    """
    ids, outcomes = [*waiting], dict[str, R | errors.InferenceError]()
    failure, absent, relist = None, set[str](), Deadline(_RELIST_SECONDS, clock.monotonic)
    while waiting:
        unseen = any(each.latest is None for each in waiting.values())
        try:
            if (yield from follower.poll(full=unseen or relist.has_passed())):
                relist = Deadline(_RELIST_SECONDS, clock.monotonic)
            failure = None
        except (errors.ApiError, errors.ProtocolError) as error:
            failure = survivable(error)
        for key, awaited in [*waiting.items()] if failure is None else ():
            outcome = _settled(follower.table.read(key), awaited, key, absent)
            if outcome is not None:
                outcomes[key] = outcome
                del waiting[key]
                follower.table.forget(key)
        limits = [left for each in waiting.values() if (left := each.in_error.remaining()) is not None]
        if waiting and not (yield from wait.pause(server_delay(failure), min(limits, default=None))):
            break
    for key, unsettled in waiting.items():
        late = outcomes[key] = _with_id(timed_out("ready", unsettled.latest, wait), key)
        late.__cause__ = failure
    return {key: outcomes[key] for key in ids}


def _settled(found: Any, awaited: Awaited[Any], id: str, absent: set[str]) -> Any:
    """Return how the wait for one resource has ended; None if it has not.

    What was created a moment ago may be missing from one list.
    """
    if found is None:
        if awaited.latest is None and id not in absent:
            absent.add(id)
            return None
        gone = "does not exist" if awaited.latest is None else "is gone"
        return _with_id(errors.NotFound(f"{id} {gone}"), id)
    try:
        return found if awaited.observe(found) else None
    except errors.ResourceFailed as error:
        return _with_id(error, id)


def _with_id(error: errors.InferenceError, id: str) -> errors.InferenceError:
    error.resource_id = id
    return error

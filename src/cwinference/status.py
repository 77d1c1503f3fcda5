"""How a resource stands: `State` for programs, `describe` for people."""

from collections.abc import Iterator
from enum import Enum
from typing import Any, TypeAlias, cast

from . import types
from ._text import one_line

Resource: TypeAlias = types.Gateway | types.Deployment | types.CapacityClaim


class State(Enum):
    """Where a gateway, deployment or capacity claim stands: `State.of(resource)`, the API's `STATUS_*` values.

    CREATING, UPDATING and DELETING pass by themselves. READY: it serves. ERROR: something is wrong that the service
    expects to recover from. FAILED: something is wrong for good. UNKNOWN: not settled, or newer than this release.
    `state.is_terminal`: it will not become READY by itself.
    """

    UNKNOWN = types.Status.STATUS_UNSPECIFIED
    """Not settled, or a number that this release does not know; treat it as pending."""
    CREATING = types.Status.STATUS_CREATING
    UPDATING = types.Status.STATUS_UPDATING
    DELETING = types.Status.STATUS_DELETING
    ERROR = types.Status.STATUS_ERROR
    """Something is wrong that the service expects to recover from."""
    FAILED = types.Status.STATUS_FAILED
    """Something is wrong for good."""
    READY = types.Status.STATUS_READY

    @classmethod
    def of(cls, resource: Resource) -> "State":
        """The state of a resource as the message tells it."""
        if not isinstance(resource, Resource):
            raise TypeError(f"State.of: {_expected(resource)}")
        return cast(State, cls._value2member_map_.get(resource.status.status, cls.UNKNOWN))

    @property
    def is_terminal(self) -> bool:
        """Whether it will not become ready by itself."""
        return self in (State.FAILED, State.DELETING)


class HotLoadState(Enum):
    """Where a hot-load stands: `HotLoadState.of(hot_load)`, the API's `HOT_LOAD_STATE_*` values.

    PENDING and IN_PROGRESS pass by themselves; COMPLETED, FAILED and CANCELED are final. UNKNOWN: not settled, or newer
    than this release. `state.is_terminal`: it will not complete any more.
    """

    UNKNOWN = types.HotLoadState.HOT_LOAD_STATE_UNSPECIFIED
    """Not settled, or a number that this release does not know; treat it as pending."""
    PENDING = types.HotLoadState.HOT_LOAD_STATE_PENDING
    IN_PROGRESS = types.HotLoadState.HOT_LOAD_STATE_IN_PROGRESS
    COMPLETED = types.HotLoadState.HOT_LOAD_STATE_COMPLETED
    FAILED = types.HotLoadState.HOT_LOAD_STATE_FAILED
    CANCELED = types.HotLoadState.HOT_LOAD_STATE_CANCELED

    @classmethod
    def of(cls, hot_load: types.HotLoad) -> "HotLoadState":
        """The state of a hot-load as the message tells it."""
        if not isinstance(hot_load, types.HotLoad):
            raise TypeError(f"HotLoadState.of: expected a HotLoad, got {type(hot_load).__name__}; others have State")
        return cast(HotLoadState, cls._value2member_map_.get(hot_load.status.state, cls.UNKNOWN))

    @property
    def is_terminal(self) -> bool:
        """Whether it will not complete any more."""
        return self in (HotLoadState.FAILED, HotLoadState.CANCELED)


def state_of(resource: Any) -> State | HotLoadState:
    """The state of any resource."""
    return HotLoadState.of(resource) if isinstance(resource, types.HotLoad) else State.of(resource)


def describe(resource: Resource | types.HotLoad) -> str:
    """The state and the conditions of a gateway, deployment, claim or hot-load as readable lines, one per condition,
    without control characters."""
    if not isinstance(resource, Resource | types.HotLoad):
        raise TypeError(f"describe: {_expected(resource)}")
    return "\n".join(_lines(resource))


def unmet(resource: Resource | types.HotLoad) -> str:
    """The conditions that do not hold, as one line; all of them when every one holds."""
    conditions = list(resource.status.conditions)
    failing = [each for each in conditions if each.status != types.Condition.STATUS_TRUE] or conditions
    return "; ".join(map(_condition, failing)) or "no conditions were given"


def _expected(found: object) -> str:
    hint = "; a hot-load has HotLoadState" if isinstance(found, types.HotLoad) else ""
    return f"expected a Gateway, Deployment or CapacityClaim, got {type(found).__name__}{hint}"


def _lines(resource: Resource | types.HotLoad) -> Iterator[str]:
    yield f"{name_of(resource)}: {state_text(resource)}"
    for condition in resource.status.conditions:
        yield f"  {_condition(condition)}"


def state_text(resource: Resource | types.HotLoad) -> str:
    """The state's name, and its number where this release does not know it."""
    state = state_of(resource)
    number = resource.status.state if isinstance(resource, types.HotLoad) else resource.status.status
    return f"{state.name} ({number})" if state.value != number else state.name


def name_of(resource: Resource | types.HotLoad) -> str:
    """Kind and name (a hot-load's identity), for messages."""
    spec: Any = resource.spec
    name = spec.identity if isinstance(resource, types.HotLoad) else spec.name
    return one_line(f"{resource.DESCRIPTOR.name} {name or spec.id}")


def _condition(condition: types.Condition) -> str:
    status = {types.Condition.STATUS_TRUE: "yes", types.Condition.STATUS_FALSE: "no"}.get(condition.status, "unknown")
    zone = f" in {condition.zone}" if condition.zone else ""
    reason = f" ({condition.reason})" if condition.reason else ""
    message = f": {condition.message}" if condition.message else ""
    return one_line(f"{condition.type or 'Condition'}{zone} {status}{reason}{message}")

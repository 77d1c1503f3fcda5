"""The status of a resource: `State` for programs, `describe` for people."""

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, TypeAlias, cast

from . import types
from ._secrets import forgets_locals
from ._text import one_line

AnyResource: TypeAlias = types.Gateway | types.Deployment | types.CapacityClaim


class State(Enum):
    """The state of a gateway, deployment or capacity claim: `State.of(resource)`, the API's `STATUS_*` values."""

    UNKNOWN = types.Status.STATUS_UNSPECIFIED
    """Not reported yet, or a number that this release does not know; treat it as pending."""
    CREATING = types.Status.STATUS_CREATING
    """Being created; it becomes READY by itself."""
    UPDATING = types.Status.STATUS_UPDATING
    """Being changed; it becomes READY by itself."""
    DELETING = types.Status.STATUS_DELETING
    """Being deleted; it disappears by itself."""
    ERROR = types.Status.STATUS_ERROR
    """Something is wrong, and the service expects to recover."""
    FAILED = types.Status.STATUS_FAILED
    """Something is wrong for good."""
    READY = types.Status.STATUS_READY
    """In service."""

    @classmethod
    @forgets_locals
    def of(cls, resource: AnyResource) -> "State":
        """Return the state of a gateway, deployment or capacity claim.

        Raises:
            TypeError: it is something else; a hot-load has `HotLoadState`.
        """
        if not isinstance(resource, AnyResource):
            raise TypeError(f"State.of: {_expected(resource)}")
        return cast(State, cls._value2member_map_.get(resource.status.status, cls.UNKNOWN))

    @property
    def is_terminal(self) -> bool:
        """Whether it will not become READY by itself: FAILED or DELETING."""
        return self in (State.FAILED, State.DELETING)


class HotLoadState(Enum):
    """The state of a hot-load: `HotLoadState.of(hot_load)`, the API's `HOT_LOAD_STATE_*` values."""

    UNKNOWN = types.HotLoadState.HOT_LOAD_STATE_UNSPECIFIED
    """Not reported yet, or a number that this release does not know; treat it as pending."""
    PENDING = types.HotLoadState.HOT_LOAD_STATE_PENDING
    """Accepted, not started yet."""
    IN_PROGRESS = types.HotLoadState.HOT_LOAD_STATE_IN_PROGRESS
    """The replicas are loading the snapshot."""
    COMPLETED = types.HotLoadState.HOT_LOAD_STATE_COMPLETED
    """Every replica has the snapshot; final."""
    FAILED = types.HotLoadState.HOT_LOAD_STATE_FAILED
    """It failed; final."""
    CANCELED = types.HotLoadState.HOT_LOAD_STATE_CANCELED
    """It was canceled; final."""

    @classmethod
    @forgets_locals
    def of(cls, hot_load: types.HotLoad) -> "HotLoadState":
        """Return the state of a hot-load.

        Raises:
            TypeError: it is something else, which has `State`.
        """
        if not isinstance(hot_load, types.HotLoad):
            raise TypeError(f"HotLoadState.of: expected a HotLoad, got {type(hot_load).__name__}; others have State")
        return cast(HotLoadState, cls._value2member_map_.get(hot_load.status.state, cls.UNKNOWN))

    @property
    def is_terminal(self) -> bool:
        """Whether it will not complete any more: FAILED or CANCELED."""
        return self in (HotLoadState.FAILED, HotLoadState.CANCELED)


def state_of(resource: Any) -> State | HotLoadState:
    """Return the state of any resource."""
    return HotLoadState.of(resource) if isinstance(resource, types.HotLoad) else State.of(resource)


def is_ready(resource: Any) -> bool:
    """Return whether it is READY, COMPLETED, or, for a disabled deployment, its resources are applied."""
    state = state_of(resource)
    if isinstance(resource, types.Deployment) and resource.spec.disabled:
        return state is State.READY or (not state.is_terminal and _resources_applied(resource))
    return state in (State.READY, HotLoadState.COMPLETED)


def _resources_applied(deployment: types.Deployment) -> bool:
    applied = [each.status for each in deployment.status.conditions if each.type == "ResourcesApplied"]
    return bool(applied) and all(status == types.Condition.STATUS_TRUE for status in applied)


@forgets_locals
def describe(resource: AnyResource | types.HotLoad) -> str:
    """Return the state and the conditions of a gateway, deployment, claim or hot-load as readable text.

    There is a line for the state and one for each condition, without control characters.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(resource, AnyResource | types.HotLoad):
        raise TypeError(f"describe: {_expected(resource)}")
    return "\n".join(_lines(resource))


def unmet(resource: AnyResource | types.HotLoad) -> str:
    """Return the conditions that are not met, on one line; if all are met, all of them.

    Those that say the same of several zones are one.
    """
    conditions = list(resource.status.conditions)
    zones = dict[tuple[str, str, str, str], list[str]]()
    for each in [each for each in conditions if each.status != types.Condition.STATUS_TRUE] or conditions:
        zones.setdefault((each.type, met_text(each.status), each.reason, each.message), []).append(each.zone)
    return "; ".join(condition_text(*key, places) for key, places in zones.items()) or "no conditions were reported"


def summary(resource: AnyResource | types.HotLoad) -> str:
    """Return kind, name and state, and the conditions that are not met, on one line."""
    text = f"{name_of(resource)}: {state_text(resource)}"
    is_met = all(each.status == types.Condition.STATUS_TRUE for each in resource.status.conditions)
    return text if is_met else f"{text}; {unmet(resource)}"


def _expected(found: object) -> str:
    hint = "; a hot-load has HotLoadState" if isinstance(found, types.HotLoad) else ""
    return f"expected a Gateway, Deployment or CapacityClaim, got {type(found).__name__}{hint}"


def _lines(resource: AnyResource | types.HotLoad) -> Iterator[str]:
    yield f"{name_of(resource)}: {state_text(resource)}"
    for condition in resource.status.conditions:
        yield f"  {_condition(condition)}"


def state_text(resource: AnyResource | types.HotLoad) -> str:
    """Return the state's name, and its number if this release does not know it."""
    state = state_of(resource)
    number = resource.status.state if isinstance(resource, types.HotLoad) else resource.status.status
    return f"{state.name} ({number})" if state.value != number else state.name


def name_of(resource: AnyResource | types.HotLoad) -> str:
    """Return kind and name (for a hot-load, its identity), for messages."""
    spec: Any = resource.spec
    name = spec.identity if isinstance(resource, types.HotLoad) else spec.name
    return one_line(f"{resource.DESCRIPTOR.name} {name or spec.id}")


def met_text(status: int) -> str:
    """Return whether a condition with this status is met, in a word."""
    words: Mapping[int, str] = {types.Condition.STATUS_TRUE: "yes", types.Condition.STATUS_FALSE: "no"}
    return words.get(status, "unknown")


def condition_text(kind: str, met: str, reason: str, message: str, zones: Iterable[str]) -> str:
    """Return a condition on one line, such as `Ready in US-EAST-04A no (NoPods): 0 of 2 are up`.

    Args:
        kind: the type of the condition.
        met: whether it is met, as `met_text` says it.
        reason: the reason in one word; may be empty.
        message: the reason in a sentence; may be empty.
        zones: where it is so; those that are empty do not count.
    """
    named = ", ".join(filter(None, zones))
    place = f" in {named}" if named else ""
    why = f" ({reason})" if reason else ""
    return one_line(f"{kind or 'Condition'}{place} {met}{why}{f': {message}' if message else ''}")


def _condition(condition: types.Condition) -> str:
    met = met_text(condition.status)
    return condition_text(condition.type, met, condition.reason, condition.message, [condition.zone])

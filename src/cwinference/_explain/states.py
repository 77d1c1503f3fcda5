"""What the state alone says, whatever the kind of resource."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..status import HotLoadState, State, is_ready, state_of
from .commands import command
from .explanation import Cause
from .facts import Facts

KINDS: Mapping[str, str] = {
    "Gateway": "gateways",
    "Deployment": "deployments",
    "CapacityClaim": "claims",
    "HotLoad": "hot-loads",
}
"""What the command line calls the kinds of resources."""


def state_causes(resource: Any, facts: Facts) -> Iterator[Cause]:
    """Yield what follows from the state."""
    state, kind = state_of(resource), KINDS[resource.DESCRIPTOR.name]
    name = resource.spec.id if kind == "hot-loads" else resource.spec.name or resource.spec.id
    match state:
        case State.DELETING:
            yield Cause("certain", "it is being deleted, and will not become READY")
        case State.FAILED:
            yield Cause(
                "note",
                "FAILED is final: it does not recover by itself; change what is wrong, or delete it and create it anew",
                (command(kind, "delete", name),),
            )
        case State.ERROR:
            yield Cause(
                "note",
                "the service expects to recover from ERROR by itself; it says nothing of how long that takes",
                (command(kind, "wait", name),),
            )
        case State.CREATING | State.UPDATING if not is_ready(resource) and not _is_disabled(resource):
            text = (
                "it is still being applied; loading a model takes minutes"
                if kind == "deployments"
                else "it is still being applied"
            )
            yield Cause("note", text, (command(kind, "wait", name),))
        case HotLoadState.PENDING | HotLoadState.IN_PROGRESS:
            yield Cause("note", "it is still being loaded", (command(kind, "wait", name),))
        case HotLoadState.FAILED | HotLoadState.CANCELED:
            yield Cause("note", f"{state.name} is final; a new hot-load of the same identity may be created")
        case State.UNKNOWN | HotLoadState.UNKNOWN:
            text = "it has a state that this release does not know, or none was reported; it counts as pending"
            yield Cause("note", text, (command("doctor"),))
        case _:
            return


def _is_disabled(resource: Any) -> bool:
    return bool(getattr(resource.spec, "disabled", False))

"""How a state looks: a color, and a shape for those who do not see the color."""

from typing import Any

from .._text import one_line
from ..status import HotLoadState, State, is_ready, state_of, state_text
from .display import Display

_LOOKS: dict[State | HotLoadState, tuple[str, str]] = {
    State.READY: ("●", "green"),
    State.CREATING: ("◐", "yellow"),
    State.UPDATING: ("◐", "yellow"),
    State.DELETING: ("◌", "dim"),
    State.ERROR: ("▲", "red"),
    State.FAILED: ("✖", "bold red"),
    HotLoadState.COMPLETED: ("●", "green"),
    HotLoadState.PENDING: ("○", "yellow"),
    HotLoadState.IN_PROGRESS: ("◐", "yellow"),
    HotLoadState.FAILED: ("✖", "bold red"),
    HotLoadState.CANCELED: ("◌", "dim"),
}
_UNKNOWN = ("○", "")


def state_style(resource: Any) -> str:
    """Return the color of a resource's state."""
    return _LOOKS.get(state_of(resource), _UNKNOWN)[1]


def state_label(resource: Any, display: Display) -> str:
    """Return the state of a resource, with a shape where the display has some."""
    text = state_name(resource)
    return f"{_LOOKS.get(state_of(resource), _UNKNOWN)[0]} {text}" if display.has_shapes else text


def state_name(resource: Any) -> str:
    """Return the state of a resource; of a deployment that is disabled, this."""
    text = one_line(state_text(resource))
    if getattr(resource.spec, "disabled", False) and is_ready(resource):
        return "DISABLED"
    return text

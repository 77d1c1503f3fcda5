"""What may be set about how resources live: delays, previews that are on or off, and bad ends."""

from collections.abc import Callable, Container
from dataclasses import dataclass, fields
from math import inf
from typing import Literal, TypeAlias

from .. import types
from ..errors import ConfigurationError
from ._rules import RuleSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How resources live. All times are seconds."""

    ready_after: float = 0.0
    """From a create to READY. With 0 the reply still tells CREATING, and the next look READY."""
    update_after: float | None = None
    """From an update to READY; None: as `ready_after`."""
    delete_after: float | None = None
    """From a delete until the resource is gone; None: as `ready_after`."""
    hot_load_after: float | None = None
    """From the start of a hot-load to COMPLETED; None: as `ready_after`."""
    status_lag: float = 0.0
    """For how long after an update the status still reads as before, as it may on the real service."""
    disabled_becomes_ready: bool = False
    """Whether a disabled deployment becomes READY, as older official clients expect, instead of staying short of it."""
    hot_load_organizations: Container[str] | None = None
    """Organizations that may hot-load; None: all."""
    cancel_hot_loads: bool = False
    """Whether CancelHotLoad works; the real service answers UNIMPLEMENTED."""
    enforce_parameters: bool = False
    """Whether zones, instance types, engines and versions must be among the parameters. The API documents such a
    refusal only for the options and environment variables of engines, which is always on."""
    quota: int | None = None
    """How many resources of each kind an organization may have; None: any number."""
    rules: RuleSet = "published"
    """`"current"`: with what is known to have changed since the published rules."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (int, float)) and not 0 <= value < inf:
                raise ConfigurationError(f"{field.name}: {value} does not do; give a number from 0 upwards")

    def after(self, seconds: float | None) -> float:
        """A delay, by default that of a create."""
        return self.ready_after if seconds is None else seconds


@dataclass(frozen=True, slots=True)
class Fate:
    """A bad end instead of READY or COMPLETED."""

    status: Literal["FAILED", "ERROR"] = "FAILED"
    """FAILED is for good; ERROR is what the service expects to recover from. A hot-load always fails."""
    reason: str = ""
    """The condition's word for it; empty: one that suits the kind of resource."""
    message: str = ""
    """The condition's text; empty: one that suits the kind of resource."""
    recovers_after: float | None = None
    """Seconds from ERROR to READY; None: never by itself."""

    def __post_init__(self) -> None:
        if self.recovers_after is not None and not 0 <= self.recovers_after < inf:
            raise ConfigurationError(f"recovers_after: {self.recovers_after} does not do; give a number from 0 upwards")
        if self.status not in ("FAILED", "ERROR"):
            raise ConfigurationError(f"status: {self.status!r} is no bad end; give FAILED or ERROR")


Readiness: TypeAlias = Callable[[types.Deployment], "bool | Fate"]
"""Whether what stands behind a deployment is up: True, False (not yet; asked again soon) or how it ends instead.

It is asked while the state is held: it must be quick, and must not call the API."""

"""What may be set about how resources live: delays, previews that are on or off, and bad ends."""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, fields
from math import inf
from typing import Any, Literal, TypeAlias, cast, get_args

from ..errors import ConfigurationError
from .rules.checker import RuleSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Behavior:
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
        _check(self, _OF_BEHAVIOUR)

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
        _check(self, _OF_FATES)


def _check(settings: Any, expectations: "Mapping[str, _Expectation]") -> None:
    for field in fields(settings):
        value: object = getattr(settings, field.name)
        holds, expected = expectations.get(field.name, _SECONDS)
        if not holds(value) and (value is not None or field.default is not None):
            raise ConfigurationError(f"{field.name}: expected {expected}, got {value!r}")


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < inf


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_names(value: object) -> bool:
    if not isinstance(value, Container) or isinstance(value, str):
        return False
    return not isinstance(value, Iterable) or all(map(_is_text, cast(Iterable[object], value)))


_Expectation: TypeAlias = tuple[Callable[[object], bool], str]
_SECONDS: _Expectation = (_is_seconds, "a number of seconds from 0")
_FLAG: _Expectation = (_is_flag, "true or false")
_TEXT: _Expectation = (_is_text, "a text")
_OF_BEHAVIOUR: Mapping[str, _Expectation] = {
    "disabled_becomes_ready": _FLAG,
    "hot_load_organizations": (_are_names, "a list of organizations"),
    "cancel_hot_loads": _FLAG,
    "enforce_parameters": _FLAG,
    "quota": (_is_count, "a whole number from 0"),
    "rules": (lambda value: value in get_args(RuleSet), "one of " + ", ".join(get_args(RuleSet))),
}
"""What settings may be that are no seconds."""
_OF_FATES: Mapping[str, _Expectation] = {
    "status": (lambda value: value in ("FAILED", "ERROR"), "FAILED or ERROR"),
    "reason": _TEXT,
    "message": _TEXT,
}

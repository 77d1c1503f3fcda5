"""Settings of how emulated resources behave: delays, optional features, and failures planned for single resources."""

from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import dataclass, fields
from math import inf
from typing import Any, Literal, TypeAlias, cast, get_args

from ..errors import ConfigurationError
from .rules.checker import RuleSet

DriftKind: TypeAlias = Literal["new_fields", "moved_numbers", "new_enum_values"]
"""A way in which a newer service differs from the release of the API that this library knows."""
DRIFT_KINDS: tuple[DriftKind, ...] = get_args(DriftKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behavior:
    """How the emulated API behaves: how long changes take, which optional features are on, and what it rejects.

    Each argument is also a key of the table `[behavior]` in the emulator's TOML file.

    Args:
        ready_after: seconds from the creation of a resource until it is READY (0.0). With 0 the response to the create
            still says CREATING, and the next poll returns READY.
        update_after: seconds from an update until the resource is READY again. None: the same as `ready_after`.
        delete_after: seconds from a delete until the resource is gone. None: the same as `ready_after`.
        hot_load_after: seconds from the creation of a hot-load until it is COMPLETED. None: the same as `ready_after`.
        status_lag: seconds after an update during which the status still describes the state before it, as can happen
            with the real service (0.0).
        disabled_becomes_ready: whether a disabled deployment becomes READY, as older official clients expect. False:
            it stays CREATING or UPDATING, with the condition `Ready` false (False).
        hot_load_organizations: organizations that may create deployments with hot-load. None: all of them.
        cancel_hot_loads: whether CancelHotLoad works; the real service responds with UNIMPLEMENTED (False).
        enforce_parameters: whether to reject zones, instance types, engines and engine versions that are not among the
            `Parameters` (False). Unknown options and environment variables of an engine are always rejected: only
            those checks are documented for the API.
        quota: how many resources of each kind an organization may have; one more is rejected with RESOURCE_EXHAUSTED.
            None: no limit.
        rules: which validation rules apply to requests: "published", those of the published API definitions, or
            "current", with the changes known to have been made since ("published").
        drift: how responses differ from those that this release knows, to see how a program fares with a newer
            service: any of "new_fields" (in binary and JSON), "moved_numbers" (in binary) and "new_enum_values"; True
            for all of them (none). What drifts are fields that only responses have.

    Raises:
        ConfigurationError: a value has the wrong type or is out of range.
    """

    ready_after: float = 0.0
    update_after: float | None = None
    delete_after: float | None = None
    hot_load_after: float | None = None
    status_lag: float = 0.0
    disabled_becomes_ready: bool = False
    hot_load_organizations: Container[str] | None = None
    cancel_hot_loads: bool = False
    enforce_parameters: bool = False
    quota: int | None = None
    rules: RuleSet = "published"
    drift: bool | Collection[DriftKind] = ()

    def __post_init__(self) -> None:
        _check(self, _BEHAVIOR_FIELDS)

    @property
    def drift_kinds(self) -> Collection[DriftKind]:
        """The ways in which responses drift."""
        return (DRIFT_KINDS if self.drift else ()) if isinstance(self.drift, bool) else tuple(self.drift)

    def delay(self, seconds: float | None) -> float:
        """Return a delay in seconds: the given one, or `ready_after` if it is None."""
        return self.ready_after if seconds is None else seconds


@dataclass(frozen=True, slots=True)
class Fate:
    """How a resource fails, instead of becoming READY, or a hot-load instead of becoming COMPLETED.

    `emulator.fates` assigns fates to resources:

        emulator.fates["my-gateway"] = Fate("ERROR", message="No address left.", recovers_after=30)

    With `strikes_after` it fails later, when it has been READY for some time, as hardware does:

        emulator.fates["llama"] = Fate("ERROR", strikes_after=60)

    Args:
        status: the status that the resource ends up in: "FAILED", which is final until the next update, or "ERROR",
            from which the real service tries to recover. A hot-load becomes FAILED with either ("FAILED").
        reason: `reason` of the condition that reports the failure, such as "InsufficientCapacity". Empty: a typical
            one for the kind of resource ("").
        message: `message` of that condition. Empty: a typical one for the kind of resource ("").
        recovers_after: seconds from ERROR until the resource becomes READY after all. None: it stays in ERROR until
            the next update. Without effect on FAILED.
        strikes_after: seconds of being READY after which it fails, on the emulator's clock; whenever it has become
            READY again, once more. A resource that has been READY for longer fails at once. None: it fails instead of
            becoming READY. Without effect on hot-loads, which are never READY.

    Raises:
        ConfigurationError: a value has the wrong type or is out of range.
    """

    status: Literal["FAILED", "ERROR"] = "FAILED"
    reason: str = ""
    message: str = ""
    recovers_after: float | None = None
    strikes_after: float | None = None

    def __post_init__(self) -> None:
        _check(self, _FATE_FIELDS)


class Fates(dict[str, Fate]):
    """Fates by the names of resources. Anything else than a fate is refused here, and not by each call from then on."""

    def __setitem__(self, name: str, fate: Fate) -> None:
        """Assign a fate. Raises ConfigurationError if it is none."""
        if not isinstance(fate, Fate):
            raise ConfigurationError(f"fates: expected a Fate, got {type(fate).__name__}; to take one away, use pop")
        super().__setitem__(name, fate)


def _check(settings: Any, expectations: "Mapping[str, _Expectation]") -> None:
    for field in fields(settings):
        value: object = getattr(settings, field.name)
        is_valid, expected = expectations.get(field.name, _SECONDS)
        may_be_none = field.default is None
        if not is_valid(value) and not (value is None and may_be_none):
            raise ConfigurationError(f"{field.name}: expected {expected}, got {value!r}")


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_string(value: object) -> bool:
    return isinstance(value, str)


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < inf


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_container_of_strings(value: object) -> bool:
    # A single string is a container of strings too, but `"cw1a2b"` in place of `["cw1a2b"]` is a mistake.
    if not isinstance(value, Container) or isinstance(value, str):
        return False
    return not isinstance(value, Iterable) or all(map(_is_string, cast(Iterable[object], value)))


def _is_drift(value: object) -> bool:
    kinds = cast(Collection[object], value)
    return isinstance(value, bool) or (_is_container_of_strings(value) and set(kinds) <= set(DRIFT_KINDS))


_Expectation: TypeAlias = tuple[Callable[[object], bool], str]
"""Whether a value is valid, and a description of valid ones for the error message."""
_SECONDS: _Expectation = (_is_seconds, "a number of seconds, at least 0")
_FLAG: _Expectation = (_is_flag, "true or false")
_STRING: _Expectation = (_is_string, "a string")
_BEHAVIOR_FIELDS: Mapping[str, _Expectation] = {
    "disabled_becomes_ready": _FLAG,
    "hot_load_organizations": (_is_container_of_strings, "a list of organizations"),
    "cancel_hot_loads": _FLAG,
    "enforce_parameters": _FLAG,
    "quota": (_is_count, "a whole number, at least 0"),
    "rules": (lambda value: value in get_args(RuleSet), "one of " + ", ".join(get_args(RuleSet))),
    "drift": (_is_drift, "True, or a list of any of " + ", ".join(DRIFT_KINDS)),
}
"""The fields that are not in seconds."""
_FATE_FIELDS: Mapping[str, _Expectation] = {
    "status": (lambda value: value in ("FAILED", "ERROR"), "FAILED or ERROR"),
    "reason": _STRING,
    "message": _STRING,
}

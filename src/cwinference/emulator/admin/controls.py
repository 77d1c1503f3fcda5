"""What the admin routes do, without HTTP: everything that a running emulator does in addition to its API."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

from ..._wire.methods import Method
from ...errors import ConfigurationError
from ..api.emulated_api import EmulatedApi
from ..behavior import Fate
from ..clock import EmulatorClock, to_timestamp
from ..config import read_fates
from ..faults.faults import Fault, Faults, table_of
from ..interfaces import RpcError
from .request_log import CAPACITY, RequestLog
from .request_view import describe

_STATE_KEYS = ("version", "now", "resources", "fates", "faults")
_VERSION = 1
"""Of the form of the state."""

MethodOf = Callable[[str, str], Method | None]
"""Returns the method that a request calls, by its HTTP verb and its path."""


class Controls:
    """The parts of a running emulator, and what can be done to them."""

    def __init__(
        self, api: EmulatedApi, faults: Faults, fates: dict[str, Fate], log: RequestLog, method_of: MethodOf
    ) -> None:
        self._api = api
        self._faults = faults
        self._fates = fates
        self._log = log
        self._method_of = method_of
        self._first_state: Mapping[str, Any] | None = None

    @property
    def ready(self) -> bool:
        """Whether it has its seed."""
        return self._first_state is not None

    def become_ready(self) -> None:
        """Remember the state as the one to return to."""
        self._first_state = self.state()

    def reset(self, *, keep_seed: bool) -> int:
        """Empty the emulator and its log, or return to the state that it started with; return how many resources."""
        self._log.clear()
        return self.set_state(self._first_state or {} if keep_seed else {})

    def state(self) -> dict[str, Any]:
        """Return the whole state as JSON."""
        return {
            "version": _VERSION,
            "now": self._now(),
            "resources": self._api.snapshot(),
            "fates": self.fates(),
            "faults": [table_of(each) for each in self._faults],
        }

    def set_state(self, state: Mapping[str, Any]) -> int:
        """Replace the whole state by one that `state` returned, and return how many resources it has."""
        _check_keys(state, _STATE_KEYS)
        if state.get("version", _VERSION) != _VERSION:
            raise RpcError("invalid_argument", f"version: expected {_VERSION}, got {state['version']!r}")
        try:
            fates = read_fates(state.get("fates", {}), "fates")
            tables = _tables(state.get("faults", []), "faults")
            Faults().replace(tables, "faults")
            count = self._api.restore(state.get("resources", []))
            self._faults.replace(tables, "faults")
        except ConfigurationError as error:
            raise RpcError("invalid_argument", str(error)) from None
        self._fates.clear()
        self._fates.update(fates)
        return count

    def faults(self) -> Sequence[Mapping[str, Any]]:
        """Return the faults that are injected now."""
        return [_fault_view(each) for each in self._faults]

    def add_fault(self, table: Mapping[str, Any]) -> Mapping[str, Any]:
        """Inject a fault from now on."""
        try:
            return _fault_view(self._faults.add_table(table, "fault"))
        except ConfigurationError as error:
            raise RpcError("invalid_argument", str(error)) from None

    def remove_fault(self, id: str) -> None:
        """End one fault."""
        found = next((each for each in self._faults if str(each.id) == id), None)
        if found is None:
            raise RpcError("not_found", f"there is no fault {id!r}")
        self._faults.remove(found)

    def remove_faults(self) -> None:
        """End all faults."""
        self._faults.clear()

    def fates(self) -> dict[str, Any]:
        """Return the fates by the names of their resources."""
        return {name: asdict(fate) for name, fate in list(self._fates.items())}

    def set_fate(self, name: str, value: object) -> None:
        """Plan a failure for a resource; None takes it away."""
        if value is None:
            self._fates.pop(name, None)
            return
        try:
            self._fates.update(read_fates({name: value}, "fates"))
        except ConfigurationError as error:
            raise RpcError("invalid_argument", str(error)) from None

    def clock(self) -> dict[str, Any]:
        """Return what time it is, and whether time passes."""
        return {"now": self._now(), "running": self._clock.running}

    def advance(self, seconds: object) -> None:
        """Move the stopped clock forward."""
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 1e9:
            raise RpcError("invalid_argument", f"advance: expected a number of seconds, at least 0, got {seconds!r}")
        if self._clock.running:
            text = "the clock follows real time; start the emulator with --clock stopped to advance it"
            raise RpcError("failed_precondition", text)
        self._clock.advance(seconds)

    def requests(self, limit: int = CAPACITY, after: int = 0) -> Sequence[Mapping[str, Any]]:
        """Return the last requests, oldest first."""
        return [describe(each, self._log.at(each), self._method_of) for each in self._log.last(limit, after)]

    @property
    def _clock(self) -> EmulatorClock:
        return self._api.clock

    def _now(self) -> str:
        return to_timestamp(self._clock.now()).ToJsonString()


def _fault_view(fault: Fault) -> Mapping[str, Any]:
    return {"id": str(fault.id), **table_of(fault), "happened": fault.happened}


def _tables(value: object, location: str) -> Sequence[Mapping[str, Any]]:
    entries = cast(list[object], value) if isinstance(value, list) else [value]
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in entries):
        raise RpcError("invalid_argument", f"{location}: expected a list of objects")
    return cast(Sequence[Mapping[str, Any]], value)


def _check_keys(body: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in body:
        if key not in known:
            raise RpcError("invalid_argument", f"unknown key {key!r}; known keys are {', '.join(known)}")

"""The emulator's TOML file: tokens of organizations, parameters, behaviour, fates, faults.

[behaviour]                     # any setting of `Behavior`
ready_after = 5.0
rules = "current"

[[tokens]]
token = "CW-SECRET-of-blue"
organization = "cw2b3c"
role = "viewer"                 # or "admin"

[parameters.zones]              # replaces all of the built-in zones; the engines stay
US-EAST-04A = ["gd-8xh100ib-i128"]

[parameters.engines.vllm]
versions = ["0.11.0"]

[fates.doomed]                  # what the resource of this name comes to, in the words of `Fate`
status = "FAILED"
message = "No capacity."

[[faults]]                      # what goes wrong on purpose, in the words of `Faults.add`
kind = "error"
method = "CreateGateway"
nth = 1
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, cast

from ..errors import ConfigurationError
from .behavior import Behavior, Fate
from .interfaces import Caller
from .parameters import Parameters
from .tokens import TOKEN_FORM, is_token

T = TypeVar("T")

_ROLES = {"admin": True, "viewer": False}
_TABLES = ("behaviour", "tokens", "parameters", "fates", "faults")


@dataclass(frozen=True)
class Config:
    """What the file says; without a file, nothing."""

    behaviour: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tokens: Mapping[str, Caller] = field(default_factory=dict[str, Caller], repr=False)
    parameters: Parameters | None = None
    fates: Mapping[str, Fate] = field(default_factory=dict[str, Fate])
    faults: Sequence[Mapping[str, Any]] = ()


def load(path: str | os.PathLike[str]) -> Config:
    """Read and check the file. Raises ConfigurationError, which names the place."""
    where = f"config: {os.fspath(path)}"
    try:
        table = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{where}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{where}: not TOML: {error}") from None
    _only(table, _TABLES, where)
    parameters = table.get("parameters")
    return Config(
        behaviour=_behaviour(table.get("behaviour", {}), f"{where}: behaviour"),
        tokens=_tokens(table.get("tokens", []), f"{where}: tokens"),
        parameters=None if parameters is None else Parameters.from_table(parameters, source=f"{where}: parameters"),
        fates=_fates(table.get("fates", {}), f"{where}: fates"),
        faults=_tables(table.get("faults", []), f"{where}: faults"),
    )


def _behaviour(value: object, where: str) -> Mapping[str, Any]:
    settings = _table(value, where)
    _made(Behavior, settings, where)
    return settings


def _fates(value: object, where: str) -> Mapping[str, Fate]:
    fates = _table(value, where)
    return {name: _made(Fate, _table(each, f"{where}.{name}"), f"{where}.{name}") for name, each in fates.items()}


def _made(kind: type[T], settings: Mapping[str, Any], where: str) -> T:
    """What the settings of one table describe."""
    _only(settings, [each.name for each in fields(cast(Any, kind))], where)
    try:
        return kind(**settings)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def _tokens(value: object, where: str) -> Mapping[str, Caller]:
    callers: dict[str, Caller] = {}
    for number, entry in enumerate(_tables(value, where), 1):
        here = f"{where}[{number}]"
        _only(entry, ("token", "organization", "role"), here)
        token, organization, role = (entry.get(name) for name in ("token", "organization", "role"))
        if token is None or not (isinstance(organization, str) and organization):
            raise ConfigurationError(f"{here}: needs a token and an organization")
        if not isinstance(token, str) or not is_token(token):
            raise ConfigurationError(f"{here}: token: {TOKEN_FORM}")
        if role not in _ROLES:
            raise ConfigurationError(f"{here}: role: expected 'admin' or 'viewer', got {role!r}")
        if token in callers:
            raise ConfigurationError(f"{here}: the same token is given twice")
        callers[token] = Caller(organization, admin=_ROLES[role])
    return callers


def _only(table: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for name in table:
        if name not in known:
            raise ConfigurationError(f"{where}: unknown name {name!r}; known are {', '.join(known)}")


def _table(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where}: expected a table")
    return cast(dict[str, Any], value)


def _tables(value: object, where: str) -> Sequence[dict[str, Any]]:
    if not isinstance(value, list):
        raise ConfigurationError(f"{where}: expected a list of tables, each under [[...]]")
    return [_table(each, where) for each in cast(list[object], value)]

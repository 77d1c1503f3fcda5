"""The emulator's TOML file: behavior, tokens of organizations, parameters, fates, faults.

[behavior]                      # any field of `Behavior`
ready_after = 5.0
rules = "current"
drift = ["new_fields"]

[[tokens]]
token = "CW-SECRET-of-blue"
organization = "cw2b3c"
role = "viewer"                 # or "admin"

[parameters.zones]              # replaces all built-in zones; the engines stay
US-EAST-04A = ["gd-8xh100ib-i128"]

[parameters.engines.vllm]
versions = ["0.11.0"]

[fates.doomed]                  # how the resource of this name fails; any field of `Fate`
status = "FAILED"
message = "No capacity."

[[faults]]                      # a fault to inject; any argument of `Faults.add`
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
from .tokens import EXPECTED_TOKEN, is_token

T = TypeVar("T")

_IS_ADMIN = {"admin": True, "viewer": False}
_SECTIONS = ("behavior", "tokens", "parameters", "fates", "faults")


@dataclass(frozen=True)
class Config:
    """The content of the file; all of it is empty when there is no file."""

    behavior: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Arguments of `Behavior`. Only those in the file, because arguments from elsewhere are merged with them."""
    tokens: Mapping[str, Caller] = field(default_factory=dict[str, Caller], repr=False)
    """The caller that each token authenticates."""
    parameters: Parameters | None = None
    fates: Mapping[str, Fate] = field(default_factory=dict[str, Fate])
    faults: Sequence[Mapping[str, Any]] = ()


def load(path: str | os.PathLike[str]) -> Config:
    """Read and check the file.

    Raises:
        ConfigurationError: the file cannot be read, or something in it is wrong; the text says where.
    """
    location = f"config: {os.fspath(path)}"
    try:
        content = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{location}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{location}: not TOML: {error}") from None
    _check_keys(content, _SECTIONS, location)
    parameters = content.get("parameters")
    return Config(
        behavior=_behavior(content.get("behavior", {}), f"{location}: behavior"),
        tokens=_tokens(content.get("tokens", []), f"{location}: tokens"),
        parameters=None if parameters is None else Parameters.from_table(parameters, source=f"{location}: parameters"),
        fates=read_fates(content.get("fates", {}), f"{location}: fates"),
        faults=_list_of_tables(content.get("faults", []), f"{location}: faults"),
    )


def _behavior(value: object, location: str) -> Mapping[str, Any]:
    settings = _table(value, location)
    _build(Behavior, settings, location)
    return settings


def read_fates(value: object, location: str) -> Mapping[str, Fate]:
    """Return fates by the names of their resources, from a table of tables.

    Raises:
        ConfigurationError: something in it is wrong; the text begins with `location` and says where.
    """
    fates = _table(value, location)
    return {
        name: _build(Fate, _table(fate, f"{location}.{name}"), f"{location}.{name}") for name, fate in fates.items()
    }


def _build(dataclass_type: type[T], settings: Mapping[str, Any], location: str) -> T:
    """Create an instance from a table whose keys are its fields."""
    _check_keys(settings, [each.name for each in fields(cast(Any, dataclass_type))], location)
    try:
        return dataclass_type(**settings)
    except ConfigurationError as error:
        raise ConfigurationError(f"{location}: {error}") from None


def _tokens(value: object, location: str) -> Mapping[str, Caller]:
    callers: dict[str, Caller] = {}
    for number, entry in enumerate(_list_of_tables(value, location), 1):
        place = f"{location}[{number}]"
        _check_keys(entry, ("token", "organization", "role"), place)
        token, organization, role = (entry.get(key) for key in ("token", "organization", "role"))
        if token is None or not (isinstance(organization, str) and organization):
            raise ConfigurationError(f"{place}: expected a token and an organization")
        if not isinstance(token, str) or not is_token(token):
            raise ConfigurationError(f"{place}: token: expected {EXPECTED_TOKEN}")
        if role not in _IS_ADMIN:
            raise ConfigurationError(f"{place}: role: expected 'admin' or 'viewer', got {role!r}")
        if token in callers:
            raise ConfigurationError(f"{place}: token: duplicate of an earlier one; each may be given once")
        callers[token] = Caller(organization, admin=_IS_ADMIN[role])
    return callers


def _check_keys(table: Mapping[str, Any], known: Sequence[str], location: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigurationError(f"{location}: unknown key {key!r}; known keys are {', '.join(known)}")


def _table(value: object, location: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{location}: expected a table")
    return cast(dict[str, Any], value)


def _list_of_tables(value: object, location: str) -> Sequence[dict[str, Any]]:
    if not isinstance(value, list):
        raise ConfigurationError(f"{location}: expected a list of tables, each under [[...]]")
    return [_table(entry, location) for entry in cast(list[object], value)]

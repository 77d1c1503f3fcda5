"""What resources may be made of: zones, instance types, and engines with their versions and options."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import Any, cast

from ..errors import ConfigurationError
from .rules.checker import RuleSet
from .rules.formats import SEMANTIC_VERSION, ZONE

_ENGINES_OF_CURRENT_RULES = frozenset({"dynamo-sglang"})
"""Engines that the published rules do not allow; they are offered with the current rules only."""


@dataclass(frozen=True, slots=True)
class EngineOffer:
    """What deployments may use of one inference engine.

    Args:
        versions: versions on offer, as semantic versions such as "0.22.0".
        config: keys that `engine_config` may have: command-line options without their dashes.
        env: names of environment variables that `engine_env` may have.
    """

    versions: Sequence[str]
    config: Sequence[str]
    env: Sequence[str]


@dataclass(frozen=True, slots=True)
class Parameters:
    """The zones, instance types and engines on offer.

    The parameters methods of the API (`client.gateways.parameters()` and so on) return them, and creates and updates
    are checked against them: options and environment variables of engines always, everything else with
    `Behavior(enforce_parameters=True)`.

    Args:
        zones: the instance types in each zone, by the name of the zone. Empty: the built-in zones.
        engines: what is on offer of each engine, by the name of the engine. Empty: the built-in engines.
    """

    zones: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    engines: Mapping[str, EngineOffer] = field(default_factory=dict[str, EngineOffer])

    @classmethod
    def default(cls, rules: RuleSet = "published") -> "Parameters":
        """Return the built-in parameters, those of the file `parameters.toml` next to this module.

        Args:
            rules: the validation rules in use. "published" leaves out the engines that only "current" allows.
        """
        built_in = _built_in()
        if rules == "current":
            return built_in
        engines = {name: engine for name, engine in built_in.engines.items() if name not in _ENGINES_OF_CURRENT_RULES}
        return cls(zones=built_in.zones, engines=engines)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Parameters":
        """Read parameters from a TOML file with the tables `zones` and `engines`, either or both.

        Args:
            path: the file; its form is that of `parameters.toml` next to this module.

        Raises:
            ConfigurationError: the file cannot be read, or something in it is wrong; the text says where.
        """
        try:
            table = tomllib.loads(Path(path).read_text("utf-8"))
        except OSError as error:
            raise ConfigurationError(f"parameters {path}: {error.strerror or error}") from None
        except ValueError as error:
            raise ConfigurationError(f"parameters {path}: not TOML: {error}") from None
        return cls.from_table(table, source=f"parameters {path}")

    @classmethod
    def from_table(cls, table: Mapping[str, Any], *, source: str = "parameters") -> "Parameters":
        """Read parameters from a parsed TOML table.

        Args:
            table: it may have the keys `zones` and `engines`, both tables.
            source: where the table comes from, for error messages.

        Raises:
            ConfigurationError: something in the table is wrong; the text begins with `source` and says where.
        """
        _check_keys(table, {"zones", "engines"}, source)
        zones = {
            zone: _strings(types, f"{source}: zones.{zone}") for zone, types in _table(table, "zones", source).items()
        }
        if not zones and "zones" in table:
            raise ConfigurationError(f"{source}: zones must not be empty")
        for zone in zones:
            if not ZONE.fullmatch(zone):
                raise ConfigurationError(f"{source}: zones: expected names of zones such as US-EAST-04A, got {zone!r}")
        engines = {
            name: _engine_offer(engine, f"{source}: engines.{name}")
            for name, engine in _table(table, "engines", source).items()
        }
        return cls(zones=zones, engines=engines)

    def with_defaults(self, rules: RuleSet) -> "Parameters":
        """Return these parameters, with the built-in ones in place of empty ones."""
        built_in = Parameters.default(rules)
        return Parameters(self.zones or built_in.zones, self.engines or built_in.engines)

    def instance_types(self, zones: Iterable[str] | None = None) -> Sequence[str]:
        """Return the instance types on offer in any of these zones, sorted. None: in any zone."""
        chosen = self.zones if zones is None else zones
        return sorted({each for zone in chosen for each in self.zones.get(zone, ())})


@cache
def _built_in() -> Parameters:
    text = resources.files("cwinference.emulator").joinpath("parameters.toml").read_text("utf-8")
    return Parameters.from_table(tomllib.loads(text), source="parameters.toml")


def _engine_offer(table: Any, source: str) -> EngineOffer:
    _check_keys(table, {"versions", "config", "env"}, source)
    lists = {key: _strings(table.get(key, []), f"{source}.{key}") for key in ("versions", "config", "env")}
    for version in lists["versions"]:
        if not SEMANTIC_VERSION.fullmatch(version):
            text = f"{source}.versions: expected semantic versions such as 0.22.0, got {version!r}"
            raise ConfigurationError(text)
    return EngineOffer(
        versions=sorted(lists["versions"], key=_version_order), config=sorted(lists["config"]), env=sorted(lists["env"])
    )


def _version_order(version: str) -> tuple[list[int], str]:
    core = re.match(r"[0-9.]*", version)
    numbers = core.group() if core else ""
    return [int(each) for each in numbers.split(".") if each], version


def _check_keys(table: Any, known: set[str], source: str) -> None:
    if not isinstance(table, dict):
        raise ConfigurationError(f"{source}: expected a table")
    unknown = sorted(cast(dict[str, Any], table).keys() - known)
    if unknown:
        raise ConfigurationError(f"{source}: unknown key {unknown[0]!r}; known keys are {', '.join(sorted(known))}")


def _table(table: Mapping[str, Any], key: str, source: str) -> Mapping[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise ConfigurationError(f"{source}: {key}: expected a table")
    return cast(dict[str, Any], value)


def _strings(value: Any, source: str) -> Sequence[str]:
    strings = cast(list[object], value) if isinstance(value, list) else [None]
    if not all(isinstance(each, str) for each in strings):
        raise ConfigurationError(f"{source}: expected a list of strings")
    return [str(each) for each in strings]

"""What resources may be made of: zones, instance types, engines with their versions and options."""

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

_NEWER_ENGINES = frozenset({"dynamo-sglang"})
"""On offer since the published rules were made."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One inference engine."""

    versions: Sequence[str]
    config: Sequence[str]
    """Keys that `engine_config` may have."""
    env: Sequence[str]
    """Names that `engine_env` may have."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The values that the parameters calls tell and creates are checked against."""

    zones: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """Instance types by zone; none: the built-in ones."""
    engines: Mapping[str, Engine] = field(default_factory=dict[str, Engine])
    """Engines by name; none: the built-in ones."""

    @classmethod
    def default(cls, rules: RuleSet = "published") -> "Parameters":
        """What the emulator offers unless told otherwise: see `parameters.toml` beside this module."""
        offered = _built_in()
        if rules == "current":
            return offered
        engines = {name: engine for name, engine in offered.engines.items() if name not in _NEWER_ENGINES}
        return cls(zones=offered.zones, engines=engines)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Parameters":
        """Read them from a TOML file of the same form as `parameters.toml`.

        Raises:
            ConfigurationError: the file cannot be read or is not of that form.
        """
        try:
            table = tomllib.loads(Path(path).read_text("utf-8"))
        except OSError as error:
            raise ConfigurationError(f"parameters {path}: {error.strerror or error}") from None
        except ValueError as error:
            raise ConfigurationError(f"parameters {path}: {error}") from None
        return cls.from_table(table, source=f"parameters {path}")

    @classmethod
    def from_table(cls, table: Mapping[str, Any], *, source: str = "parameters") -> "Parameters":
        """Read them from a table that was TOML: `zones` and `engines`, either or both.

        Raises:
            ConfigurationError: the table is not of that form; the text begins with `source`.
        """
        _expect(table, {"zones", "engines"}, source)
        zones = {
            zone: _texts(types, f"{source}: zones.{zone}") for zone, types in _table(table, "zones", source).items()
        }
        if not zones and "zones" in table:
            raise ConfigurationError(f"{source}: zones: there is none; name at least one")
        for zone in zones:
            if not ZONE.fullmatch(zone):
                raise ConfigurationError(f"{source}: zones.{zone}: is no name of a zone, such as US-EAST-04A")
        engines = {
            name: _engine(engine, f"{source}: engines.{name}")
            for name, engine in _table(table, "engines", source).items()
        }
        return cls(zones=zones, engines=engines)

    def filled(self, rules: RuleSet) -> "Parameters":
        """With the built-in ones where there are none."""
        built_in = Parameters.default(rules)
        return Parameters(self.zones or built_in.zones, self.engines or built_in.engines)

    def instance_types(self, zones: Iterable[str] | None = None) -> Sequence[str]:
        """The instance types of these zones (of all, when None), sorted."""
        chosen = self.zones if zones is None else zones
        return sorted({each for zone in chosen for each in self.zones.get(zone, ())})


@cache
def _built_in() -> Parameters:
    text = resources.files("cwinference.emulator").joinpath("parameters.toml").read_text("utf-8")
    return Parameters.from_table(tomllib.loads(text), source="parameters.toml")


def _engine(table: Any, source: str) -> Engine:
    _expect(table, {"versions", "config", "env"}, source)
    lists = {name: _texts(table.get(name, []), f"{source}.{name}") for name in ("versions", "config", "env")}
    for version in lists["versions"]:
        if not SEMANTIC_VERSION.fullmatch(version):
            raise ConfigurationError(f"{source}.versions: {version!r} is no semantic version, such as 0.22.0")
    return Engine(
        versions=sorted(lists["versions"], key=_precedence), config=sorted(lists["config"]), env=sorted(lists["env"])
    )


def _precedence(version: str) -> tuple[list[int], str]:
    core = re.match(r"[0-9.]*", version)
    numbers = core.group() if core else ""
    return [int(each) for each in numbers.split(".") if each], version


def _expect(table: Any, known: set[str], source: str) -> None:
    if not isinstance(table, dict):
        raise ConfigurationError(f"{source}: is not a table")
    unknown = sorted(cast(dict[str, Any], table).keys() - known)
    if unknown:
        raise ConfigurationError(f"{source}: {unknown[0]}: is not known here; known are {', '.join(sorted(known))}")


def _table(table: Mapping[str, Any], name: str, source: str) -> Mapping[str, Any]:
    value = table.get(name, {})
    if not isinstance(value, dict):
        raise ConfigurationError(f"{source}: {name}: is not a table")
    return cast(dict[str, Any], value)


def _texts(value: Any, source: str) -> Sequence[str]:
    texts = cast(list[object], value) if isinstance(value, list) else [None]
    if not all(isinstance(each, str) for each in texts):
        raise ConfigurationError(f"{source}: is not a list of strings")
    return [str(each) for each in texts]

"""The group of a kind of resource: its verbs, each loaded when it is needed."""

import importlib
from collections.abc import Mapping

import click

from ..parsing.groups import LazyCommand, LazyGroup
from .kinds import HOT_LOADS, KINDS, Kind

_READ = "cwinference._cli.resources.read"
_WRITE = "cwinference._cli.resources.write"
_FOLLOW = "cwinference._cli.resources.follow"
_HOT_LOADS = "cwinference._cli.resources.hot_loads"


def command(name: str) -> click.Command:
    """Return the group of the kind with this command."""
    return ResourceGroup(KINDS[name])


class ResourceGroup(LazyGroup):
    """The verbs of a kind of resource."""

    def __init__(self, kind: Kind) -> None:
        verbs = _hot_load_verbs(kind) if kind is HOT_LOADS else _verbs(kind)
        super().__init__(kind.command, verbs, help=(kind.message.__doc__ or "").split("Fields:")[0].strip())
        self._kind = kind

    def load(self, entry: LazyCommand, name: str) -> click.Command:
        """Make a verb's command for this kind."""
        made: click.Command = getattr(importlib.import_module(entry.module), f"{name}_command")(self._kind)
        return made


def _verbs(kind: Kind) -> Mapping[str, LazyCommand]:
    return {
        "list": LazyCommand(_READ, f"list all {kind.one}s"),
        "get": LazyCommand(_READ, f"show some {kind.one}s"),
        "describe": LazyCommand(_READ, f"show all that is known of a {kind.one}, with its conditions"),
        "create": LazyCommand(_WRITE, f"create a {kind.one}"),
        "modify": LazyCommand(_WRITE, f"change some fields of a {kind.one}"),
        "delete": LazyCommand(_WRITE, f"delete {kind.one}s"),
        "wait": LazyCommand(_FOLLOW, f"wait until {kind.one}s are READY"),
        "watch": LazyCommand(_FOLLOW, "print what changes, as it changes"),
        "parameters": LazyCommand(_READ, f"show the values that a {kind.one} may use"),
    }


def _hot_load_verbs(kind: Kind) -> Mapping[str, LazyCommand]:
    return {
        "list": LazyCommand(_READ, "list all hot-loads, the newest first"),
        "get": LazyCommand(_READ, "show some hot-loads"),
        "describe": LazyCommand(_READ, "show all that is known of a hot-load, with its conditions"),
        "create": LazyCommand(_HOT_LOADS, "load a snapshot into a deployment"),
        "replicas": LazyCommand(_HOT_LOADS, "show the progress of each replica"),
        "cancel": LazyCommand(_HOT_LOADS, "cancel hot-loads, without rolling them back"),
        "wait": LazyCommand(_FOLLOW, "wait until hot-loads are COMPLETED"),
    }

"""The group of a kind of resource: its verbs, each loaded when it is needed."""

import importlib
from collections.abc import Mapping

import click

from ..parsing.groups import Entry, LazyGroup
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

    def load(self, entry: Entry, name: str) -> click.Command:
        """Make a verb's command for this kind."""
        made: click.Command = getattr(importlib.import_module(entry.module), f"{name}_command")(self._kind)
        return made


def _verbs(kind: Kind) -> Mapping[str, Entry]:
    return {
        "list": Entry(_READ, f"list all {kind.one}s"),
        "get": Entry(_READ, f"show some {kind.one}s"),
        "describe": Entry(_READ, f"show all that is known of a {kind.one}, with its conditions"),
        "create": Entry(_WRITE, f"create a {kind.one}"),
        "modify": Entry(_WRITE, f"change some fields of a {kind.one}"),
        "delete": Entry(_WRITE, f"delete {kind.one}s"),
        "wait": Entry(_FOLLOW, f"wait until {kind.one}s are READY"),
        "watch": Entry(_FOLLOW, "print what changes, as it changes"),
        "parameters": Entry(_READ, f"show the values that a {kind.one} may use"),
    }


def _hot_load_verbs(kind: Kind) -> Mapping[str, Entry]:
    return {
        "list": Entry(_READ, "list all hot-loads, the newest first"),
        "get": Entry(_READ, "show some hot-loads"),
        "describe": Entry(_READ, "show all that is known of a hot-load, with its conditions"),
        "create": Entry(_HOT_LOADS, "load a snapshot into a deployment"),
        "replicas": Entry(_HOT_LOADS, "show the progress of each replica"),
        "cancel": Entry(_HOT_LOADS, "cancel hot-loads, without rolling them back"),
        "wait": Entry(_FOLLOW, "wait until hot-loads are COMPLETED"),
    }

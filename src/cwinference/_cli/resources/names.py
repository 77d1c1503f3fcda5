"""Which resource somebody means: by its name or its id, from the arguments or from standard input."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..._text import is_id, one_line
from ...errors import InferenceError, NotFound
from ..exit_codes import NOT_FOUND, USAGE
from ..failures import CommandError
from ..parsing.options import CommandT
from ..parsing.suggestions import did_you_mean
from ..standard_input import read_input
from .kinds import HOT_LOADS, KINDS, Kind, name_of

if TYPE_CHECKING:
    from ..run import Run

_COMPLETION_SECONDS = 2.0


def names_argument(function: CommandT) -> CommandT:
    """Add the argument for one or several names or ids; `-` reads them from standard input."""
    return click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_names)(function)


def by_id(kind: Kind, resources: Iterable[Any], words: Sequence[str]) -> dict[str, str]:
    """Return by the ids of resources how they were called; those that were not, by their names."""
    return {
        each.spec.id: next((word for word in words if word in (each.spec.id, _label(kind, each))), name_of(each))
        for each in resources
    }


def gateway_option(function: CommandT) -> CommandT:
    """Add `--gateway`, which limits deployments to those of one."""
    text = "Only those of this gateway, by name or id."
    return click.option("--gateway", "--gateways", "gateway", metavar="NAME", help=text)(function)


def complete_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of existing resources that begin like this, for a shell; none if they cannot be read soon."""
    kind = KINDS.get((context.parent.command.name or "") if context.parent is not None else "")
    if kind is None:
        return []
    try:
        client = context.obj.client.with_options(timeout=_COMPLETION_SECONDS, retry=None)
        names = [_label(kind, each) for each in getattr(client, kind.group).list()]
    except (InferenceError, CommandError):
        return []
    return [each for each in names if each.startswith(incomplete) and each.isprintable()]


def with_input(words: Iterable[str]) -> list[str]:
    """Return names with those of standard input in place of `-`.

    Raises:
        CommandError: there are none (exit code 2).
    """
    given = [*words]
    if "-" in given:
        read = read_input().split()
        given = [each for word in given for each in (read if word == "-" else [word])]
    if not given:
        raise CommandError("standard input has no names", code=USAGE)
    return given


def is_single(words: Sequence[str]) -> bool:
    """Return whether a single resource was asked for, which is a JSON object rather than an array."""
    return len(words) == 1 and words[0] != "-"


def find_all(run: "Run", kind: Kind, words: Iterable[str]) -> list[Any]:
    """Return the resources that are named, each once, in this order. They are looked up in one list.

    Raises:
        CommandError: there is none of a name or an id (exit code 3), or one's name is another's id (2).
    """
    words = with_input(words)
    existing = [*kind.methods(run).list()]
    found = dict[str, Any]()
    for word in words:
        resource = _find(run, kind, word, existing)
        found.setdefault(resource.spec.id, resource)
    return [*found.values()]


def find(run: "Run", kind: Kind, word: str) -> Any:
    """Return the resource of a name or an id, as `find_all` does."""
    return find_all(run, kind, [word])[0]


def gateway_ids(run: "Run", words: Sequence[str]) -> list[str]:
    """Return the ids of gateways that are given by name or id."""
    from .kinds import GATEWAYS

    existing: Sequence[Any] = run.client.gateways.list() if words else ()
    return [_find(run, GATEWAYS, each, existing).spec.id for each in words]


def _find(run: "Run", kind: Kind, word: str, existing: Sequence[Any]) -> Any:
    by_id = [each for each in existing if each.spec.id.lower() == word.lower()]
    by_name = [each for each in existing if _label(kind, each) == word and each not in by_id]
    if len(by_id) + len(by_name) > 1:
        raise _ambiguous(kind, word, by_id, by_name)
    if by_id or by_name:
        found = (by_id or by_name)[0]
        return kind.methods(run).get(found.spec.id) if kind is HOT_LOADS else found  # a list lacks their state
    if is_id(word):
        try:
            return kind.methods(run).get(word)  # a list may lag behind
        except NotFound:
            pass
    raise CommandError(
        f"no {kind.one} has the name or id {word!r}{did_you_mean(word, (_label(kind, each) for each in existing))}",
        code=NOT_FOUND,
        advice=f"to see them all: cwinference {kind.command} list",
    )


def _label(kind: Kind, resource: Any) -> str:
    """Return by what people call one: its name, or a hot-load's snapshot."""
    name: str = resource.spec.identity if kind is HOT_LOADS else resource.spec.name
    return name


def _ambiguous(kind: Kind, word: str, by_id: Sequence[Any], by_name: Sequence[Any]) -> CommandError:
    ids = ", ".join(each.spec.id for each in by_name)
    what = f"the id of one {kind.one} and the name of another" if by_id else f"what several {kind.one}s load"
    others = f"the one with that name has the id {ids}" if by_id else f"their ids: {ids}"
    return CommandError(one_line(f"{word!r} is ambiguous: it is {what}; {others}"), code=USAGE)

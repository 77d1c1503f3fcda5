"""`cwinference explain KIND NAME`: why a resource is as it is, by what it depends on."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from .._explain import Facts, explain
from .._text import one_line
from ..errors import ApiError, InferenceError, Unauthenticated
from .commands import ALIASES, OTHER_NAMES
from .exit_codes import NOT_FOUND, USAGE
from .failures import CommandError
from .parsing.groups import Command
from .parsing.options import output_options
from .parsing.suggestions import did_you_mean
from .resources.kinds import KINDS, Kind
from .resources.names import find
from .run import Run

if TYPE_CHECKING:
    from .. import Client

_LATEST = 100
"""How many of a deployment's hot-loads are read, newest first."""


_NAMES: Mapping[str, str] = {**{each: each for each in KINDS}, **ALIASES, **OTHER_NAMES}
"""What a kind may be called: as in the commands, in short, or in the singular."""


@click.command("explain", cls=Command)
@output_options("table", "json", "yaml")
@click.argument("kind", metavar="KIND")
@click.argument("name", metavar="NAME", required=False)
@click.pass_context
def command(context: click.Context, /, *, kind: str, name: str | None) -> None:
    """Explain why a resource is as it is: KIND is gateways, deployments, claims or hot-loads, NAME a name or an id.

    Shows the history of its conditions, what is unmet, the likely cause, and the command that fixes it. What is said
    was read, also of what it depends on; what only follows is called likely or possible.
    """
    run: Run = context.obj
    found = _kind_of(kind)
    if found is None and name is None:
        raise _without_kind(context, kind)
    if found is None:
        hint = did_you_mean(kind, _NAMES) or f"; choose from {', '.join(KINDS)}"
        raise click.UsageError(f"no such kind of resource: {kind}{hint}", context)
    if name is None:
        raise click.UsageError("missing argument 'NAME'", context)
    facts = gather(run.client, found.command, find(run, found, name))
    explanation = explain(replace(facts, is_complete=run.transport in (None, "rest")))
    run.document(explanation.as_dict(), lambda: str(explanation))


def _kind_of(word: str) -> Kind | None:
    name = _NAMES.get(word.lower().replace("_", "-"))
    return None if name is None else KINDS[name]


def _without_kind(context: click.Context, word: str) -> Exception:
    """Return the error of a name without a kind, with the command if there is a resource of that name."""
    for kind in KINDS.values():
        try:
            find(context.obj, kind, word)
        except CommandError as error:
            if error.code != NOT_FOUND:
                break
        except InferenceError:
            break
        else:
            advice = shlex.join(["cwinference", "explain", kind.command, word])
            return CommandError("missing the kind of resource", code=USAGE, advice=f"to explain it: {advice}")
    return click.UsageError(f"expected KIND NAME, such as deployments llama, got only {one_line(word)!r}", context)


def gather(client: "Client", kind: str, resource: Any) -> Facts:
    """Read what a resource depends on. What cannot be read is left out, and said so."""
    reads: dict[str, Callable[[], Any]] = {"deployments": client.deployments.list}
    if kind in ("gateways", "deployments"):
        reads["gateway_parameters"] = client.gateways.parameters
    if kind in ("claims", "deployments"):
        reads["claim_parameters"] = client.capacity_claims.parameters
    if kind == "deployments":
        reads["gateways"] = client.gateways.list
        reads["claims"] = client.capacity_claims.list
        reads["hot_loads"] = lambda: list(islice(client.hot_loads.list(resource.spec.id), _LATEST))
    if kind == "hot-loads":
        reads["hot_loads"] = lambda: list(islice(client.hot_loads.list(resource.spec.deployment_id), _LATEST))
        reads["replicas"] = lambda: list(client.hot_loads.replicas(resource.spec.id))
    found, unread = _read(reads)
    if kind == "deployments":
        existing = {each.spec.id for each in found.get("gateways", ())}
        ids = [each for each in resource.spec.gateway_ids if each in existing]
        more, missing = _read({"deployment_parameters": lambda: client.deployments.parameters(gateway_ids=ids)})
        found, unread = {**found, **more}, {**unread, **missing}
    return Facts(resource, unread=unread, **found)


def _read(reads: Mapping[str, Callable[[], Any]]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what could be read, and why the rest could not."""
    found: dict[str, Any] = {}
    unread: dict[str, str] = {}
    for name, read in reads.items():
        try:
            found[name] = read()
        except Unauthenticated:
            raise
        except ApiError as error:
            unread[name.replace("_", " ")] = f"{error.message or 'no message'} [{error.code}]"
    return found, unread

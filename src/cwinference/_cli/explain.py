"""`cwinference explain KIND NAME`: why a resource is as it is, by what it depends on."""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from .._explain import Facts, explain
from ..errors import ApiError, NotFound, Unauthenticated
from .commands import ALIASES
from .parsing.groups import Command
from .parsing.options import output_options
from .run import Run

if TYPE_CHECKING:
    from .. import Client

KINDS = ("gateways", "deployments", "claims", "hot-loads")
_LATEST = 100
"""How many of a deployment's hot-loads are read, newest first."""


class Kind(click.ParamType[str]):
    """The kind of a resource: as in the commands, in short, or as one."""

    name = "kind"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name of the command."""
        word = str(value).lower().replace("_", "-")
        names = {**{each: each for each in KINDS}, **{each[:-1]: each for each in KINDS}, **ALIASES}
        names |= {"capacity-claims": "claims", "capacity-claim": "claims"}
        if word not in names:
            from .parsing.suggestions import did_you_mean

            hint = did_you_mean(word, [*names]) or f"; choose from {', '.join(KINDS)}"
            self.fail(f"no such kind of resource: {value}{hint}", param, ctx)
        return names[word]


@click.command("explain", cls=Command)
@output_options("table", "json")
@click.argument("kind", type=Kind(), metavar="KIND")
@click.argument("name", metavar="NAME")
@click.pass_obj
def command(run: Run, *, kind: str, name: str) -> None:
    """Explain why a resource is as it is: KIND is gateways, deployments, claims or hot-loads, NAME a name or an id.

    Shows the history of its conditions, what is unmet, the likely cause, and the command that mends it. What is said
    was read, also of what it depends on; what only follows is called likely or possible.
    """
    client = run.client
    explanation = explain(gather(client, kind, _found(client, kind, name)))
    run.document(explanation.as_dict(), lambda: str(explanation))


def _found(client: "Client", kind: str, name: str) -> Any:
    """Return a resource by name, or else by id."""
    if kind == "hot-loads":
        return client.hot_loads.get(name)
    resources: Any = {"gateways": client.gateways, "deployments": client.deployments, "claims": client.capacity_claims}
    try:
        return resources[kind].find(name)
    except NotFound as missing:
        try:
            return resources[kind].get(name)
        except ApiError:
            raise missing from None


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

"""Gateways with their deployments below them, and claims: the text of `cwinference status`."""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ... import types
from ..._tables.columns import age_column, columns_of, replicas_column, state_column, weight_column
from ..._tables.context import TableContext, share_text, shares_of
from ..._tables.layout import Column
from ...status import State
from ..printing.forms import sorted_by, table_text
from ..printing.screen import Screen
from .kinds import CLAIMS, DEPLOYMENTS, GATEWAYS

if TYPE_CHECKING:
    from ..run import Run

_BRANCHES = {True: ("├─ ", "└─ "), False: ("|- ", "`- ")}
_NO_GATEWAY = "(without a gateway)"
_OF_DEPLOYMENTS = ("MODEL", "ENGINE", "INSTANCE", "ID")


class Inventory:
    """All resources as they were at one time."""

    def __init__(
        self,
        gateways: Sequence[types.Gateway],
        deployments: Sequence[types.Deployment],
        claims: Sequence[types.CapacityClaim],
    ) -> None:
        self.gateways = sorted(gateways, key=lambda each: each.spec.name)
        self.deployments = sorted(deployments, key=lambda each: each.spec.name)
        self.claims = sorted(claims, key=lambda each: each.spec.name)

    @property
    def everything(self) -> list[Any]:
        """Gateways, deployments, claims."""
        return [*self.gateways, *self.deployments, *self.claims]


def status_text(run: "Run", now: Inventory, screen: Screen) -> str:
    """Return the tables of an inventory, and a line that counts what is READY."""
    names = {each.spec.id: each.spec.name for each in now.gateways}
    context = TableContext(screen, gateway_names=names, shares=shares_of(now.deployments))
    wide, tables = run.form == "wide", list[str]()
    if now.gateways or now.deployments:
        rows = [*_rows(now, sorted_by(columns_of(DEPLOYMENTS.message, context), now.deployments, run.sort_by))]
        tables.append(table_text(_columns(context), rows, screen, wide=wide, chosen=run.columns))
    if now.claims and run.columns is None:
        tables.append(table_text(columns_of(CLAIMS.message, context), now.claims, screen, wide=wide))
    summary = _summary(now) if screen.width is None else textwrap.fill(_summary(now), screen.width)
    return "\n\n".join([*tables, summary])


@dataclass(frozen=True)
class _Row:
    """A line of the tree: a gateway, or a deployment below one; None for those that have no gateway."""

    resource: Any
    gateway: str = ""
    is_last: bool = False


def _rows(now: Inventory, deployments: Sequence[types.Deployment]) -> Iterator[_Row]:
    known = {each.spec.id for each in now.gateways}
    below = dict[str, list[types.Deployment]]()
    for each in deployments:
        for gateway in {*each.spec.gateway_ids} & known or {""}:
            below.setdefault(gateway, []).append(each)
    for entry in [*now.gateways, None]:
        key = entry.spec.id if entry is not None else ""
        found = below.get(key, [])
        if entry is not None or found:
            yield _Row(entry)
        yield from (_Row(each, key, number == len(found)) for number, each in enumerate(found, 1))


def _columns(context: TableContext) -> Sequence[Column]:
    def weight(row: _Row) -> str:
        share = context.shares.get(row.resource.spec.id, {}).get(row.gateway)
        return weight_column(lambda _: share_text([] if share is None else [share])).text(row.resource)

    def name(row: _Row) -> str:
        if row.resource is None:
            return _NO_GATEWAY
        branch = (
            _BRANCHES[context.display.has_shapes][row.is_last] if isinstance(row.resource, types.Deployment) else ""
        )
        return f"{branch}{row.resource.spec.name}"

    more = {each.title: _adapted(each) for each in columns_of(DEPLOYMENTS.message, context)}
    model, engine, *wide = (more[title] for title in _OF_DEPLOYMENTS)
    return [
        Column("NAME", name, rank=0),
        _adapted(state_column(context), (types.Gateway, types.Deployment)),
        model,
        Column("WEIGHT", _only(weight), rank=2, is_right=True),
        _adapted(replicas_column()),
        engine,
        _adapted(age_column(context), (types.Gateway, types.Deployment)),
        *wide,
    ]


def _adapted(column: Column, kinds: tuple[type[Any], ...] = (types.Deployment,)) -> Column:
    """Return a column of resources as one of rows, which is empty for other kinds."""
    style = column.style
    return Column(
        column.title,
        _only(lambda row: column.text(row.resource), kinds),
        _only(lambda row: style(row.resource), kinds) if style is not None else None,
        is_wide=column.is_wide,
        rank=column.rank,
        is_right=column.is_right,
    )


def _only(text: Callable[[_Row], str], kinds: tuple[type[Any], ...] = (types.Deployment,)) -> Callable[[_Row], str]:
    return lambda row: text(row) if isinstance(row.resource, kinds) else ""


def _summary(now: Inventory) -> str:
    parts = list[str]()
    for kind, found in ((GATEWAYS, now.gateways), (DEPLOYMENTS, now.deployments), (CLAIMS, now.claims)):
        ready = sum(State.of(each) is State.READY for each in found)
        if found:
            parts.append(f"{len(found)} {kind.one}{'s' * (len(found) > 1)}, {ready} READY")
    return "; ".join(parts)

"""All that is known of a resource, as text: spec, status, and conditions, those that say the same together."""

from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from ... import types
from ..._tables.context import TableContext, enum_text, share_text
from ..._tables.states import state_label, state_style
from ..._tables.times import age, moment
from ..._text import one_line
from ...stacks._entries import entry_of
from ...status import met_text

_STYLES = {types.Condition.STATUS_TRUE: "green", types.Condition.STATUS_FALSE: "red"}
_LABELS = {"created_at": "created", "updated_at": "updated", "finished_at": "finished", "canceled_at": "canceled"}


def description(resource: Any, context: TableContext, deployments: Sequence[types.Deployment] = ()) -> str:
    """Return the description of a resource.

    Args:
        resource: what to describe.
        context: what else is known.
        deployments: among which those of a gateway are.
    """
    return "\n".join(_lines(resource, context, deployments))


def _lines(resource: Any, context: TableContext, deployments: Sequence[types.Deployment]) -> Iterator[str]:
    screen, spec = context.display, resource.spec
    name = spec.identity if isinstance(resource, types.HotLoad) else spec.name
    state = screen.paint(state_label(resource, screen), state_style(resource))
    yield f"{screen.paint(one_line(name), 'bold')}  {state}"
    yield f"  id: {one_line(spec.id)}"
    yield from _fields(_entry(resource, context), 1)
    yield "status:"
    for field, value in resource.status.ListFields():
        if isinstance(value, Timestamp):
            time = moment(value)
            yield f"  {_LABELS.get(field.name, field.name)}: {value.ToJsonString()} ({age(time, context.now)} ago)"
        elif field.name in ("endpoints", "allocated_instances", "pending_instances"):
            yield from _fields({field.name: [*value] if field.is_repeated else value}, 1)
    if isinstance(resource, types.Deployment):
        shares = share_text([*context.shares.get(spec.id, {}).values()])
        if shares:
            yield f"  share of requests for {one_line(spec.model.name)}: {shares}"
    if isinstance(resource, types.Gateway):
        served = [each for each in deployments if spec.id in each.spec.gateway_ids]
        yield f"deployments: {'' if served else 'none'}".rstrip()
        for each in served:
            label_ = screen.paint(state_label(each, screen), state_style(each))
            yield f"  {one_line(each.spec.name)}  {label_}  {one_line(each.spec.model.name)}"
    yield f"conditions:{'' if resource.status.conditions else ' none were reported'}"
    yield from condition_lines(resource, context)


def condition_lines(resource: Any, context: TableContext) -> Iterator[str]:
    """Return a line for each condition; those that say the same of several zones are one. What is unmet comes first."""
    groups = dict[tuple[Any, ...], list[types.Condition]]()
    for each in resource.status.conditions:
        groups.setdefault((each.type, each.status, each.reason, each.message), []).append(each)
    unmet = [key for key in groups if key[1] != types.Condition.STATUS_TRUE]
    for key in [*unmet, *(each for each in groups if each not in unmet)]:
        kind, status, reason, message = key
        met = context.display.paint(met_text(status), _STYLES.get(status, "yellow"))
        zones = ", ".join(each.zone for each in groups[key] if each.zone)
        times = [found for each in groups[key] if (found := moment(each.last_update_time)) is not None]
        since = f" for {age(max(times), context.now)}" if times else ""
        text = f"{kind or 'Condition'}{f' in {zones}' if zones else ''}: "
        tail = f"{f' ({reason})' if reason else ''}{f': {message}' if message else ''}"
        yield f"  {one_line(text)} {met}{since}{_spaced(one_line(tail))}"


def _spaced(text: str) -> str:
    return text if not text or text.startswith(":") else f" {text}"


def _entry(resource: Any, context: TableContext) -> dict[str, Any]:
    if not isinstance(resource, types.HotLoad):
        return entry_of(resource, context.gateway_names or None)
    spec = resource.spec
    found: dict[str, Any] = {"deployment": context.deployment_names.get(spec.deployment_id, spec.deployment_id)}
    found["type"] = enum_text(spec, "type")
    if spec.snapshot_chain:
        found["snapshot_chain"] = [each.identity for each in spec.snapshot_chain]
    return found


def _fields(fields: dict[str, Any], depth: int) -> Iterator[str]:
    """Return fields as indented lines, a list on one line."""
    for name, value in fields.items():
        place = f"{'  ' * depth}{one_line(name)}:"
        if isinstance(value, dict):
            yield place if value else f"{place} (chosen)"
            yield from _fields(value, depth + 1)  # pyright: ignore[reportUnknownArgumentType]
        else:
            texts = [str(each).lower() if isinstance(each, bool) else str(each) for each in _listed(value)]
            yield f"{place} {one_line(', '.join(texts))}".rstrip()


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]  # pyright: ignore[reportUnknownVariableType]

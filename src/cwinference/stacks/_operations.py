"""What `client.plan`, `client.apply` and `client.export` do."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from .. import errors
from .._arguments import check_callback, check_flag, check_text, shown
from .._calls.flow import Flow
from .._text import one_line
from ..resources._unfinished import refuse_during_hot_load
from ._applying import Applier, Options, Unsettled, resolve_secrets
from ._entries import stack_document
from ._kinds import BY_KIND, SECTIONS
from ._live import Groups, LiveResource, read_live
from ._plan import Plan, PlanStep, Seen
from ._planning import Planner, Wishes
from ._secret_references import references_in
from ._stack import Stack
from ._work import Work

log = logging.getLogger("cwinference")


def plan(groups: Groups, stack: Stack, prune: str | None, secrets: bool, timeout: Any, retry: Any) -> Flow[Plan]:
    """Compare a stack with what exists. It only reads."""
    if not isinstance(stack, Stack):
        advice = "; use Stack.load(path)" if isinstance(stack, str | os.PathLike) else "; use Stack.parse(...)"
        raise errors.ConfigurationError(f"stack: expected a Stack, got {type(stack).__name__}{advice}")
    if prune is not None:
        check_text(prune, "prune")
    wishes = Wishes(stack, prune, check_flag(secrets, "secrets"))
    return _plan(groups, wishes, Options(timeout, _deadline(groups, timeout), retry, wait=False, on_step=None))


def _plan(groups: Groups, wishes: Wishes, options: Options) -> Flow[Plan]:
    live = yield from read_live(groups, options.left, options.retry, wishes.matters)
    planner = Planner(wishes, live, groups)
    works = planner.works()
    steps = [each.step for each in works]
    made = Plan(wishes.stack, steps, planner.seen(), prune=wishes.prune, secrets=wishes.secrets)
    try:
        check_secrets(made)
    except errors.ConfigurationError as error:  # who plans need not be who applies
        log.warning("plan: apply would be refused here: %s", one_line(str(error)))
    return made


def apply(
    groups: Groups,
    plan: Plan,
    wait: bool,
    on_step: Callable[[PlanStep], object] | None,
    on_change: Callable[[Any], object] | None,
    allow_replace: bool,
    timeout: Any,
    retry: Any,
) -> Flow[Sequence[PlanStep]]:
    """Do what a plan says, if all that it depends on is as it was."""
    if not isinstance(plan, Plan):
        advice = "; use client.plan(stack)" if isinstance(plan, Stack) else "; use Plan.from_json(text)"
        raise errors.ConfigurationError(f"plan: expected a Plan, got {type(plan).__name__}{advice}")
    check_flag(wait, "wait", "; for a limit use timeout=...")
    check_callback(on_step, "on_step")
    check_callback(on_change, "on_change")
    check_applicable(plan, check_flag(allow_replace, "allow_replace"))
    return _apply(groups, plan, Options(timeout, _deadline(groups, timeout), retry, wait, on_step, on_change))


def check_applicable(plan: Plan, allow_replace: bool) -> None:
    """Refuse a plan with a step that is refused, or that needs permission."""
    for step in plan.steps:
        if step.refusal is not None:
            text = one_line(f"{step.title} is refused: {step.refusal}")
            raise errors.ConfigurationError(f"plan: {text}", for_command=text)
        if step.action == "replace" and not allow_replace:
            text = one_line(f"{step.title}: {step.reason}; if that is meant,")
            raise errors.ConfigurationError(
                f"plan: {text} pass allow_replace=True", for_command=f"{text} use --allow-replace"
            )


def check_secrets(plan: Plan) -> None:
    """Raise ConfigurationError if a secret that `apply` would write cannot be read here. None of them is kept."""
    for step in plan.steps:
        if step.action != "delete":
            section = BY_KIND[step.kind].name
            for path, reference in references_in(getattr(plan.stack, section)[step.name]):
                reference.check(f"{section}.{step.name}.{path}")


def _apply(groups: Groups, plan: Plan, options: Options) -> Flow[Sequence[PlanStep]]:
    wishes = Wishes(plan.stack, plan.prune, plan.secrets)
    live = yield from read_live(groups, options.left, options.retry, wishes.matters)
    planner = Planner(wishes, live, groups)
    works = _works_of(plan, planner)
    secrets = resolve_secrets(works)
    for each in works:
        if each.live is not None and each.step.kind == "deployment":
            yield from refuse_during_hot_load(
                each.live.resource, options.sender(groups), "apply when it has finished; nothing was changed"
            )
    ids = {each.name: each.id for each in live.of("gateway")}
    unsettled = [Unsettled(each.kind, each.resource) for each in planner.unsettled(works)]
    return (yield from Applier(groups, options, works, ids, secrets, unsettled).run())


def _works_of(plan: Plan, planner: Planner) -> Sequence[Work]:
    """Return the works of a plan. Raises PlanOutdated if anything that it depends on has changed."""
    changed = [*_differences(plan.seen, planner.seen({each.id for each in plan.seen}))]
    works = list[Work]()
    if not changed:
        try:
            works += planner.works()
        except errors.ConfigurationError as error:
            changed = [str(error)]
        if not changed and [each.step.effect for each in works] != [each.effect for each in plan.steps]:
            changed = ["another release of cwinference made it"]
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        text = f"the plan is out of date: {'; '.join(changed[:3])}{more}; plan again"
        raise errors.PlanOutdated(one_line(text), changed)
    return works


def _differences(before: Iterable[Seen], now: Iterable[Seen]) -> Iterator[str]:
    old, new = ({(each.kind, each.id): each for each in seen} for seen in (before, now))
    for key in dict.fromkeys([*old, *new]):
        was, found, kind = old.get(key), new.get(key), key[0].replace("_", " ")
        if was is None:
            yield f"{kind} {new[key].name} was created"
        elif found is None:
            yield f"{kind} {was.name} was deleted"
        elif found.name != was.name:
            yield f"{kind} {was.name} was renamed to {found.name}"
        elif found != was:
            yield f"{kind} {was.name} was changed"


def export(groups: Groups, names: Iterable[str] | None, timeout: Any, retry: Any) -> Flow[Stack]:
    """Return what exists as a stack."""
    wanted = None
    if names is not None:
        if isinstance(names, str) or not isinstance(names, Iterable):
            raise errors.ConfigurationError(f"names: expected a list of names, got {shown(names)}")
        wanted = [check_text(each, "names") for each in names]
    return _export(groups, wanted, Options(timeout, _deadline(groups, timeout), retry, wait=False, on_step=None))


def _export(groups: Groups, wanted: Sequence[str] | None, options: Options) -> Flow[Stack]:
    live = yield from read_live(
        groups, options.left, options.retry, lambda _, resource: wanted is None or resource.spec.name in wanted
    )
    found = [each for section in SECTIONS for each in live.of(section.kind) if wanted is None or each.name in wanted]
    missing = [each for each in wanted or () if each not in {one.name for one in found}]
    if missing:
        raise errors.NotFound(f"nothing has the name {missing[0]!r}", method="export")
    document = stack_document([each.resource for each in found], live.gateway_names)
    return Stack(_entries_of(document), [*_notes(found)])


def _entries_of(document: dict[str, Any]) -> dict[str, Any]:
    parsed = Stack.parse(document)
    return {each.name: getattr(parsed, each.name) for each in SECTIONS}


def _notes(found: Iterable[LiveResource]) -> Iterator[str]:
    for each in found:
        name = one_line(f"{each.kind.replace('_', ' ')} {each.name}")
        if each.unknown:
            yield one_line(f"{name} also has fields that this release does not know: {', '.join(each.unknown)}")
        if each.kind == "gateway" and each.resource.spec.HasField("weights_and_biases_auth"):
            yield f"{name} may have an api_key, which the API never shows: api_key: {{env: NAME}}"


def _deadline(groups: Groups, timeout: Any) -> Any:
    return groups["gateway"]._deadline(timeout)

"""Planning: from a stack and what exists to steps. Nothing here reads or writes."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from google.protobuf.message import Message

from .. import errors, types
from ..following._kinds import Kind
from ..resources._comparison import Difference, desired, differences
from ..resources._ensure import Goal, request_to_change
from ..resources._parts import is_mapping
from ..status import is_ready
from ._entries import plain
from ._kinds import BY_KIND, SECTIONS, Section
from ._live import Groups, LiveResource, LiveState
from ._plan import HIDDEN, Action, FieldChange, PlanStep, Seen
from ._secret_references import references_in, without_secrets
from ._stack import Stack
from ._work import Work

_DEPLOYMENTS = BY_KIND["deployment"]
_TO_COME = "new gateway "
"""In place of the id of a gateway that a step before has yet to create."""


@dataclass(frozen=True)
class Wishes:
    """What a plan is made for."""

    stack: Stack
    prune: str | None = None
    secrets: bool = False

    def matters(self, kind: Kind, resource: Any) -> bool:
        """Return whether the plan may touch it, or a deployment of the stack may name it."""
        return self.names(kind, resource.spec.name) or self.may_prune(resource.spec.name)

    def names(self, kind: Kind, name: str) -> bool:
        """Return whether the stack describes it."""
        return name in getattr(self.stack, BY_KIND[kind].name)

    def may_prune(self, name: str) -> bool:
        """Return whether it would be deleted if the stack does not describe it."""
        return self.prune is not None and name.startswith(self.prune)


class Planner:
    """Makes the steps of one plan."""

    def __init__(self, wishes: Wishes, live: LiveState, groups: Groups) -> None:
        self._wishes = wishes
        self._live = live
        self._groups = groups

    def works(self) -> Sequence[Work]:
        """Return what is to be done, in order.

        Raises:
            ConfigurationError: the stack names a gateway that does not exist, or lacks what a create needs.
        """
        made = [work for section in SECTIONS for work in self._of_section(section)]
        works = sorted([*made, *self._deletions(made)], key=lambda each: each.turn)
        idle = self._models_without_traffic(works)
        return [_with_warning(each) if each.takes_traffic in idle else each for each in works]

    def seen(self, also: Collection[str] = ()) -> Sequence[Seen]:
        """Return all that the works depend on: what the stack describes or names, and what would be deleted.

        `also`: ids of what a plan has seen before, whatever its name is by now.
        """
        named = self._named_gateways()
        deleted = {each.id for each in self._leaving if each.kind == "gateway"}
        found = [
            each.seen
            for section in SECTIONS
            for each in self._live.of(section.kind)
            if self._wishes.matters(section.kind, each.resource)
            or each.id in also
            or (section.kind == "gateway" and {each.name.lower(), each.id.lower()} & named)
            or (section.kind == "deployment" and deleted & {*each.resource.spec.gateway_ids})
        ]
        return sorted(found, key=lambda each: (each.kind, each.id))

    def unsettled(self, works: Sequence[Work]) -> Iterator[LiveResource]:
        """Return what the stack describes, needs no step, and is not ready: an earlier `apply` may have ended there."""
        changed = {each.key for each in works}
        for section in SECTIONS:
            for each in self._live.of(section.kind):
                is_described = self._wishes.names(each.kind, each.name)
                if is_described and (each.kind, each.name) not in changed and not is_ready(each.resource):
                    yield each

    @cached_property
    def _leaving(self) -> Sequence[LiveResource]:
        """Return what would be deleted: what has the prefix and is not in the stack."""
        return [
            each
            for section in reversed(SECTIONS)
            for each in self._live.of(section.kind)
            if self._wishes.may_prune(each.name) and not self._wishes.names(section.kind, each.name)
        ]

    def _named_gateways(self) -> set[str]:
        entries = self._wishes.stack.deployments.values()
        return {name.lower() for each in entries for key in ("gateways", "gateway_ids") for name in each.get(key, ())}

    def _of_section(self, section: Section) -> Iterator[Work]:
        entries: Mapping[str, Mapping[str, Any]] = getattr(self._wishes.stack, section.name)
        for name, fields in entries.items():
            found = self._live.find(section.kind, name)
            work = (
                self._creation(section, name, fields) if found is None else self._change(section, name, fields, found)
            )
            if work is not None:
                yield work

    def _creation(self, section: Section, name: str, fields: Mapping[str, Any]) -> Work:
        goal = self._goal(section, name, fields)
        self._check_complete(section, name, goal)
        is_leaving = name in self._live.deleting[section.kind]
        reason = "the one of that name is being deleted" if is_leaving else "it does not exist"
        changes = self._changes(section.spec(), goal, is_new=True) + _secret_changes(fields)
        return Work(PlanStep("create", section.kind, name, None, changes, reason), fields)

    def _change(self, section: Section, name: str, fields: Mapping[str, Any], found: LiveResource) -> Work | None:
        goal = self._goal(section, name, fields)
        changes = self._changes(found.resource.spec, goal)
        fixed = sorted({each.path for each in changes if _top(each.path) in self._groups[section.kind]._immutable})
        if self._wishes.secrets:
            changes += _secret_changes(fields)
        if not changes:
            return None
        action: Action = "replace" if fixed else "update"
        if fixed:
            reason = f"{_top(fixed[0])} cannot change; until the new one is ready, nothing is served by it"
        else:
            reason = ", ".join(dict.fromkeys(_top(each.path) for each in changes)) + f" {_differ(changes)}"
        step = PlanStep(action, section.kind, name, found.id, changes, reason)
        return Work(replace(step, refusal=self._refusal(section, step, goal, found)), fields, found)

    def _refusal(self, section: Section, step: PlanStep, goal: Goal, found: LiveResource) -> str | None:
        """Return why a change cannot be made without losing something."""
        if found.unknown:
            return f"it has fields that this release does not know: {', '.join(found.unknown)}; upgrade cwinference"
        try:
            if step.action == "replace":
                self._check_complete(section, step.name, goal)
            else:
                request_to_change(self._groups[section.kind], found.resource, goal)
        except errors.ConfigurationError as error:
            return str(error)
        return None

    def _goal(self, section: Section, name: str, fields: Mapping[str, Any]) -> Goal:
        return Goal([without_secrets(self._with_ids(name, fields))], self._groups[section.kind]._immutable)

    def _with_ids(self, name: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the fields of a deployment with ids in place of names; one to come has a name that is no id."""
        known, ids = self._gateways
        for each in fields.get("gateway_ids", ()):
            if each.lower() not in ids:
                raise errors.ConfigurationError(
                    f"deployments.{name}.gateway_ids: there is no gateway with the id {each!r}"
                )
        if "gateways" not in fields:
            return fields
        found = list[str]()
        for each in fields["gateways"]:
            if self._wishes.names("gateway", each) and each not in known:
                found.append(_TO_COME + each)
            elif each in known or each.lower() in ids:
                found.append(known.get(each) or ids[each.lower()])
            else:
                raise errors.ConfigurationError(
                    f"deployments.{name}.gateways: there is no gateway {each!r}, neither in the stack nor in the API"
                )
        return {key: each for key, each in fields.items() if key != "gateways"} | {"gateway_ids": found}

    @cached_property
    def _gateways(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Return the ids of gateways by their names, and by themselves in lower case."""
        found = {each.name: each.id for each in self._live.of("gateway")}
        return found, {each.lower(): each for each in found.values()}

    def _check_complete(self, section: Section, name: str, goal: Goal) -> None:
        group, given = self._groups[section.kind], goal.names()
        request = group._create_request()
        goal.fill(request)
        missing = [each for each in group._required if each not in given]
        missing += [
            " or ".join(field.name for field in oneof.fields)
            for oneof in request.DESCRIPTOR.oneofs
            if request.WhichOneof(oneof.name) is None
        ]
        if missing:
            raise errors.ConfigurationError(
                f"{section.name}.{name}: to create it, the stack must also have {', '.join(missing)}"
            )

    def _changes(self, spec: Message, goal: Goal, is_new: bool = False) -> tuple[FieldChange, ...]:
        names = self._live.gateway_names
        found = differences(spec, desired(spec, *goal.layers))
        return tuple(_field_change(each, names, is_new=is_new) for each in found)

    def _models_without_traffic(self, works: Sequence[Work]) -> set[str]:
        """Return the models of which all weights would be 0, and are not so now; one that is disabled counts as 0."""
        before = {each.name: each.resource.spec for each in self._live.of("deployment")}
        after = {**before}
        for each in works:
            if each.step.kind == "deployment":
                spec = each.live.resource.spec if each.live is not None else types.DeploymentSpec()
                if each.step.action == "delete":
                    after.pop(each.step.name)
                else:
                    after[each.step.name] = desired(spec, *self._goal(_DEPLOYMENTS, each.step.name, each.fields).layers)
        return _served(before) - _served(after)

    def _deletions(self, made: Sequence[Work]) -> Iterator[Work]:
        users = self._users(made)
        for each in self._leaving:
            reason = f"the stack does not have it, and its name begins with {self._wishes.prune!r}"
            kept = users.get(each.id, []) if each.kind == "gateway" else []
            refusal = f"it is in use by {', '.join(kept)}, which would remain" if kept else None
            yield Work(PlanStep("delete", each.kind, each.name, each.id, (), reason, refusal), live=each)

    def _users(self, made: Sequence[Work]) -> Mapping[str, list[str]]:
        """Return the deployments that will remain, by the ids of the gateways that they will name."""
        leaving = {each.name for each in self._leaving if each.kind == "deployment"}
        wanted = {
            each.step.name: self._with_ids(each.step.name, each.fields).get("gateway_ids")
            for each in made
            if each.step.kind == "deployment"
        }
        live = {each.name: [*each.resource.spec.gateway_ids] for each in self._live.of("deployment")}
        found: dict[str, list[str]] = {}
        for name in dict.fromkeys([*live, *wanted]):
            if name not in leaving:
                for gateway in wanted.get(name) or live.get(name, []):
                    found.setdefault(gateway, []).append(f"deployment {name}")
        return found


def _top(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]


def _differ(changes: Sequence[FieldChange]) -> str:
    names = {_top(each.path) for each in changes}
    return "differs" if len(names) == 1 and not names.pop().endswith("s") else "differ"


def _served(specs: Mapping[str, Any]) -> set[str]:
    return {each.model.name for each in specs.values() if each.traffic.weight and not each.disabled}


def _with_warning(work: Work) -> Work:
    step = work.step
    model = work.takes_traffic
    return replace(work, step=replace(step, reason=f"{step.reason}; after it, all weights of {model} are 0"))


def _secret_changes(fields: Mapping[str, Any]) -> tuple[FieldChange, ...]:
    return tuple(FieldChange(path, None, str(each)) for path, each in references_in(fields))


def _field_change(difference: Difference, names: Mapping[str, str], *, is_new: bool) -> FieldChange:
    old = None if is_new else _plain(difference.old)
    new, path = _plain(difference.new), difference.path
    if difference.is_confidential:
        return FieldChange(path, None if old is None else HIDDEN, None if new is None else HIDDEN)
    if path == "gateway_ids":
        named = [[names.get(each, each.removeprefix(_TO_COME)) for each in ids or ()] for ids in (old, new)]
        return FieldChange("gateways", None if is_new else named[0], named[1])
    return FieldChange(path, old, new)


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        return plain(value)
    if is_mapping(value):
        return {**value}
    return [*value] if isinstance(value, list | tuple) else value

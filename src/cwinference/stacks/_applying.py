"""Applying: the flow that performs the steps of a plan, each after a read of what it is based on."""

import logging
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from .. import errors, types
from .._arguments import UNSET
from .._calls.deadline import Deadline
from .._calls.flow import Flow
from .._calls.rpc import Rpc
from .._text import one_line
from ..following._kinds import Kind
from ..resources._comparison import desired
from ..resources._ensure import Goal, request_to_change, request_to_create
from ..resources._handles import written_to
from ..resources._managed import Waiting
from ..resources._unfinished import refuse_during_hot_load
from ..status import State, name_of
from ._kinds import BY_KIND
from ._live import Groups, list_as_json, perform, read_one
from ._plan import Action, PlanStep, with_id
from ._secret_references import resolved
from ._work import Work

log = logging.getLogger("cwinference")

_GONE_TIMEOUT = 1200.0
"""Seconds for which a step waits until a resource is gone, unless the call has a timeout."""


@dataclass(frozen=True)
class Options:
    """How a plan is applied."""

    timeout: float | None
    deadline: Deadline
    retry: Any
    wait: bool
    on_step: Callable[[PlanStep], object] | None
    on_change: Callable[[Any], object] | None = None

    def left(self) -> float | None:
        """Return the timeout of the next call: what is left of the caller's, else the client's own."""
        return UNSET if self.timeout is UNSET else self.deadline.require()

    def sender(self, groups: Groups) -> Callable[[Any], Flow[Any]]:
        """Return what sends a request, and returns the whole response."""
        return lambda request: perform(
            groups["deployment"], Rpc[Any](request, lambda response: response, self.left(), self.retry)
        )


@dataclass(frozen=True)
class Unsettled:
    """A resource that is not known to be ready.

    Attributes:
        kind: its kind.
        resource: its message, as it was read or written last.
        written_by: the step that has written it; None if none has.
    """

    kind: Kind
    resource: Any
    written_by: Action | None = None

    def takes_traffic_of(self, model: str) -> bool:
        """Return whether it is a deployment that serves a model."""
        if self.kind != "deployment":
            return False
        spec = self.resource.spec
        return spec.model.name == model and spec.traffic.weight > 0 and not spec.disabled


@dataclass
class Applier:
    """Performs the steps of one plan."""

    groups: Groups
    options: Options
    works: Sequence[Work]
    gateway_ids: dict[str, str]
    """The ids of gateways by their names; those of new ones are added."""
    secrets: Mapping[tuple[Kind, str], Mapping[str, Any]] = field(repr=False)
    """The fields of the stack with the secrets in them."""
    _unsettled: list[Unsettled]
    """What is not known to be ready: at first, what the stack describes and needs no step."""
    done: list[PlanStep] = field(default_factory=list[PlanStep])
    _names: dict[str, Any] = field(default_factory=dict[str, Any])
    """What exists by name, of the kind that is created now."""
    _ready: set[tuple[Kind, str | None]] = field(default_factory=set[tuple[Kind, str | None]])
    """What was awaited, by its id, and is ready."""

    def run(self) -> Flow[Sequence[PlanStep]]:
        """Perform all steps, and return them with the ids of what was created."""
        with self._account():
            for _, together in groupby(self.works, lambda each: each.turn):
                works = [*together]
                yield from self._settle(lambda each: self.options.wait and each.written_by is not None)
                yield from self._read_names(works)
                for work in works:
                    yield from self._until_taken_over(work)
                    yield from self._perform(work)
            yield from self._settle(lambda each: self.options.wait)  # also what the stack describes and needed no step
            if self.options.wait:
                for step in self.done:
                    if step.action == "delete":
                        yield from self._until_gone(step.kind, step.id or "")
        return self.done

    @contextmanager
    def _account(self) -> Generator[None]:
        """Say with whatever ends it early what was done and what was not."""
        try:
            yield
        except GeneratorExit:
            raise
        except BaseException as error:
            left = [each.step for each in self.works[len(self.done) :]]
            done_text = "; ".join(map(self._title_when_done, self.done)) or "nothing"
            left_text = _titles(left) or ("nothing" if "(written" in done_text else "nothing, but not all is READY")
            if left and _may_be_written(error):
                left_text = (
                    f"{_titles(left[1:]) or 'nothing else'}. Unknown, because the response was lost: {left[0].title}"
                )
            with suppress(AttributeError, TypeError):  # an exception of a foreign library may refuse new attributes
                error.steps_done, error.steps_left = tuple(self.done), tuple(left)  # type: ignore[attr-defined]  # pyright: ignore
            error.add_note(f"Done: {done_text}. Not done: {left_text}. {_advice(error)}.")
            raise

    def _title_when_done(self, step: PlanStep) -> str:
        is_ready = step.action == "delete" or (step.kind, step.id) in self._ready
        return step.title if is_ready or not self.options.wait else f"{step.title} (written, not READY yet)"

    def _perform(self, work: Work) -> Flow[None]:
        step = work.step
        action = {"create": self._create, "update": self._update, "replace": self._replace, "delete": self._delete}
        written = yield from action[step.action](work)
        if written is not None:
            self._unsettled.append(Unsettled(step.kind, written, step.action))
            step = with_id(step, written.spec.id)
            if step.kind == "gateway":
                self.gateway_ids[step.name] = written.spec.id
        self.done.append(step)
        log.info("%s", step.title)
        if self.options.on_step is not None:
            self.options.on_step(step)

    def _read_names(self, works: Sequence[Work]) -> Flow[None]:
        """Read what exists before the first of several creates; each name is guarded by the API itself as well."""
        kinds: set[Kind] = {each.step.kind for each in works if each.step.action == "create"}
        for kind in kinds:
            listed, _ = yield from list_as_json(self.groups[kind], self.options.left(), self.options.retry)
            self._names = {each.spec.name: each for each in listed}

    def _create(self, work: Work) -> Flow[Any]:
        yield from self._until_free(work)
        return (yield from self._send_create(work, self._goal(work)))

    def _send_create(self, work: Work, goal: Goal) -> Flow[Any]:
        group, options = self.groups[work.step.kind], self.options
        request = request_to_create(group, work.step.name, goal)
        at_once = Waiting[Any](wait=False, on_change=None, error_after=None)
        sending: Flow[Any] = group._create(request, options.left(), options.retry, at_once, id_is_generated=True)
        try:
            return (yield from sending)
        except errors.AlreadyExists as error:
            raise _conflict(work.step, "somebody else has created it") from error

    def _until_free(self, work: Work) -> Flow[None]:
        """Refuse a name that is taken by now, and wait until an old resource of that name is gone."""
        found = self._names.get(work.step.name)
        if found is None:
            return
        if State.of(found) is not State.DELETING:
            raise _conflict(work.step, "somebody else has created it", found)
        yield from self._until_gone(work.step.kind, found.spec.id)

    def _update(self, work: Work) -> Flow[Any]:
        current = yield from self._current(work)
        group, options = self.groups[work.step.kind], self.options
        request = request_to_change(group, current, self._goal(work))
        with written_to(current.spec.id):
            call = group._one(request, options.left(), options.retry, idempotent=False, as_json=True)
            return (yield from perform(group, call))

    def _replace(self, work: Work) -> Flow[Any]:
        current = yield from self._current(work)
        goal = self._goal(work)
        whole = desired(current.spec, *goal.layers)
        for each in ("id", "organization_id"):
            whole.ClearField(each)
        fields = {field.name: value for field, value in whole.ListFields() if field.name != "name"}
        anew = Goal([fields, *goal.layers])
        yield from self._send_delete(work)
        try:
            yield from self._until_gone(work.step.kind, current.spec.id)
            return (yield from self._send_create(work, anew))
        except GeneratorExit:
            raise
        except BaseException as error:
            error.add_note(f"{work.step.name} was deleted, and not created anew: what only it said is lost.")
            raise

    def _delete(self, work: Work) -> Flow[None]:
        live = work.live
        found = live and (yield from self._read(work))
        if live is None or found is None:
            return  # somebody else was faster
        if State.of(found.resource) is not State.DELETING:
            self._check_unchanged(work, found)
            yield from self._refuse_during_hot_load(found.resource)
            if work.step.kind == "gateway":
                yield from self._until_unused(work)
            yield from self._send_delete(work)

    def _send_delete(self, work: Work) -> Flow[None]:
        group = self.groups[work.step.kind]
        request = BY_KIND[work.step.kind].delete_request(id=work.step.id)
        with suppress(errors.NotFound):
            yield from group._delete(request, self.options.left(), self.options.retry)

    def _until_unused(self, work: Work) -> Flow[None]:
        """Wait until the deployments of a gateway that are being deleted are gone; others are in the way."""
        group = self.groups["deployment"]
        listed, _ = yield from list_as_json(group, self.options.left(), self.options.retry)
        users = [each for each in listed if work.step.id in each.spec.gateway_ids]
        for each in users:
            if State.of(each) is not State.DELETING:
                raise _conflict(work.step, f"{name_of(each)} has come to use it", each)
        for each in users:
            yield from self._until_gone("deployment", each.spec.id)

    def _read(self, work: Work) -> Flow[Any]:
        group = self.groups[work.step.kind]
        return read_one(group, work.step.kind, work.step.id or "", self.options.left(), self.options.retry)

    def _current(self, work: Work) -> Flow[Any]:
        """Return the resource as it is now, which has to be as the plan saw it."""
        found = yield from self._read(work)
        if found is None or State.of(found.resource) is State.DELETING:
            raise _conflict(work.step, "somebody else has deleted it")
        self._check_unchanged(work, found)
        yield from self._refuse_during_hot_load(found.resource)
        return found.resource

    def _refuse_during_hot_load(self, resource: Any) -> Flow[None]:
        """Refuse to touch a deployment of which a hot-load has begun since the first read."""
        if isinstance(resource, types.Deployment):
            yield from refuse_during_hot_load(resource, self.options.sender(self.groups))

    def _check_unchanged(self, work: Work, found: Any) -> None:
        if work.live is not None and found.seen != work.live.seen:
            raise _conflict(work.step, "somebody else has changed it", found.resource)

    def _goal(self, work: Work) -> Goal:
        """Return what the stack says, with ids and secrets."""
        fields = self.secrets[work.key]
        if "gateways" in fields:
            ids = [self.gateway_ids.get(each, each.lower()) for each in fields["gateways"]]
            fields = {key: each for key, each in fields.items() if key != "gateways"} | {"gateway_ids": ids}
        return Goal([fields])

    def _until_taken_over(self, work: Work) -> Flow[None]:
        """Wait until those are ready that take the traffic of a deployment; those of its own turn as well."""
        model = work.takes_traffic
        if model is not None:
            yield from self._settle(lambda each: each.takes_traffic_of(model))

    def _settle(self, has_to_be_ready: Callable[[Unsettled], bool]) -> Flow[None]:
        """Wait for some of what is not known to be ready."""
        pending, self._unsettled = self._unsettled, []
        for each in pending:
            if has_to_be_ready(each):
                yield from self._until_ready(each)
                self._ready.add((each.kind, each.resource.spec.id))
            else:
                self._unsettled.append(each)

    def _until_ready(self, unsettled: Unsettled) -> Flow[None]:
        group, options, resource = self.groups[unsettled.kind], self.options, unsettled.resource
        if unsettled.written_by is None:
            remaining = group._ready_timeout if options.timeout is UNSET else options.left()
            yield from group._until_ready(resource.spec.id, remaining, on_change=options.on_change)
        else:
            created = unsettled.written_by != "update"
            at_last = Waiting[Any](wait=True, on_change=options.on_change, error_after=None)
            yield from group._ready(resource, options.timeout, options.deadline, at_last, created=created)

    def _until_gone(self, kind: Kind, id: str) -> Flow[None]:
        options = self.options
        remaining = _GONE_TIMEOUT if options.timeout is UNSET else options.left()
        yield from self.groups[kind]._until_gone(id, remaining)


def _titles(steps: Iterable[PlanStep]) -> str:
    return "; ".join(each.title for each in steps)


def _advice(error: BaseException) -> str:
    """Return how to go on after a failure."""
    if isinstance(error, errors.PermissionDenied):
        return "To go on, use a token with the role Inference Admin, plan again and apply"
    if isinstance(error, errors.InvalidArgument):
        return "To go on, correct the stack first"
    return "To go on, plan again and apply"


def _may_be_written(error: BaseException) -> bool:
    """Return whether an error is that of a write that may have been done."""
    if not isinstance(error, errors.ApiError) or not error.may_have_succeeded:
        return False
    return error.method.startswith(("Create", "Update", "Delete"))


def resolve_secrets(works: Sequence[Work]) -> dict[tuple[Kind, str], Mapping[str, Any]]:
    """Return the fields of what is written, with the secrets in them. Raises ConfigurationError if one is missing."""
    return {
        each.key: resolved(each.fields, f"{each.step.kind}s.{each.step.name}")
        for each in works
        if each.step.action != "delete"
    }


def _conflict(step: PlanStep, what: str, resource: Any = None) -> errors.Conflict:
    name = f"{step.kind.replace('_', ' ')} {step.name}"
    return errors.Conflict(one_line(f"{name}: {what} since the plan was made; plan again"), resource)

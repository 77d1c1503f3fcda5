"""Ensuring: create a resource that is missing, change one that differs, and leave one alone that is as it should be."""

import logging
from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from .. import errors, types
from .._arguments import UNSET, check_id
from .._calls.clock import Clock
from .._calls.deadline import Deadline
from .._calls.flow import Flow, Sleep
from .._calls.rpc import Rpc
from .._wire.methods import method_for
from ..retry import Retry
from ..status import State, is_ready, name_of
from ._arguments import given_or_new
from ._changes import check_unknown_fields, copy_spec, replace_fields
from ._handles import of_resource, written_to
from ._managed import Waiting, spec_of
from ._parts import fill, materialized

if TYPE_CHECKING:
    from ._comparison import Difference

log = logging.getLogger("cwinference")

R = TypeVar("R", "types.Gateway", "types.Deployment", "types.CapacityClaim")

_GONE_TIMEOUT = 1200.0
"""Seconds for which `wait=True` waits until an old resource of the name is gone, unless the call has a timeout."""


class Goal(NamedTuple):
    """What a resource should be like."""

    layers: Sequence[Mapping[str, Any]]
    """The given fields; later layers win."""
    immutable: Collection[str] = ()
    """Fields that cannot change once the resource exists."""

    def differences(self, resource: Any) -> "Sequence[Difference]":
        """Return what is not as it should be. Raises ConfigurationError for a field that cannot change."""
        from ._comparison import desired, differences

        found = [*differences(resource.spec, desired(resource.spec, *self.layers))]
        fixed = [each for each in found if each.field in self.immutable]
        if fixed:
            raise errors.ConfigurationError(
                f"{fixed[0].field} cannot change once {name_of(resource)} exists "
                f"({'; '.join(map(str, fixed))}); delete that first, or use another name"
            )
        return found

    def fill(self, request: Message) -> None:
        """Set the given fields of a request that creates it."""
        for layer in self.layers:
            fill(request, layer)

    def change(self, request: Message) -> None:
        """Change the request of an update as `modify` does, which refuses a message that would reset something."""
        for layer in self.layers:
            replace_fields(request, layer)

    def names(self) -> set[str]:
        """Return the given fields."""
        return {name for layer in self.layers for name in layer}


class _Found(Enum):
    """What was done to a resource before it was as it should be."""

    NOTHING = "it was so"
    CREATED = "it was created"
    CHANGED = "it was changed"


class EnsureOptions(NamedTuple, Generic[R]):
    """How the caller wants it done."""

    timeout: float | None
    deadline: Deadline
    retry: Retry | None
    waiting: Waiting[R]

    def left(self) -> float | None:
        """Return the timeout of the next call: what is left of the caller's, else the client's own."""
        return UNSET if self.timeout is UNSET else self.deadline.require()


class Ensuring(Generic[R]):
    """One `ensure`: of a resource that is known by its name, in the group `resources`."""

    def __init__(
        self,
        resources: Any,
        name: str,
        spec: Any,
        fields: Mapping[str, Any],
        options: EnsureOptions[R],
    ) -> None:
        self._resources = resources
        self._name = check_id(name, "name")
        self._goal = Goal(self._layers(spec, fields), resources._immutable)
        self._options: EnsureOptions[R] = options

    def run(self) -> Flow[R]:
        """Create, change or find the resource, and wait if that is wanted. The arguments are checked before."""
        fill(self._resources._create_request(), {"name": self._name})
        self._goal.fill(self._resources._create_request())
        resource, done = yield from self._converge()
        if not self._options.waiting.wait or (done is _Found.NOTHING and is_ready(resource)):
            return resource
        return (yield from self._settled(resource, done))

    def _layers(self, spec: Any, fields: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Return the fields of a whole spec, and above them those that were named."""
        named = {name: materialized(value) for name, value in fields.items() if value is not None}
        if spec is None:
            return [named]
        from ._comparison import given_in

        kind = cast(type[Message], type(self._resources._kind().spec))
        spec_of(spec, kind)
        return [{name: value for name, value in given_in(spec).items() if name in fields}, named]

    def _converge(self) -> Flow[tuple[R, _Found]]:
        """Find the resource by its name, and do what is missing.

        Other processes may do the same at the same time: who comes too late finds what the first one has made.
        """
        race = _Race(self._resources._driver.context.clock)
        while True:
            found = yield from self._find_as_needed()
            try:
                if found is None:
                    return (yield from self._create_missing()), _Found.CREATED
                if State.of(found) is State.DELETING:
                    yield from self._until_replaceable(found)
                    yield from race.pause(_being_deleted(found))
                elif not self._goal.differences(found):
                    return found, _Found.NOTHING
                elif (changed := (yield from self._change_different(found.spec.id))) is not None:
                    return changed
            except (errors.AlreadyExists, errors.Aborted) as lost:
                yield from race.pause(lost)
            except (errors.FailedPrecondition, errors.NotFound) as refused:
                if found is None or State.of(found) is State.DELETING or not race.is_new:
                    raise
                yield from race.pause(refused)  # it may be DELETING or gone by now, or as it should be

    def _find_as_needed(self) -> Flow[R | None]:
        """Return the resource of that name, or None; as JSON if only that shows all of the given fields."""
        from ._comparison import names_placeholder

        kind = cast(Descriptor, self._resources._create_request.DESCRIPTOR)
        as_json = any(names_placeholder(kind, layer) for layer in self._goal.layers)
        request = self._resources._list_request()
        listed: Rpc[R | None] = Rpc(
            request,
            lambda response: self._resources._named(self._name, response),
            self._options.left(),
            self._options.retry,
            as_json=as_json,
        )
        reading: Flow[R | None] = self._resources._do(listed)
        return reading

    def _create_missing(self) -> Flow[R]:
        missing = [each for each in self._resources._required if each not in self._goal.names()]
        if missing:
            raise errors.ConfigurationError(
                f"ensure: no {self._resources._field.replace('_', ' ')} has the name {self._name!r}, and to create it "
                f"{', '.join(missing)} must be given"
            )
        request = request_to_create(self._resources, self._name, self._goal)
        at_once = Waiting[R](wait=False, on_change=None, error_after=None)
        creating: Flow[R] = self._resources._create(
            request, self._options.left(), self._options.retry, at_once, id_is_generated=True
        )
        created = yield from creating
        log.info("%s: created", name_of(created))
        return created

    def _until_replaceable(self, resource: R) -> Flow[None]:
        """Wait until a resource that is being deleted is gone, if waiting is wanted, else refuse it."""
        if not self._options.waiting.wait:
            raise _being_deleted(resource)
        log.info("%s: waiting until it is gone, to create it anew", name_of(resource))
        yield from self._resources._until_gone(
            resource.spec.id, _GONE_TIMEOUT if self._options.timeout is UNSET else self._options.left()
        )

    def _change_different(self, id: str) -> Flow[tuple[R, _Found] | None]:
        """Read as JSON, and change what differs; None if it is being deleted by now."""
        reading: Flow[tuple[R, Sequence[str]]] = self._resources._read_as_json(
            id, self._options.left(), self._options.retry
        )
        current, unknown = yield from reading
        if State.of(current) is State.DELETING:
            return None
        different = self._goal.differences(current)
        if not different:
            return current, _Found.NOTHING
        check_unknown_fields(unknown, f"{self._resources._field}.spec", "ensure")
        request = request_to_change(self._resources, current, self._goal)
        with written_to(id):
            write = self._resources._one(
                request, self._options.left(), self._options.retry, idempotent=False, as_json=True
            )
            writing: Flow[R] = self._resources._do(write)
            changed = yield from writing
        for each in different:
            log.info("%s: %s", name_of(current), each)
        return changed, _Found.CHANGED

    def _settled(self, resource: R, done: _Found) -> Flow[R]:
        """Wait until the resource is ready."""
        timeout, deadline, _, waiting = self._options
        waits: Flow[R]
        if done is not _Found.NOTHING:
            was_created = done is _Found.CREATED
            waits = self._resources._ready(
                resource, timeout, deadline, waiting, created=was_created, as_json=not was_created
            )
            return (yield from waits)
        with of_resource(resource.spec.id):
            remaining = self._resources._ready_timeout if timeout is UNSET else self._options.left()
        how = {"on_change": waiting.on_change, "error_after": waiting.error_after}
        waits = self._resources._until_ready(resource.spec.id, remaining, **how)
        return (yield from waits)


class _Race:
    """How long to go on while others change the same resource: a list may not show for a moment what they did."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._limit: Deadline | None = None
        self._lost = 0

    @property
    def is_new(self) -> bool:
        """Whether nothing was lost so far."""
        return not self._lost

    def pause(self, lost: errors.ApiError) -> Flow[None]:
        """Wait before the next try; raise the error if that has gone on for too long."""
        from ._waits import LAG_SECONDS, POLLING

        if self._limit is None:
            self._limit = Deadline(LAG_SECONDS, self._clock.monotonic)
        if self._limit.has_passed():
            raise lost
        self._lost += 1
        log.debug("ensure: trying again after %s", lost)
        yield Sleep(POLLING.pause(self._lost, self._clock.random()))


def request_to_create(resources: Any, name: str, goal: Goal) -> Any:
    """Return the request that creates one of that name, with an id of ours."""
    request = resources._create_request(id=given_or_new(None))
    goal.fill(request)
    request.name = name
    resources._complete(request)
    return request


def request_to_change(resources: Any, current: Any, goal: Goal) -> Any:
    """Return the request that changes it. Raises ConfigurationError for what would reset something."""
    request = resources._update_request(id=current.spec.id)
    copy_spec(current.spec, request)
    goal.change(request)
    resources._check_rewrite(request, current, {name: value for layer in goal.layers for name, value in layer.items()})
    return request


def _being_deleted(resource: Any) -> errors.FailedPrecondition:
    error = errors.FailedPrecondition(
        f"{name_of(resource)} is being deleted; with wait=True it is created anew when it is gone",
        method=method_for(_CREATE[type(resource)]).name,
    )
    error.resource_id = resource.spec.id
    return error


_CREATE: Mapping[type[Message], type[Message]] = {
    types.Gateway: types.CreateGatewayRequest,
    types.Deployment: types.CreateDeploymentRequest,
    types.CapacityClaim: types.CreateCapacityClaimRequest,
}

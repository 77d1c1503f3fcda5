"""The two deployments of a rollout: read as JSON, checked before each write, and written one field at a time."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from .. import errors, types
from .._calls.clock import Clock
from .._calls.deadline import Deadline
from .._calls.flow import Flow, Sleep
from .._calls.operation import Mode, Resource
from .._calls.rpc import Rpc, many, one
from .._calls.transient import passes, server_delay
from .._text import one_line
from ..resources._changes import check_unknown_fields, replacement
from ..resources._handles import written_to
from ..resources._unfinished import refuse_during_hot_load
from ..resources._waits import POLLING, until_ready
from ..status import State, state_text
from ._record import Former, RolloutRecord
from ._weights import Side, TrafficWeights

log = logging.getLogger("cwinference")

T = TypeVar("T")

OUTAGE_SECONDS = 300.0
"""How long the API may fail in ways that pass by themselves before a rollout gives up, to be resumed later."""
READY_SECONDS = 3600.0
"""How long a deployment may take to be READY after its weight was changed."""


@dataclass(frozen=True)
class Pair:
    """Both deployments as they were read."""

    new: types.Deployment
    old: types.Deployment

    def of(self, side: Side) -> types.Deployment:
        """Return one of them."""
        return self.new if side == "new" else self.old

    @property
    def weights(self) -> TrafficWeights:
        """Their weights."""
        return TrafficWeights(self.new.spec.traffic.weight, self.old.spec.traffic.weight)


@dataclass(frozen=True)
class Survey:
    """The deployments of the organization, as far as a rollout is concerned."""

    pair: Pair
    others: Sequence[types.Deployment]
    """Those that serve the same model on a gateway of one of the two, and get a part of its traffic."""

    @property
    def uncovered(self) -> Sequence[str]:
        """The gateways on which nothing would serve the model any more without the old one."""
        covered = {gateway for each in (self.pair.new, *self.others) for gateway in each.spec.gateway_ids}
        return [each for each in self.pair.old.spec.gateway_ids if each not in covered]


class Deck(Resource[Mode]):
    """Reads and writes the two deployments."""

    @property
    def clock(self) -> Clock:
        """The client's clock."""
        return self._driver.context.clock

    def survey(self, new: str, old: str) -> Flow[Survey]:
        """List all deployments, and return those concerned. Each of the two is given by its name or its id.

        Raises NotFound.
        """
        call = many(types.ListDeploymentsRequest(), "items", types.Deployment)
        listing: Sequence[types.Deployment] = yield from self.patiently(lambda: self._do(call))
        pair: Pair = Pair(_named(listing, new), _named(listing, old))
        return Survey(pair, [each for each in listing if _shares_traffic(each.spec, pair)])

    def read(self, id: str) -> Flow[types.Deployment]:
        """Return a deployment. Raises ConfigurationError for fields that a write would reset."""
        unknown: list[str] = []
        call = one(
            types.GetDeploymentRequest(id=id), "deployment", types.Deployment, as_json=True, unknown_fields=unknown
        )
        deployment: types.Deployment = yield from self.patiently(lambda: self._do(call))
        check_unknown_fields(unknown, "deployment.spec", "rollout")
        return deployment

    def read_both(self, record: RolloutRecord) -> Flow[Pair]:
        """Return both deployments of a rollout. Raises Conflict if one is gone, or being deleted."""
        new = yield from self.read_present(record, "new")
        return Pair(new, (yield from self.read_present(record, "old")))

    def read_present(self, record: RolloutRecord, side: Side) -> Flow[types.Deployment]:
        """Return one of them. Raises Conflict if it is gone, or being deleted."""
        former = record.of(side)
        try:
            deployment = yield from self.read(former.id)
        except errors.NotFound:
            raise errors.Conflict(f"{label(former)} is gone: somebody else has deleted it") from None
        if State.of(deployment) is State.DELETING:
            raise errors.Conflict(f"{label(former)} is being deleted by somebody else", deployment)
        if deployment.spec.organization_id != record.organization:
            raise errors.ConfigurationError("journal belongs to a rollout of another organization")
        return deployment

    def check_no_hot_load(self, deployment: types.Deployment) -> Flow[None]:
        """Raise FailedPrecondition if a hot-load of the deployment is in progress."""

        def send(request: Any) -> Flow[Any]:
            return self.patiently(lambda: self._do(Rpc[Any](request, lambda response: response)))

        return refuse_during_hot_load(deployment, send)

    def write(self, current: types.Deployment, edit: Callable[[Any], object]) -> Flow[types.Deployment]:
        """Change a deployment, based on what was read of it; `edit` changes the request that would change nothing."""
        request = replacement(types.UpdateDeploymentRequest(id=current.spec.id), current.spec, {})
        request.traffic.SetInParent()
        edit(request)
        with written_to(current.spec.id):
            return (yield from self._do(one(request, "deployment", types.Deployment, idempotent=False, as_json=True)))

    def until_ready(self, id: str, after: types.Deployment | None, error_after: float) -> Flow[types.Deployment]:
        """Wait until a deployment is READY. Raises ResourceFailed, also after so many seconds in ERROR; WaitTimeout."""

        def read(seconds: float) -> Flow[types.Deployment]:
            return self._do(one(types.GetDeploymentRequest(id=id), "deployment", types.Deployment, seconds))

        return until_ready(read, self.clock, timeout=READY_SECONDS, after=after, error_after=error_after)

    def patiently(self, attempt: Callable[[], Flow[T]]) -> Flow[T]:
        """Read again and again while that fails in ways that pass by themselves."""
        trouble = Trouble(self.clock)
        while True:
            try:
                return (yield from attempt())
            except (errors.ApiError, errors.ProtocolError) as error:
                yield from trouble.pause(error)


class Trouble:
    """How long the API may fail in ways that pass by themselves; it begins with the first failure."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._limit: Deadline | None = None
        self._failures = 0

    def pause(self, error: errors.ApiError | errors.ProtocolError) -> Flow[None]:
        """Wait before the next try; raise the error if it will not pass, or that has gone on for too long."""
        if self._limit is None:
            self._limit = Deadline(OUTAGE_SECONDS, self._clock.monotonic)
        if not passes(error) or self._limit.has_passed():
            raise error
        self._failures += 1
        log.info("rollout: %s", one_line(str(error)))
        yield Sleep(max(server_delay(error), POLLING.pause(self._failures, self._clock.random())))


def label(former: Former) -> str:
    """Return what messages call a deployment of a rollout."""
    return one_line(f"Deployment {former.name}")


def is_serving(deployment: types.Deployment) -> bool:
    """Return whether traffic may go to a deployment."""
    return State.of(deployment) is State.READY and not deployment.spec.disabled


def state_shown(deployment: types.Deployment) -> str:
    """Return the state of a deployment that is not serving, for messages."""
    return "disabled" if deployment.spec.disabled else state_text(deployment)


def _shares_traffic(spec: types.DeploymentSpec, pair: Pair) -> bool:
    """Return whether another deployment gets a part of the same traffic."""
    ours = (pair.new.spec, pair.old.spec)
    is_weighted = spec.traffic.weight > 0 and not spec.disabled
    serves_the_same = spec.model.name == pair.old.spec.model.name and any(
        {*spec.gateway_ids} & {*each.gateway_ids} for each in ours
    )
    return is_weighted and serves_the_same and spec.id not in [each.id for each in ours]


def _named(listing: Sequence[types.Deployment], word: str) -> types.Deployment:
    """Return the deployment with this id, else the one with this name. Raises NotFound."""
    matchers: Sequence[Callable[[types.Deployment], bool]] = (
        lambda each: each.spec.id == word,
        lambda each: each.spec.name == word,
    )
    for found in matchers:
        match = next(filter(found, listing), None)
        if match is not None:
            return match
    raise errors.NotFound(f"no deployment has the name or the id {word!r}", method="ListDeployments")
